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

/// The amounts that a pod can ask for: those of [`crate::quantity`], thousandths and exponents. An amount that is none is
/// answered by the API server as a fault of its own when the pods' object is made, so that nobody could tell it
/// from one that passes.
pub(crate) const AMOUNT_PATTERN: &str =
    r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]{1,2})?$";

/// [`AMOUNT_PATTERN`] for people.
pub(crate) const AMOUNT_FORM: &str = "is no amount: write a number with a unit, such as 500m, 2 or 1Gi";
/// The longest text that is taken for an amount.
const MAX_AMOUNT_CHARS: i64 = 20;

/// What the derive can't say: a status that kstatus does not take for ready; no field that may be null; amounts that
/// are amounts; and embedded Kubernetes types without their manuals (the definitions would have twelve times the size, and
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
            hold_resources(property);
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

/// Each container's `resources` may say amounts. Claims name what pods are given beside volumes, which a Broker's
/// pods are not: the API server would refuse any.
fn hold_resources(schema: &mut JSONSchemaProps) {
    if let Some(resources) = schema.properties.as_mut().and_then(|all| all.get_mut("resources")) {
        resources.properties.iter_mut().for_each(|known| drop(known.remove("claims")));
        for amount in children(resources).flat_map(children) {
            amount.pattern = Some(AMOUNT_PATTERN.to_owned());
            amount.max_length = Some(MAX_AMOUNT_CHARS);
        }
    }
    children(schema).for_each(hold_resources);
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
