//! The verbs: what each request does to the store and how it is answered.

use http::Method;
use serde_json::{Value, json};

use crate::apply::{self, Applier};
use crate::failure::Failure;
use crate::managers;
use crate::request::Call;
use crate::store::{Key, Store};

/// HTTP status and body of an answer.
pub(crate) type Answer = Result<(u16, Value), Failure>;

/// Carries a request out. Watches are not answered here.
pub(crate) fn serve(store: &mut Store, call: &Call) -> Answer {
    match (&call.method, &call.name) {
        (&Method::GET, Some(name)) => get(store, call, name),
        (&Method::GET, None) => list(store, call),
        (&Method::POST, None) => create(store, call),
        (&Method::POST, Some(name)) if call.subresource == "eviction" => {
            remove(store, call, name)?;
            Ok((201, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })))
        }
        (&Method::PUT, Some(name)) => update(store, call, name),
        (&Method::PATCH, Some(name)) => patch(store, call, name),
        (&Method::DELETE, Some(name)) => {
            let object = remove(store, call, name)?;
            Ok((200, object))
        }
        (&Method::DELETE, None) => delete_all(store, call),
        _ => Err(Failure::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the resource",
        )),
    }
}

fn found(store: &Store, call: &Call, name: &str) -> Result<(Key, Value), Failure> {
    let key = call.key(name);
    let object = store.objects.get(&key).cloned();
    object.map(|object| (key, object)).ok_or_else(|| Failure::not_found(&call.kind, name))
}

fn get(store: &Store, call: &Call, name: &str) -> Answer {
    let (_, object) = found(store, call, name)?;
    if call.subresource == "scale" {
        return Ok((200, scale(call, &object)));
    }
    Ok((200, object))
}

/// Where a kind keeps the counts that its scale endpoint shows: wanted, present.
fn scale_paths(call: &Call) -> (&'static str, &'static str) {
    if call.kind.kind == "Stream" {
        ("/spec/capacity/shards", "/status/openShards")
    } else {
        ("/spec/replicas", "/status/replicas")
    }
}

fn scale(call: &Call, object: &Value) -> Value {
    let (wanted, present) = scale_paths(call);
    let count = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": { "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"] },
        "spec": { "replicas": count(wanted) },
        "status": { "replicas": count(present) },
    })
}

fn selected(store: &Store, call: &Call) -> Result<Vec<(Key, Value)>, Failure> {
    let mut items = Vec::new();
    for (key, object) in &store.objects {
        let here = key.0 == call.kind.resource() && (call.namespace.is_empty() || key.1 == call.namespace);
        if here && call.selects(object)? {
            items.push((key.clone(), object.clone()));
        }
    }
    Ok(items)
}

fn list(store: &Store, call: &Call) -> Answer {
    let mut items: Vec<Value> = selected(store, call)?.into_iter().map(|(_, object)| object).collect();
    let (start, revision) = match call.value("continue").split_once('.') {
        Some((start, revision)) => (start.parse().unwrap_or(0), revision.to_owned()),
        None => (0_usize, store.revision.to_string()),
    };
    if revision.parse::<u64>().unwrap_or(0) < store.compacted {
        return Err(gone());
    }
    let limit: usize = call.value("limit").parse().unwrap_or(0);
    let mut metadata = json!({ "resourceVersion": revision });
    items.drain(..start.min(items.len()));
    if limit > 0 && items.len() > limit {
        metadata["remainingItemCount"] = json!(items.len() - limit);
        metadata["continue"] = json!(format!("{}.{revision}", start + limit));
        items.truncate(limit);
    }
    let kind = format!("{}List", call.kind.kind);
    Ok((
        200,
        json!({ "kind": kind, "apiVersion": call.kind.api_version(), "metadata": metadata, "items": items }),
    ))
}

/// What a client is told whose revision is no longer kept.
pub(crate) fn gone() -> Failure {
    Failure::new(410, "Expired", "The resourceVersion for the provided watch is too old.")
}

