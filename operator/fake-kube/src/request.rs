//! What a request asks for: path, query and body taken apart.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::failure::Failure;
use crate::kinds::Kind;
use crate::store::{Key, Store};

/// A request, understood.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) kind: Kind,
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) content_type: String,
    pub(crate) agent: String,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn read(store: &Store, parts: &http::request::Parts, body: &[u8]) -> Result<Self, Failure> {
        let missing = || Failure::new(404, "NotFound", "the server could not find the requested resource");
        let steps: Vec<String> =
            parts.uri.path().split('/').filter(|step| !step.is_empty()).map(unescape).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let (group, rest) = match &steps[..] {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Err(missing()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, rest @ ..] if !matches!(*plural, "status" | "finalize") => {
                (*namespace, [&[*plural], rest].concat())
            }
            _ => ("", rest.to_vec()),
        };
        let (plural, rest) = rest.split_first().ok_or_else(missing)?;
        let kind = store.kind(group, plural).ok_or_else(missing)?;
        let header = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body)
                .map_err(|error| Failure::new(400, "BadRequest", error.to_string()))?
        };
        Ok(Self {
            method: parts.method.clone(),
            kind,
            namespace: namespace.to_owned(),
            name: rest.first().map(|name| (*name).to_owned()),
            subresource: rest.get(1).map(|name| (*name).to_owned()).unwrap_or_default(),
            query: query(parts.uri.query().unwrap_or_default()),
            content_type: header("content-type"),
            agent: header("user-agent"),
            body,
        })
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|value| value == "true" || value == "1")
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        (self.kind.resource(), self.namespace.clone(), name.to_owned())
    }

    /// The field manager: asked for, or else the client's program.
    pub(crate) fn manager(&self) -> String {
        match self.value("fieldManager") {
            "" => {
                self.agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown").to_owned()
            }
            manager => manager.to_owned(),
        }
    }

    /// Whether an object is among those that the list or watch asks for.
    ///
    /// # Errors
    /// 400 for a selector that the fake does not know.
    pub(crate) fn selects(&self, object: &Value) -> Result<bool, Failure> {
        for term in terms(self.value("fieldSelector")) {
            let (path, wanted, equal) = comparison(&term)
                .ok_or_else(|| Failure::new(400, "BadRequest", format!("unknown field selector {term}")))?;
            let pointer = format!("/{}", path.replace('.', "/"));
            let found = object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
            if (found == wanted) != equal {
                return Ok(false);
            }
        }
        let label = |name: &str| object["metadata"]["labels"][name].as_str();
        for term in terms(self.value("labelSelector")) {
            let fits = if let Some((name, values)) = term.split_once(" notin ") {
                !label(name.trim()).is_some_and(|value| listed(values).any(|wanted| wanted == value))
            } else if let Some((name, values)) = term.split_once(" in ") {
                label(name.trim()).is_some_and(|value| listed(values).any(|wanted| wanted == value))
            } else if let Some((name, wanted, equal)) = comparison(&term) {
                (label(name) == Some(wanted)) == equal
            } else if let Some(name) = term.strip_prefix('!') {
                label(name).is_none()
            } else {
                label(&term).is_some()
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn comparison(term: &str) -> Option<(&str, &str, bool)> {
    let (left, right, equal) = if let Some((left, right)) = term.split_once("!=") {
        (left, right, false)
    } else if let Some((left, right)) = term.split_once("==") {
        (left, right, true)
    } else {
        let (left, right) = term.split_once('=')?;
        (left, right, true)
    };
    Some((left.trim(), right.trim(), equal))
}

fn listed(values: &str) -> impl Iterator<Item = &str> {
    values.trim().trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim)
}

/// The terms of a selector: parted by commas that are in no parentheses.
fn terms(selector: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut depth = 0;
    for letter in selector.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            found.push(String::new());
        } else if let Some(term) = found.last_mut() {
            term.push(letter);
        }
    }
    found.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            (unescape(name), unescape(&value.replace('+', " ")))
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&plain).into_owned()
}
