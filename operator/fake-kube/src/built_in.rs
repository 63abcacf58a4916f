//! What the API server holds Kubernetes' own kinds to, of what the operator writes.

use serde_json::Value;

use crate::failure::Failure;
use crate::kinds::Kind;
use crate::names::is_label_key;
use crate::pod_template::{self, Cause};
use crate::quantity;

/// The ports that nodes give to Services, unless a cluster is told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// The object as the API server keeps it.
///
/// # Errors
/// 500 (as the real one says it to server-side apply) for what can't be read, 422 with a cause for each field that
/// can't be as it is.
pub(crate) fn admit(
    kind: &Kind,
    name: &str,
    mut object: Value,
    old: Option<&Value>,
) -> Result<Value, Failure> {
    let mut causes = annotations(&object);
    match kind.kind.as_str() {
        "StatefulSet" => {
            amounts(&mut object["spec"])?;
            causes.extend(pod_template::check(&object["spec"]["template"]["spec"], "spec.template.spec"));
            if let Some(old) = old {
                fixed(kind, name, &object, old)?;
            }
        }
        "PersistentVolumeClaim" => amounts(&mut object["spec"])?,
        "Service" => causes.extend(node_ports(&object)),
        _ => {}
    }
    if causes.is_empty() { Ok(object) } else { Err(Failure::invalid(kind, name, &causes)) }
}

fn annotations(object: &Value) -> Vec<Cause> {
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let wrong = annotations.filter(|(key, _)| !is_label_key(&key.to_lowercase()));
    wrong
        .map(|(key, _)| {
            let why = format!("Invalid value: \"{key}\": name part must consist of alphanumeric characters");
            ("metadata.annotations".to_owned(), "FieldValueInvalid", why)
        })
        .collect()
}

fn node_ports(service: &Value) -> Vec<Cause> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten().enumerate();
    let wrong = ports.filter(|(_, port)| {
        port["nodePort"].as_i64().is_some_and(|port| port != 0 && !NODE_PORTS.contains(&port))
    });
    wrong
        .map(|(index, port)| {
            let why = format!(
                "Invalid value: {}: provided port is not in the valid range. The range of valid ports is {}-{}",
                port["nodePort"],
                NODE_PORTS.start(),
                NODE_PORTS.end()
            );
            (format!("spec.ports[{index}].nodePort"), "FieldValueInvalid", why)
        })
        .collect()
}

/// Puts every amount below `value` into its canonical form, before anything is checked.
fn amounts(value: &mut Value) -> Result<(), Failure> {
    let Value::Object(fields) = value else {
        return value.as_array_mut().into_iter().flatten().try_for_each(amounts);
    };
    for (name, below) in fields {
        if name != "limits" && name != "requests" {
            amounts(below)?;
            continue;
        }
        for (_, amount) in below.as_object_mut().into_iter().flatten() {
            *amount = quantity::canonical(amount).map(Value::String).ok_or_else(|| {
                let why = "failed to convert new object to proper version: quantities must match the regular \
                    expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                Failure::new(500, "", why)
            })?;
        }
    }
    Ok(())
}

/// A StatefulSet's fields that can't change once it is made.
fn fixed(kind: &Kind, name: &str, new: &Value, old: &Value) -> Result<(), Failure> {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let part = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !FREE.contains(&name.as_str()));
        }
        spec
    };
    if part(new) == part(old) {
        return Ok(());
    }
    let why = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
        'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
        forbidden";
    Err(Failure::invalid(kind, name, &[("spec".to_owned(), "FieldValueForbidden", why.to_owned())]))
}