fn create(store: &mut Store, call: &Call) -> Answer {
    let mut object = call.body.clone();
    if object["metadata"]["name"].is_null()
        && let Some(prefix) = object["metadata"]["generateName"].as_str()
    {
        object["metadata"]["name"] = json!(format!("{prefix}{:05x}", store.serial()));
    }
    let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
        let why = "Required value: name or generateName is required".to_owned();
        return Err(Failure::invalid(
            &call.kind,
            "",
            &[("metadata.name".to_owned(), "FieldValueRequired", why)],
        ));
    };
    if call.kind.namespaced {
        object["metadata"]["namespace"] = json!(call.namespace);
    }
    let key = call.key(&name);
    if store.objects.contains_key(&key) {
        return Err(Failure::exists(&call.kind, &name));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let owned = without_status(call, &object);
    let mut tracked = owned;
    managers::track_update(None, &mut tracked, &call.manager(), "", &store.time(), call.kind.custom);
    Ok((201, store.put(&call.kind, &key, None, tracked, "")?))
}

fn without_status(call: &Call, object: &Value) -> Value {
    let mut object = object.clone();
    if call.kind.status
        && let Some(fields) = object.as_object_mut()
    {
        fields.remove("status");
    }
    object
}

/// Stores a changed object in place of the old one for somebody who did not apply it.
fn replace(store: &mut Store, call: &Call, key: &Key, old: &Value, mut new: Value) -> Answer {
    let stale = new["metadata"]["resourceVersion"]
        .as_str()
        .is_some_and(|version| !version.is_empty() && old["metadata"]["resourceVersion"] != version);
    if stale {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(&call.kind, &key.2, why));
    }
    let other = new["metadata"]["uid"].as_str().is_some_and(|uid| old["metadata"]["uid"] != uid);
    if other {
        return Err(Failure::conflict(&call.kind, &key.2, &uid_differs(&new["metadata"]["uid"], old)));
    }
    // The endpoint's own half of the object is what the request may change.
    if call.subresource == "status" {
        let status = new.get("status").cloned();
        new = old.clone();
        new["status"] = status.unwrap_or(Value::Null);
    } else if call.kind.status {
        new["status"] = old["status"].clone();
    }
    crate::store::prune_nulls(&mut new);
    managers::track_update(
        Some(old),
        &mut new,
        &call.manager(),
        &call.subresource,
        &store.time(),
        call.kind.custom,
    );
    Ok((200, store.put(&call.kind, key, Some(old), new, &call.subresource)?))
}

fn uid_differs(wanted: &Value, old: &Value) -> String {
    format!(
        "Precondition failed: UID in precondition: {}, UID in object meta: {}",
        wanted.as_str().unwrap_or_default(),
        old["metadata"]["uid"].as_str().unwrap_or_default()
    )
}

fn update(store: &mut Store, call: &Call, name: &str) -> Answer {
    let (key, old) = found(store, call, name)?;
    if call.subresource == "scale" {
        return rescale(store, call, &key, &old, &call.body);
    }
    if call.kind.custom && call.body["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty) {
        let why = "Invalid value: 0: must be specified for an update".to_owned();
        let cause = ("metadata.resourceVersion".to_owned(), "FieldValueInvalid", why);
        return Err(Failure::invalid(&call.kind, name, &[cause]));
    }
    replace(store, call, &key, &old, call.body.clone())
}

fn rescale(store: &mut Store, call: &Call, key: &Key, old: &Value, scale: &Value) -> Answer {
    let mut new = old.clone();
    if let Some(count) = new.pointer_mut(scale_paths(call).0) {
        *count = scale["spec"]["replicas"].clone();
    }
    let (code, object) = replace(store, call, key, old, new)?;
    Ok((code, self::scale(call, &object)))
}

