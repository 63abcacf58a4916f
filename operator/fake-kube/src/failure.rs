//! Refusals in the API's own shape.

use serde_json::{Value, json};

use crate::kinds::Kind;

/// A `Status` that says why a request was refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: json!({}) }
    }

    fn named(code: u16, reason: &'static str, kind: &Kind, name: &str, message: String) -> Self {
        let details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
        Self { code, reason, message, details }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::named(404, "NotFound", kind, name, message)
    }

    pub(crate) fn exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::named(409, "AlreadyExists", kind, name, message)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource());
        Self::named(409, "Conflict", kind, name, message)
    }

    /// `causes`: for each, the field, the reason and what is wrong.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[(String, &str, String)]) -> Self {
        let texts: Vec<String> = causes.iter().map(|(field, _, text)| format!("{field}: {text}")).collect();
        let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
        let all = if let [one] = &texts[..] { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let message = format!("{}{group} \"{name}\" is invalid: {all}", kind.kind);
        let mut failure = Self::named(422, "Invalid", kind, name, message);
        failure.details["kind"] = json!(kind.kind);
        failure.details["causes"] = causes
            .iter()
            .map(|(field, reason, text)| json!({ "reason": reason, "message": text, "field": field }))
            .collect();
        failure
    }

    /// The body of the answer.
    pub(crate) fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code,
        })
    }
}
