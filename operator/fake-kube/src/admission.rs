//! What is checked and filled in before an object is stored.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::kinds::Kind;

/// The object with defaults; Millrace's own kinds are held to their schema and rules.
///
/// # Errors
/// 422 with a cause for each violation.
pub(crate) fn admit(
    kind: &Kind,
    name: &str,
    mut object: Value,
    old: Option<&Value>,
) -> Result<Value, Failure> {
    let named = old.is_some_and(|old| {
        let metadata = |object: &Value, name: &str| object["metadata"][name].clone();
        metadata(old, "name") != metadata(&object, "name")
    });
    if named {
        let why = "Invalid value: field is immutable".to_owned();
        return Err(Failure::invalid(kind, name, &[("metadata.name".to_owned(), "FieldValueInvalid", why)]));
    }
    if kind.kind == "StatefulSet"
        && let Some(old) = old
    {
        fixed_stateful_set(kind, name, &object, old)?;
    }
    if !kind.custom {
        return Ok(object);
    }
    let status = object.as_object_mut().and_then(|fields| fields.remove("status"));
    let mut admitted = millrace_crds::admission::admit(&kind.kind, object, old).map_err(|violations| {
        let causes: Vec<(String, &str, String)> = violations
            .into_iter()
            .map(|violation| {
                (violation.path, "FieldValueInvalid", format!("Invalid value: {}", violation.message))
            })
            .collect();
        Failure::invalid(kind, name, &causes)
    })?;
    if let Some(status) = status {
        admitted["status"] = status;
    }
    Ok(admitted)
}

/// A StatefulSet's fields that can't change once it is made.
fn fixed_stateful_set(kind: &Kind, name: &str, new: &Value, old: &Value) -> Result<(), Failure> {
    const FREE: [&str; 7] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| !FREE.contains(&name.as_str()));
        }
        spec
    };
    if fixed(new) == fixed(old) {
        return Ok(());
    }
    let why = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
        'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
        forbidden";
    Err(Failure::invalid(kind, name, &[("spec".to_owned(), "FieldValueForbidden", why.to_owned())]))
}

/// A Secret's `stringData` moves into `data`, encoded.
pub(crate) fn encode_string_data(kind: &Kind, object: &mut Value) {
    if kind.kind != "Secret" {
        return;
    }
    let plain = object.as_object_mut().and_then(|fields| fields.remove("stringData"));
    for (name, text) in plain.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        object["data"][name] = json!(bytes);
    }
}
