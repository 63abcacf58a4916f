//! What is checked and filled in before an object is stored.

use k8s_openapi::ByteString;
use millrace_crds::admission::Violation;
use serde_json::{Value, json};

use crate::built_in;
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
    if !kind.custom {
        return built_in::admit(kind, name, object, old);
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
