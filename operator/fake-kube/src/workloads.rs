//! What the StatefulSet controller and the kubelet would do, one deterministic step at a time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::store::{Key, Store};

/// A pod's `status`, where a test wants another one than ready.
pub(crate) type PodStatuses = BTreeMap<(String, String), Value>;

/// Makes the pods and claims of every StatefulSet and writes the status of both. Pods are never replaced here:
/// one that was deleted comes back with the newest template, as with the update strategy `OnDelete`.
pub(crate) fn run(store: &mut Store, statuses: &PodStatuses) {
    let sets: Vec<(Key, Value)> = store
        .objects
        .iter()
        .filter(|(key, _)| key.0 == "statefulsets.apps")
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for (key, set) in sets {
        if set["metadata"].get("deletionTimestamp").is_none() {
            run_set(store, &key, &set, statuses);
        }
    }
}

fn kind(store: &Store, group: &str, plural: &str) -> Kind {
    store.kind(group, plural).expect("a built-in resource")
}

fn run_set(store: &mut Store, key: &Key, set: &Value, statuses: &PodStatuses) {
    let (_, namespace, name) = key;
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let mut hasher = DefaultHasher::new();
    set["spec"]["template"].to_string().hash(&mut hasher);
    let newest = format!("{name}-{:x}", hasher.finish() & 0xffff_ffff);
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name,
        "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true }]);
    let surplus: Vec<Key> = store
        .objects
        .iter()
        .filter(|(at, pod)| {
            let ordinal = at.2.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-'));
            at.0 == "pods"
                && at.1 == *namespace
                && pod["metadata"]["ownerReferences"][0]["uid"] == set["metadata"]["uid"]
                && ordinal
                    .and_then(|ordinal| ordinal.parse().ok())
                    .is_some_and(|ordinal: u64| ordinal >= wanted)
        })
        .map(|(at, _)| at.clone())
        .collect();
    for at in surplus {
        store.delete(&at, None);
    }
    let (mut ready, mut updated, mut oldest) = (0, 0, newest.clone());
    for ordinal in 0..wanted {
        let pod_name = format!("{name}-{ordinal}");
        make_claims(store, set, namespace, &pod_name);
        let pod = make_pod(store, set, namespace, &pod_name, &newest, &owner);
        let status =
            statuses.get(&(namespace.clone(), pod_name.clone())).cloned().unwrap_or_else(|| running(&pod));
        let mut now = pod.clone();
        now["status"] = status;
        let pods = kind(store, "", "pods");
        let at = ("pods".to_owned(), namespace.clone(), pod_name);
        let pod = store.put(&pods, &at, Some(&pod), now, "status").unwrap_or(pod);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        ready += i64::from(conditions.iter().any(|each| each["type"] == "Ready" && each["status"] == "True"));
        let revision = pod["metadata"]["labels"]["controller-revision-hash"].as_str().unwrap_or_default();
        if revision == newest {
            updated += 1;
        } else {
            oldest = revision.to_owned();
        }
    }
    let mut now = store.objects.get(key).cloned().unwrap_or_else(|| set.clone());
    let old = now.clone();
    now["status"] = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": wanted, "readyReplicas": ready,
        "availableReplicas": ready, "currentReplicas": wanted, "updatedReplicas": updated,
        "currentRevision": oldest, "updateRevision": newest, "collisionCount": 0,
    });
    let sets = kind(store, "apps", "statefulsets");
    // Writing a status that was made here can't be refused.
    drop(store.put(&sets, key, Some(&old), now, "status"));
}

fn make_claims(store: &mut Store, set: &Value, namespace: &str, pod: &str) {
    let claims = kind(store, "", "persistentvolumeclaims");
    for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let name = format!("{}-{pod}", template["metadata"]["name"].as_str().unwrap_or_default());
        let key = (claims.resource(), namespace.to_owned(), name.clone());
        if store.objects.contains_key(&key) {
            continue;
        }
        let mut labels = template["metadata"]["labels"].clone();
        for (label, value) in set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten() {
            labels[label] = value.clone();
        }
        let claim = json!({
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "spec": template["spec"],
        });
        let Ok(made) = store.put(&claims, &key, None, claim, "") else { continue };
        let mut bound = made.clone();
        let storage = &template["spec"]["resources"]["requests"]["storage"];
        bound["status"] = json!({ "phase": "Bound", "capacity": { "storage": storage } });
        drop(store.put(&claims, &key, Some(&made), bound, "status"));
    }
}

fn make_pod(
    store: &mut Store,
    set: &Value,
    namespace: &str,
    name: &str,
    revision: &str,
    owner: &Value,
) -> Value {
    let key = ("pods".to_owned(), namespace.to_owned(), name.to_owned());
    if let Some(pod) = store.objects.get(&key) {
        return pod.clone();
    }
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = json!(revision);
    labels["statefulset.kubernetes.io/pod-name"] = json!(name);
    labels["apps.kubernetes.io/pod-index"] = json!(name.rsplit('-').next());
    let pod = json!({
        "metadata": { "name": name, "namespace": namespace, "labels": labels,
            "annotations": template["metadata"]["annotations"], "ownerReferences": owner },
        "spec": template["spec"],
    });
    let pods = kind(store, "", "pods");
    store.put(&pods, &key, None, pod.clone(), "").unwrap_or(pod)
}

fn running(pod: &Value) -> Value {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let statuses: Vec<Value> = containers
        .map(|container| {
            json!({ "name": container["name"], "image": container["image"], "ready": true, "started": true,
                "imageID": "", "restartCount": 0, "state": { "running": {} } })
        })
        .collect();
    let is = |name: &str| json!({ "type": name, "status": "True" });
    json!({
        "phase": "Running",
        "conditions": [is("PodScheduled"), is("Initialized"), is("ContainersReady"), is("Ready")],
        "containerStatuses": statuses,
    })
}
