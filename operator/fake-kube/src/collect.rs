//! Garbage collection: objects whose owners are gone go too.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::store::{Key, Store};

/// Deletes what has owners of which none exists, and finishes foreground and orphaning deletions, until nothing
/// is left to do.
pub(crate) fn collect_garbage(store: &mut Store) {
    while step(store) {}
}

/// Whether there is anything to collect at all: this is asked after each request.
fn is_due(store: &Store) -> bool {
    let uids: HashSet<&str> =
        store.objects.values().filter_map(|object| object["metadata"]["uid"].as_str()).collect();
    store.objects.values().any(|object| {
        let metadata = &object["metadata"];
        if metadata.get("deletionTimestamp").is_some() {
            return metadata["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        }
        let owners = metadata["ownerReferences"].as_array().filter(|owners| !owners.is_empty());
        let lives = |owner: &Value| owner["uid"].as_str().is_some_and(|uid| uids.contains(uid));
        owners.is_some_and(|owners| !owners.iter().any(lives))
    })
}

fn step(store: &mut Store) -> bool {
    if !is_due(store) {
        return false;
    }
    let uids: Vec<String> = store.objects.values().map(uid).collect();
    let owners =
        |object: &Value| object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let objects: Vec<(Key, Value)> = store.objects.clone().into_iter().collect();
    for (key, object) in &objects {
        let references = owners(object);
        let orphan = !references.is_empty()
            && references.iter().all(|owner| !uids.iter().any(|uid| owner["uid"] == uid.as_str()));
        if orphan && object["metadata"].get("deletionTimestamp").is_none() {
            store.delete(key, None);
            return true;
        }
        let deleting = object["metadata"].get("deletionTimestamp").is_some();
        let held = |by: &str| {
            object["metadata"]["finalizers"].as_array().is_some_and(|held| held.contains(&json!(by)))
        };
        if !deleting || !(held("foregroundDeletion") || held("orphan")) {
            continue;
        }
        let mine = uid(object);
        let children: Vec<&(Key, Value)> = objects
            .iter()
            .filter(|(_, child)| owners(child).iter().any(|owner| owner["uid"] == mine.as_str()))
            .collect();
        if held("orphan") {
            for (child_key, child) in children {
                let mut child = child.clone();
                let kept = owners(&child).into_iter().filter(|owner| owner["uid"] != mine.as_str()).collect();
                child["metadata"]["ownerReferences"] = Value::Array(kept);
                replace(store, child_key, child);
            }
            release(store, key, object, "orphan");
            return true;
        }
        let blocking: Vec<_> = children
            .iter()
            .filter(|(_, child)| {
                owners(child)
                    .iter()
                    .any(|owner| owner["uid"] == mine.as_str() && owner["blockOwnerDeletion"] == true)
            })
            .collect();
        if blocking.is_empty() {
            release(store, key, object, "foregroundDeletion");
            return true;
        }
        if let Some((child, _)) =
            children.iter().find(|(_, child)| child["metadata"].get("deletionTimestamp").is_none())
        {
            store.delete(child, None);
            return true;
        }
    }
    false
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn release(store: &mut Store, key: &Key, object: &Value, finalizer: &str) {
    let mut object = object.clone();
    if let Some(held) = object["metadata"]["finalizers"].as_array_mut() {
        held.retain(|held| held != finalizer);
    }
    replace(store, key, object);
}

fn replace(store: &mut Store, key: &Key, object: Value) {
    let Some(kind) = store.kinds.iter().find(|kind| kind.resource() == key.0).cloned() else { return };
    let old = store.objects.get(key).cloned();
    // The object was admitted before and only its metadata differs.
    drop(store.put(&kind, key, old.as_ref(), object, ""));
}
