//! The CustomResourceDefinitions, as the API server takes them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{Broker, Stream};

/// Every definition, in the order of its kind's name.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [Broker::crd(), Stream::crd()].into_iter().map(finish).collect()
}

/// The name of a definition's file in `crds/generated/`.
pub fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}.yaml", definition.spec.names.plural)
}

/// One definition as YAML.
pub fn yaml(definition: &CustomResourceDefinition) -> String {
    serde_yaml::to_string(definition).expect("a definition consists of what YAML can say")
}

/// Every definition as one YAML text of several documents.
pub fn definitions_yaml() -> String {
    definitions().iter().map(|definition| format!("---\n{}", yaml(definition))).collect()
}

/// The schema of a kind as JSON, for [`crate::admission`]; `None` for a kind that there is not.
pub fn schema(kind: &str) -> Option<&'static Value> {
    static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
        let schema = |definition: CustomResourceDefinition| {
            let version = definition.spec.versions.into_iter().next()?;
            let schema = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
            Some((definition.spec.names.kind, schema))
        };
        definitions().into_iter().filter_map(schema).collect()
    });
    SCHEMAS.get(kind)
}

/// What the derive can't say: a status that kstatus does not take for ready; no field that may be null; and
/// embedded Kubernetes types without their manuals (the definitions would have twelve times the size, and
/// `kubectl explain` on the pod says it all).
fn finish(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(properties) = root.and_then(|root| root.properties.as_mut()) else { continue };
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
        for property in properties.values_mut() {
            shorten(property);
            forget_nulls(property);
        }
    }
    definition
}

/// Takes the descriptions away below each field whose type is Kubernetes' own.
fn shorten(schema: &mut JSONSchemaProps) {
    const FOREIGN: [&str; 5] =
        ["affinity", "tolerations", "topologySpreadConstraints", "resources", "conditions"];
    for (name, property) in schema.properties.iter_mut().flatten() {
        if FOREIGN.contains(&name.as_str()) {
            children(property).for_each(silence);
        } else {
            shorten(property);
        }
    }
}

fn silence(schema: &mut JSONSchemaProps) {
    schema.description = None;
    children(schema).for_each(silence);
}

/// The API server prunes nulls where a field may not be null, and a template that leaves a field empty means
/// that. Where a field of an enumeration may be null, it refuses null all the same, since the list lacks it.
fn forget_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    children(schema).for_each(forget_nulls);
}

fn children(schema: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let items = match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => Some(item.as_mut()),
        _ => None,
    };
    let values = match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => Some(value.as_mut()),
        _ => None,
    };
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).chain(items).chain(values)
}
