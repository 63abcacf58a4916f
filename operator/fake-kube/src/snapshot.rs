//! All objects in a form in which two runs can be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::store::Store;

/// What differs between two runs that did the same.
const VOLATILE: [&str; 10] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "lastTransitionTime",
    "renewTime",
    "acquireTime",
    "eventTime",
    "generation",
];

/// Every object by `resource/namespace/name`.
pub(crate) fn take(store: &Store, leave_out: &[&str]) -> BTreeMap<String, Value> {
    store
        .objects
        .iter()
        .map(|((resource, namespace, name), object)| {
            let mut object = object.clone();
            clean(&mut object);
            if let Some(data) = object.get_mut("data").and_then(Value::as_object_mut) {
                data.retain(|key, _| !leave_out.contains(&key.as_str()));
            }
            (format!("{resource}/{namespace}/{name}"), object)
        })
        .collect()
}

fn clean(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            strip(fields);
            fields.values_mut().for_each(clean);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

fn strip(fields: &mut Map<String, Value>) {
    fields.retain(|name, _| !VOLATILE.contains(&name.as_str()));
    // Says which generation was seen, and -1 says that none was: the number itself counts the way taken.
    if let Some(seen) = fields.get_mut("observedGeneration")
        && seen.as_i64().is_some_and(|seen| seen > 0)
    {
        *seen = Value::from("seen");
    }
}
