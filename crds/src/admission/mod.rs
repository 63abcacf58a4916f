//! What the API server does with an object before it stores it, for where there is none: prune nulls, check
//! against the schema, fill defaults in, evaluate the CEL rules.
//!
//! Unlike the API server this refuses unknown fields by itself; `kubectl` asks for that too
//! (`fieldValidation: Strict`).

mod nearest;
mod structure;
#[cfg(test)]
mod tests;

pub use nearest::nearest;

use kube::core::cel::{Validator, apply_defaults};
use serde_json::Value;

use crate::definition;

/// Something that an object must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, such as `spec.capacity.minShards` or `spec.scheduling.tolerations[0].key`.
    pub path: String,
    /// What is wrong there and what to do, as a clause that goes on after the path and a colon.
    pub message: String,
    /// The CEL rule that was broken, if it was one.
    pub rule: Option<String>,
}

/// The object as it would be stored: without nulls and with defaults. `old` is what is stored now, for the
/// rules on changes. Only `spec` is checked against the schema; `status` is not looked at.
///
/// # Errors
/// Everything that is wrong with it, in the order of the fields; CEL rules are evaluated only when the schema
/// has nothing to say, as the API server does.
pub fn admit(kind: &str, object: Value, old: Option<&Value>) -> Result<Value, Vec<Violation>> {
    let (object, violations) = check(kind, object, old)?;
    if violations.is_empty() { Ok(object) } else { Err(violations) }
}

/// Like [`admit`], but hands back the object together with the CEL rules it breaks, for a caller that lets
/// some of them pass.
///
/// # Errors
/// What the schema has to say.
pub fn check(
    kind: &str,
    mut object: Value,
    old: Option<&Value>,
) -> Result<(Value, Vec<Violation>), Vec<Violation>> {
    let Some(schema) = definition::schema(kind) else {
        let message = format!("there is no kind {kind}");
        return Err(vec![Violation { path: "kind".to_owned(), message, rule: None }]);
    };
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    structure::prune_nulls(&mut object);
    let mut violations = Vec::new();
    match object.get("spec") {
        Some(spec) => structure::check(&schema["properties"]["spec"], spec, "spec", &mut violations),
        None => violations.push(Violation {
            path: "spec".to_owned(),
            message: "is missing: write `spec: {}` to take every default".to_owned(),
            rule: None,
        }),
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let broken = match Validator::new().validate(schema, &object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .into_iter()
            .map(|error| Violation { path: error.field_path, message: error.message, rule: Some(error.rule) })
            .collect(),
    };
    Ok((apply_defaults(schema, &object), broken))
}
