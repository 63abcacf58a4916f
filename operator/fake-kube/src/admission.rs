//! What is checked and filled in before an object is stored.

use k8s_openapi::ByteString;
use millrace_crds::admission::Violation;
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
    if let Some(schema) = millrace_crds::definition::schema(&kind.kind) {
        prune(&schema["properties"]["spec"], &mut object["spec"]);
    }
    let mut admitted = millrace_crds::admission::admit(&kind.kind, object, old).map_err(|violations| {
        let causes: Vec<_> = violations.into_iter().map(cause).collect();
        Failure::invalid(kind, name, &causes)
    })?;
    if let Some(status) = status {
        admitted["status"] = status;
    }
    Ok(admitted)
}

/// A violation as the API server names it: field, reason, what is wrong.
fn cause(violation: Violation) -> (String, &'static str, String) {
    let Violation { path, message, .. } = violation;
    let lacking = message.strip_prefix("lacks its field ").and_then(|rest| rest.strip_suffix(": write it"));
    if let Some(field) = lacking {
        return (format!("{path}.{field}"), "FieldValueRequired", "Required value".to_owned());
    }
    let path = if path.is_empty() { "<nil>".to_owned() } else { path };
    (path, "FieldValueInvalid", format!("Invalid value: \"object\": {message}"))
}

/// Takes fields away that the schema does not know, as the API server does unless it is asked to be strict.
fn prune(schema: &Value, value: &mut Value) {
    let known = &schema["properties"];
    let values = &schema["additionalProperties"];
    match value {
        Value::Object(fields) => {
            if known.is_object()
                && !values.is_object()
                && schema["x-kubernetes-preserve-unknown-fields"] != true
            {
                fields.retain(|name, _| known.get(name).is_some());
            }
            for (name, value) in fields {
                prune(known.get(name).unwrap_or(values), value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune(&schema["items"], item)),
        _ => {}
    }
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