fn patch(store: &mut Store, call: &Call, name: &str) -> Answer {
    match call.content_type.split(';').next().unwrap_or_default() {
        "application/apply-patch+yaml" => apply_patch(store, call, name),
        // None of the patches in use names an item of a keyed list, where the two would differ.
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
            let (key, old) = found(store, call, name)?;
            let mut new = if call.subresource == "scale" { scale(call, &old) } else { old.clone() };
            merge(&mut new, &call.body);
            if call.subresource == "scale" {
                return rescale(store, call, &key, &old, &new);
            }
            replace(store, call, &key, &old, new)
        }
        other => Err(Failure::new(
            415,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format: {other}"),
        )),
    }
}

/// JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in changes {
        if change.is_null() {
            target.as_object_mut().map(|fields| fields.remove(name));
        } else {
            merge(&mut target[name.as_str()], change);
        }
    }
}

fn apply_patch(store: &mut Store, call: &Call, name: &str) -> Answer {
    let key = call.key(name);
    let live = store.objects.get(&key).cloned();
    if live.is_none() && !call.subresource.is_empty() {
        return Err(Failure::not_found(&call.kind, name));
    }
    let mut applied = call.body.clone();
    crate::store::prune_nulls(&mut applied);
    if applied["metadata"].get("managedFields").is_some_and(|fields| *fields != json!([])) {
        return Err(Failure::new(400, "BadRequest", "metadata.managedFields must be nil"));
    }
    if call.value("fieldManager").is_empty() {
        return Err(Failure::new(400, "BadRequest", "fieldManager is required for apply patch"));
    }
    let wanted = &applied["metadata"]["resourceVersion"];
    if let (Some(live), Some(wanted)) = (&live, wanted.as_str())
        && live["metadata"]["resourceVersion"] != wanted
    {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Failure::conflict(&call.kind, name, why));
    }
    applied["metadata"]["name"] = json!(name);
    if call.kind.namespaced {
        applied["metadata"]["namespace"] = json!(call.namespace);
    }
    let time = store.time();
    let by = Applier {
        manager: call.value("fieldManager"),
        subresource: &call.subresource,
        force: call.flag("force"),
        time: &time,
    };
    let merged = apply::apply(&call.kind, live.as_ref(), &applied, &by)?;
    let code = if live.is_some() { 200 } else { 201 };
    Ok((code, store.put(&call.kind, &key, live.as_ref(), merged, &call.subresource)?))
}

fn remove(store: &mut Store, call: &Call, name: &str) -> Result<Value, Failure> {
    let (key, object) = found(store, call, name)?;
    let options = call.body.get("deleteOptions").unwrap_or(&call.body);
    let wanted = &options["preconditions"];
    if wanted["uid"].is_string() && wanted["uid"] != object["metadata"]["uid"] {
        return Err(Failure::conflict(&call.kind, name, &uid_differs(&wanted["uid"], &object)));
    }
    let version = &wanted["resourceVersion"];
    if version.is_string() && *version != object["metadata"]["resourceVersion"] {
        let why = "Precondition failed: ResourceVersion in precondition differs from that of the object";
        return Err(Failure::conflict(&call.kind, name, why));
    }
    let propagation = options["propagationPolicy"].as_str();
    store.delete(&key, propagation).ok_or_else(|| Failure::not_found(&call.kind, name))
}

fn delete_all(store: &mut Store, call: &Call) -> Answer {
    let items = selected(store, call)?;
    for (key, _) in &items {
        store.delete(key, call.body["propagationPolicy"].as_str());
    }
    let items: Vec<Value> = items.into_iter().map(|(_, object)| object).collect();
    let kind = format!("{}List", call.kind.kind);
    let metadata = json!({ "resourceVersion": store.revision.to_string() });
    Ok((
        200,
        json!({ "kind": kind, "apiVersion": call.kind.api_version(), "metadata": metadata, "items": items }),
    ))
}
