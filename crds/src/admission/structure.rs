//! An object against the part of OpenAPI that structural schemas use.

use regex::Regex;
use serde_json::{Map, Value};

use super::{Violation, nearest};
use crate::{definition, quantity, retention, stream};

/// Takes every null field away, as the API server does where a field may not be null; none of ours may.
pub(super) fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

/// Adds to `found` whatever `schema` has to say about `value`.
pub(super) fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    if schema["x-kubernetes-int-or-string"] == true {
        if value.is_i64() || value.is_u64() || value.is_string() {
            check_text(schema, value, path, found);
        } else {
            say(found, path, format!("must be a number or a text, not {}", describe(value)));
        }
        return;
    }
    let (fits, wanted) = match schema["type"].as_str() {
        Some("object") => (value.is_object(), "a mapping of fields"),
        Some("array") => (value.is_array(), "a list"),
        Some("string") => (value.is_string(), "a text"),
        Some("integer") => (value.is_i64() || value.is_u64(), "a whole number"),
        Some("number") => (value.is_number(), "a number"),
        Some("boolean") => (value.is_boolean(), "true or false"),
        _ => (true, "anything"),
    };
    if !fits {
        return say(found, path, format!("must be {wanted}, not {}", describe(value)));
    }
    match value {
        Value::Object(fields) => check_fields(schema, fields, path, found),
        Value::Array(items) => {
            check_count(schema, "maxItems", items.len(), path, found);
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Number(_) => check_range(schema, value, path, found),
        _ => check_text(schema, value, path, found),
    }
}

fn check_fields(schema: &Value, fields: &Map<String, Value>, path: &str, found: &mut Vec<Violation>) {
    check_count(schema, "maxProperties", fields.len(), path, found);
    let known = schema["properties"].as_object();
    let values = &schema["additionalProperties"];
    for (name, value) in fields {
        let below = format!("{path}.{name}");
        match known.and_then(|known| known.get(name)) {
            Some(schema) => check(schema, value, &below, found),
            None if values.is_object() => check(values, value, &below, found),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => {
                let names = known.map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default();
                say(found, &below, unknown(name, names));
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            say(found, path, format!("lacks its field {name}: write it"));
        }
    }
}

/// What is said of a field that is not known here.
pub(super) fn unknown(name: &str, known: Vec<&str>) -> String {
    match nearest(name, known.iter().copied()) {
        Some(meant) => format!("is no known field: did you mean {meant}?"),
        None => format!("is no known field; there are {}", known.join(", ")),
    }
}

fn check_range(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    let number = value.as_f64().unwrap_or(f64::NAN);
    let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
    let low = least.is_some_and(|least| number < least);
    let high = most.is_some_and(|most| number > most);
    if low || high {
        let bounds = match (least, most) {
            (Some(least), Some(most)) => format!("write {least} to {most}"),
            (Some(least), None) => format!("write {least} or more"),
            (None, most) => format!("write {} or less", most.unwrap_or(f64::NAN)),
        };
        say(found, path, format!("{value} is too {}: {bounds}", if low { "small" } else { "large" }));
    } else if schema["format"] == "int32"
        && value.as_i64().is_none_or(|number| i32::try_from(number).is_err())
    {
        say(found, path, format!("{value} is too large: write at most {}", i32::MAX));
    }
}

fn check_text(schema: &Value, value: &Value, path: &str, found: &mut Vec<Violation>) {
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        return say(found, path, format!("{value} is none of {}", words.join(", ")));
    }
    let Some(text) = value.as_str() else { return };
    let pattern = schema["pattern"].as_str();
    let form = pattern.and_then(form_of);
    let fits =
        pattern.and_then(|pattern| Regex::new(pattern).ok()).is_none_or(|pattern| pattern.is_match(text));
    let length = text.chars().count() as u64;
    let short = schema["minLength"].as_u64().is_some_and(|least| length < least);
    let long = schema["maxLength"].as_u64().is_some_and(|most| length > most);
    match form {
        Some(form) if !fits || short || long => say(found, path, format!("{value} {form}")),
        _ if !fits => {
            say(found, path, format!("{value} does not have the form {}", pattern.unwrap_or_default()))
        }
        _ if short => {
            say(found, path, format!("{value} is too short: write at least {}", schema["minLength"]))
        }
        _ if long => {
            say(found, path, format!("is too long: write at most {} characters", schema["maxLength"]))
        }
        _ => {}
    }
}

/// A pattern for people.
fn form_of(pattern: &str) -> Option<&'static str> {
    match pattern {
        quantity::PATTERN => Some(quantity::FORM),
        retention::PATTERN => Some(retention::FORM),
        stream::NAME_PATTERN => Some(stream::NAME_FORM),
        definition::AMOUNT_PATTERN => Some(definition::AMOUNT_FORM),
        _ => None,
    }
}

fn check_count(schema: &Value, bound: &str, count: usize, path: &str, found: &mut Vec<Violation>) {
    if let Some(most) = schema[bound].as_u64().filter(|most| count as u64 > *most) {
        say(found, path, format!("has {count} entries: write at most {most}"));
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.chars().count() > 40 => "a long text".to_owned(),
        Value::String(_) => format!("the text {value}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn say(found: &mut Vec<Violation>, path: &str, message: String) {
    found.push(Violation { path: path.to_owned(), message, rule: None });
}
