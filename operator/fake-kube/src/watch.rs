//! Watches: the history from a revision on, as lines of JSON.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::request::Call;
use crate::serve::gone;
use crate::store::Store;

/// The events after `revision` that a watch delivers, and the revision that it has read up to.
///
/// # Errors
/// 410 when the history does not reach back so far, 400 for an unknown selector.
pub(crate) fn read(store: &Store, call: &Call, revision: u64) -> Result<(Vec<Value>, u64), Failure> {
    if revision < store.compacted {
        return Err(gone());
    }
    let mut events = Vec::new();
    let from = store.history.partition_point(|change| change.revision <= revision);
    for change in &store.history[from..] {
        let (resource, namespace, name) = &change.key;
        let elsewhere = !call.namespace.is_empty() && *namespace != call.namespace;
        let another = call.name.as_ref().is_some_and(|wanted| wanted != name);
        if *resource != call.kind.resource() || elsewhere || another {
            continue;
        }
        let selects =
            |object: &Option<Value>| object.as_ref().map_or(Ok(false), |object| call.selects(object));
        // An object that stops to fit the selector is gone, as far as this watch is concerned.
        let kind = match (selects(&change.before)?, selects(&change.after)?) {
            (false, false) => continue,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        events.push(json!({ "type": kind, "object": change.object }));
    }
    Ok((events, store.revision))
}

/// What a watch without a revision begins with: everything there is, as `ADDED`.
pub(crate) fn initial(store: &Store, call: &Call) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    for ((resource, namespace, _), object) in &store.objects {
        let here =
            *resource == call.kind.resource() && (call.namespace.is_empty() || *namespace == call.namespace);
        if here && call.selects(object)? {
            events.push(json!({ "type": "ADDED", "object": object }));
        }
    }
    if call.flag("sendInitialEvents") {
        let mut end = bookmark(store, call);
        end["object"]["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        events.push(end);
    }
    Ok(events)
}

/// The event that tells how far a watch has come.
pub(crate) fn bookmark(store: &Store, call: &Call) -> Value {
    json!({ "type": "BOOKMARK", "object": {
        "kind": call.kind.kind, "apiVersion": call.kind.api_version(),
        "metadata": { "resourceVersion": store.revision.to_string(), "creationTimestamp": null },
    } })
}

/// The event that ends a watch.
pub(crate) fn error(failure: &Failure) -> Value {
    json!({ "type": "ERROR", "object": failure.status() })
}

/// Events as the lines that are sent.
pub(crate) fn lines(events: &[Value]) -> Bytes {
    events.iter().map(|event| format!("{event}\n")).collect::<String>().into()
}
