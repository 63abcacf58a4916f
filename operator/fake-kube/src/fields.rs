//! Sets of fields, as `managedFields` names them: which leaves a manager owns.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The steps from the root to one field: `f:name` into a mapping, `k:{…}` to an item of a keyed list,
/// `v:…` to an item of a set; `.` at the end stands for the item itself.
pub(crate) type Path = Vec<String>;
/// Leaves that somebody owns.
pub(crate) type Fields = BTreeSet<Path>;

/// How server-side apply takes a list or a mapping.
enum Shape {
    Atomic,
    Granular,
    Keyed(Vec<&'static str>),
    Set,
}

/// Mappings that are replaced whole.
const ATOMIC: [&str; 14] = [
    "selector",
    "nodeSelector",
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "roleRef",
    "podSelector",
    "namespaceSelector",
    "labelSelector",
    "scaleTargetRef",
    "nodeAffinity",
    "defaultBackend",
    "claimRef",
];

fn shape(path: &[String], value: &Value, custom: bool) -> Shape {
    let name = path.last().and_then(|step| step.strip_prefix("f:")).unwrap_or_default();
    let in_metadata = path.first().is_some_and(|step| step == "f:metadata");
    match value {
        Value::Object(_) if custom || in_metadata => Shape::Granular,
        Value::Object(_) if ATOMIC.contains(&name) => Shape::Atomic,
        Value::Object(_) => Shape::Granular,
        Value::Array(_) if in_metadata => match name {
            "finalizers" => Shape::Set,
            "ownerReferences" => Shape::Keyed(vec!["uid"]),
            _ => Shape::Atomic,
        },
        Value::Array(_) if name == "conditions" => Shape::Keyed(vec!["type"]),
        Value::Array(_) if custom => Shape::Atomic,
        Value::Array(_) => match name {
            "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => {
                Shape::Keyed(vec!["name"])
            }
            "ports" if path.iter().any(|step| step == "f:containers" || step == "f:initContainers") => {
                Shape::Keyed(vec!["containerPort", "protocol"])
            }
            "ports" if path.len() == 2 => Shape::Keyed(vec!["port", "protocol"]),
            "volumeMounts" => Shape::Keyed(vec!["mountPath"]),
            "topologySpreadConstraints" => Shape::Keyed(vec!["topologyKey", "whenUnsatisfiable"]),
            _ => Shape::Atomic,
        },
        _ => Shape::Atomic,
    }
}

fn step_of(item: &Value, keys: &[&str]) -> String {
    let key: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let absent = if *key == "protocol" { json!("TCP") } else { Value::Null };
            ((*key).to_owned(), item.get(key).cloned().unwrap_or(absent))
        })
        .collect();
    format!("k:{}", Value::Object(key))
}

/// Every leaf of `value`.
pub(crate) fn leaves(value: &Value, custom: bool) -> Fields {
    let mut found = Fields::new();
    collect(value, &mut Vec::new(), custom, &mut found);
    found
}

fn collect(value: &Value, path: &mut Path, custom: bool, found: &mut Fields) {
    match (shape(path, value, custom), value) {
        (Shape::Granular, Value::Object(fields)) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(format!("f:{name}"));
                collect(value, path, custom, found);
                path.pop();
            }
        }
        (Shape::Keyed(keys), Value::Array(items)) if !items.is_empty() => {
            for item in items {
                path.push(step_of(item, &keys));
                found.insert([path.as_slice(), &[".".to_owned()]].concat());
                collect(item, path, custom, found);
                path.pop();
            }
        }
        (Shape::Set, Value::Array(items)) if !items.is_empty() => {
            for item in items {
                path.push(format!("v:{item}"));
                found.insert(path.clone());
                path.pop();
            }
        }
        _ => {
            found.insert(path.clone());
        }
    }
}

fn key_of(step: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(step.strip_prefix("k:")?).ok()
}

fn position(items: &[Value], step: &str) -> Option<usize> {
    if let Some(text) = step.strip_prefix("v:") {
        let wanted: Value = serde_json::from_str(text).ok()?;
        return items.iter().position(|item| *item == wanted);
    }
    let key = key_of(step)?;
    let names: Vec<&str> = key.keys().map(String::as_str).collect();
    items.iter().position(|item| step_of(item, &names) == step)
}

/// The value at `path`.
pub(crate) fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    let Some((step, rest)) = path.split_first() else { return Some(value) };
    match (step.strip_prefix("f:"), value) {
        _ if step == "." => Some(&Value::Null),
        (Some(name), Value::Object(fields)) => at(fields.get(name)?, rest),
        (None, Value::Array(items)) => at(&items[position(items, step)?], rest),
        _ => None,
    }
}

/// Takes the field at `path` away, and each mapping or list that this leaves empty.
pub(crate) fn remove(value: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    let last = rest.is_empty() || rest == ["."];
    match (step.strip_prefix("f:"), value) {
        (Some(name), Value::Object(fields)) => {
            let Some(inner) = fields.get_mut(name) else { return };
            if !last {
                remove(inner, rest);
            }
            if last || is_empty(inner) {
                fields.remove(name);
            }
        }
        (None, Value::Array(items)) => {
            let Some(index) = position(items, step) else { return };
            if last {
                items.remove(index);
            } else {
                remove(&mut items[index], rest);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Lays `applied` over `live`, item by item where lists have keys.
pub(crate) fn merge(live: &mut Value, applied: &Value, custom: bool) {
    merge_at(live, applied, &mut Vec::new(), custom);
}

fn merge_at(live: &mut Value, applied: &Value, path: &mut Path, custom: bool) {
    let shape = shape(path, applied, custom);
    match (shape, live, applied) {
        (Shape::Granular, Value::Object(live), Value::Object(applied)) => {
            for (name, value) in applied {
                path.push(format!("f:{name}"));
                match live.get_mut(name) {
                    Some(inner) => merge_at(inner, value, path, custom),
                    None => drop(live.insert(name.clone(), value.clone())),
                }
                path.pop();
            }
        }
        (Shape::Keyed(keys), Value::Array(live), Value::Array(applied)) => {
            for item in applied {
                let step = step_of(item, &keys);
                match position(live, &step) {
                    Some(index) => {
                        path.push(step);
                        merge_at(&mut live[index], item, path, custom);
                        path.pop();
                    }
                    None => live.push(item.clone()),
                }
            }
        }
        (Shape::Set, Value::Array(live), Value::Array(applied)) => {
            for item in applied {
                if !live.contains(item) {
                    live.push(item.clone());
                }
            }
        }
        (_, live, applied) => *live = applied.clone(),
    }
}

/// The set as `fieldsV1`.
pub(crate) fn to_json(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut place = &mut root;
        for step in path {
            place = &mut place[step.as_str()];
            if place.is_null() {
                *place = json!({});
            }
        }
    }
    root
}

/// The set that `fieldsV1` says.
pub(crate) fn from_json(value: &Value) -> Fields {
    let mut found = Fields::new();
    walk(value, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Path, found: &mut Fields) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (step, value) in fields {
                path.push(step.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        None if path.is_empty() => {}
        None => drop(found.insert(path.clone())),
    }
}
