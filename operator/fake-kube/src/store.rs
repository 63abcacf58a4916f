//! The objects, and what the API server does to an object before it stores it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::admission;
use crate::failure::Failure;
use crate::kinds::{self, Kind};

/// Where an object lies: resource (`plural.group`), namespace (empty if it has none), name.
pub(crate) type Key = (String, String, String);

/// One event of the history that watches read.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
    /// The object as the event carries it: for a deletion the last state with the deletion's revision.
    pub(crate) object: Value,
}

/// Everything that is stored.
pub(crate) struct Store {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(crate) history: Vec<Change>,
    pub(crate) revision: u64,
    /// Watches from before this revision are told 410.
    pub(crate) compacted: u64,
    pub(crate) now: Timestamp,
    uids: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            kinds: kinds::known(),
            objects: BTreeMap::new(),
            history: Vec::new(),
            // As on a server that has been up for a while: its first revisions are no longer kept.
            revision: 100,
            compacted: 100,
            now: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 56),
            uids: 0,
        }
    }

    pub(crate) fn time(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    pub(crate) fn kind(&self, group: &str, plural: &str) -> Option<Kind> {
        self.kinds.iter().find(|kind| kind.group == group && kind.plural == plural).cloned()
    }

    /// A number that no earlier call gave.
    pub(crate) fn serial(&mut self) -> u64 {
        self.uids += 1;
        self.uids
    }

    fn commit(&mut self, key: Key, after: Option<Value>) -> Value {
        self.revision += 1;
        let before = self.objects.get(&key).cloned();
        let mut object = after.clone().or_else(|| before.clone()).unwrap_or(Value::Null);
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let after = after.map(|_| object.clone());
        match &after {
            Some(object) => drop(self.objects.insert(key.clone(), object.clone())),
            None => drop(self.objects.remove(&key)),
        }
        self.history.push(Change { revision: self.revision, key, before, after, object: object.clone() });
        object
    }

    /// Stores `new` in place of `old`; hands back what is stored. A write that changes nothing leaves
    /// the revision alone.
    pub(crate) fn put(
        &mut self,
        kind: &Kind,
        key: &Key,
        old: Option<&Value>,
        mut new: Value,
        subresource: &str,
    ) -> Result<Value, Failure> {
        prune_nulls(&mut new);
        new["apiVersion"] = json!(kind.api_version());
        new["kind"] = json!(kind.kind);
        if let Some(old) = old {
            keep_server_fields(old, &mut new);
            let immutable = kind.kind == "ConfigMap" || kind.kind == "Secret";
            if immutable
                && old["immutable"] == true
                && (old["data"] != new["data"] || new["immutable"] != true)
            {
                let why = "Forbidden: field is immutable when `immutable` is set".to_owned();
                return Err(Failure::invalid(
                    kind,
                    &key.2,
                    &[("data".to_owned(), "FieldValueForbidden", why)],
                ));
            }
        } else {
            let uid = self.serial();
            let metadata = &mut new["metadata"];
            metadata["uid"] = json!(format!("00000000-0000-4000-8000-{uid:012x}"));
            metadata["creationTimestamp"] = json!(self.time());
            for name in ["resourceVersion", "deletionTimestamp", "generation", "deletionGracePeriodSeconds"] {
                metadata.as_object_mut().map(|metadata| metadata.remove(name));
            }
        }
        if subresource == "status" {
            let mut whole = old.cloned().unwrap_or_default();
            match new.get("status") {
                Some(status) => whole["status"] = status.clone(),
                None => drop(whole.as_object_mut().map(|whole| whole.remove("status"))),
            }
            whole["metadata"]["managedFields"] = new["metadata"]["managedFields"].take();
            new = whole;
        } else {
            if kind.status
                && let Some(fields) = new.as_object_mut()
            {
                fields.remove("status");
                if let Some(status) = old.and_then(|old| old.get("status")) {
                    fields.insert("status".to_owned(), status.clone());
                }
            }
            admission::encode_string_data(kind, &mut new);
            new = admission::admit(kind, &key.2, new, old)?;
        }
        prune_nulls(&mut new);
        if kind.generation {
            let last = old.map_or(0, |old| old["metadata"]["generation"].as_i64().unwrap_or(0));
            let same = old.is_some_and(|old| specification(old) == specification(&new));
            new["metadata"]["generation"] = json!(if same { last } else { last + 1 });
        }
        let finalized = |object: &Value| {
            object["metadata"].get("deletionTimestamp").is_some()
                && object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        };
        if finalized(&new) {
            self.objects.insert(key.clone(), new);
            return Ok(self.commit(key.clone(), None));
        }
        match old {
            Some(old) if same_but_for_times(old, &new) => Ok(old.clone()),
            _ => Ok(self.commit(key.clone(), Some(new))),
        }
    }

    /// Deletes an object, or marks it deleted while finalizers hold it.
    pub(crate) fn delete(&mut self, key: &Key, propagation: Option<&str>) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        let holder = match propagation {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        if let Some(holder) = holder {
            let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            if !finalizers.contains(&json!(holder)) {
                finalizers.push(json!(holder));
            }
            object["metadata"]["finalizers"] = Value::Array(finalizers);
        }
        if object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return Some(self.commit(key.clone(), None));
        }
        if object["metadata"].get("deletionTimestamp").is_none() {
            object["metadata"]["deletionTimestamp"] = json!(self.time());
            object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            // Deleting counts as a change of what is wanted.
            if let Some(generation) = object["metadata"]["generation"].as_i64() {
                object["metadata"]["generation"] = json!(generation + 1);
            }
        }
        if self.objects.get(key) == Some(&object) {
            return Some(object);
        }
        Some(self.commit(key.clone(), Some(object)))
    }
}

/// What `metadata.generation` counts changes of.
fn specification(object: &Value) -> Value {
    let mut part = object.clone();
    if let Some(fields) = part.as_object_mut() {
        fields.remove("metadata");
        fields.remove("status");
    }
    part
}

fn keep_server_fields(old: &Value, new: &mut Value) {
    for name in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        match old["metadata"].get(name) {
            Some(value) => new["metadata"][name] = value.clone(),
            None => drop(new["metadata"].as_object_mut().map(|metadata| metadata.remove(name))),
        }
    }
}

fn same_but_for_times(old: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            entry["time"] = Value::Null;
        }
        object
    };
    timeless(old) == timeless(new)
}

/// Takes null fields away, which the API server stores nowhere.
pub(crate) fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}
