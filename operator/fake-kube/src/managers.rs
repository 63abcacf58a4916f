//! Who owns which field of an object: reads and writes `metadata.managedFields`.

use serde_json::{Value, json};

use crate::fields::{self, Fields};

/// One entry of `managedFields`.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) manager: String,
    pub(crate) operation: &'static str,
    pub(crate) subresource: String,
    pub(crate) time: String,
    pub(crate) fields: Fields,
}

impl Owner {
    pub(crate) fn is(&self, manager: &str, operation: &str, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }
}

pub(crate) fn read(object: &Value) -> Vec<Owner> {
    let entries = object["metadata"]["managedFields"].as_array();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries
        .into_iter()
        .flatten()
        .map(|entry| Owner {
            manager: text(entry, "manager"),
            operation: if entry["operation"] == "Apply" { "Apply" } else { "Update" },
            subresource: text(entry, "subresource"),
            time: text(entry, "time"),
            fields: fields::from_json(&entry["fieldsV1"]),
        })
        .collect()
}

pub(crate) fn write(object: &mut Value, mut owners: Vec<Owner>) {
    owners.retain(|owner| !owner.fields.is_empty());
    let version = object["apiVersion"].clone();
    let entries: Vec<Value> = owners
        .iter()
        .map(|owner| {
            let mut entry = json!({
                "manager": owner.manager, "operation": owner.operation, "apiVersion": version,
                "time": owner.time, "fieldsType": "FieldsV1", "fieldsV1": fields::to_json(&owner.fields),
            });
            if !owner.subresource.is_empty() {
                entry["subresource"] = json!(owner.subresource);
            }
            entry
        })
        .collect();
    match object["metadata"].as_object_mut() {
        Some(metadata) if entries.is_empty() => drop(metadata.remove("managedFields")),
        _ => object["metadata"]["managedFields"] = Value::Array(entries),
    }
}

/// The object's part that can be owned: without what names it and what the server writes.
pub(crate) fn ownable(object: &Value) -> Value {
    const SERVER: [&str; 9] = [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
        "deletionGracePeriodSeconds",
    ];
    let mut part = object.clone();
    if let Some(fields) = part.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !SERVER.contains(&name.as_str()));
            if metadata.is_empty() {
                fields.remove("metadata");
            }
        }
    }
    part
}

/// Hands to `manager` every field that an update changed, and takes fields that are gone from everybody.
pub(crate) fn track_update(
    old: Option<&Value>,
    new: &mut Value,
    manager: &str,
    subresource: &str,
    time: &str,
    custom: bool,
) {
    let before = old.map(ownable).unwrap_or(Value::Null);
    let after = ownable(new);
    let present = fields::leaves(&after, custom);
    let changed: Fields = present
        .iter()
        .filter(|path| !path.is_empty() && fields::at(&before, path) != fields::at(&after, path))
        .cloned()
        .collect();
    let mut owners = old.map(read).unwrap_or_default();
    for owner in &mut owners {
        owner.fields.retain(|path| present.contains(path) && !changed.contains(path));
    }
    if !changed.is_empty() {
        match owners.iter_mut().find(|owner| owner.is(manager, "Update", subresource)) {
            Some(owner) => {
                owner.fields.extend(changed);
                time.clone_into(&mut owner.time);
            }
            None => owners.push(Owner {
                manager: manager.to_owned(),
                operation: "Update",
                subresource: subresource.to_owned(),
                time: time.to_owned(),
                fields: changed,
            }),
        }
    }
    write(new, owners);
}
