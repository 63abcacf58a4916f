//! What two ways to the same spec have in common at their ends.

use serde_json::Value;

use super::world::End;

/// An end without the traces that history rightly leaves.
pub(crate) fn comparable((mut objects, mut logs): End) -> End {
    for (key, object) in &mut objects {
        // Kubernetes lets nobody change what a StatefulSet's claims begin with: those that are there grow one by one.
        if key.starts_with("statefulsets.") {
            object["spec"]["volumeClaimTemplates"] = Value::Null;
        }
        // Nothing makes volumes grow here.
        if key.starts_with("persistentvolumeclaims/") {
            object["status"] = Value::Null;
            at_size(&mut object["spec"]);
        }
        if key.starts_with("streams.") {
            forget_shards(object);
        }
    }
    for kept in logs.values_mut() {
        // `shards` of a Stream on demand says how many there are to begin with, and the load decides of the rest.
        let is_on_demand = kept.entry.contains("mode: OnDemand");
        // Lanes are added for shards, and stay.
        kept.map = kept.map.filter(|_| !is_on_demand).map(|(open, reshards, _)| (open, reshards, 0));
    }
    (objects, logs)
}

/// Claims that were asked for at the size, and claims that have grown to it, may write it differently.
fn at_size(claim: &mut Value) {
    let size = &mut claim["resources"]["requests"]["storage"];
    if let Some(bytes) = size.as_str().and_then(|text| millrace_crds::ByteQuantity::new(text).bytes().ok()) {
        *size = bytes.into();
    }
}

/// A split or merge makes shards of other names than those that were there to begin with, over the same ranges.
fn forget_shards(stream: &mut Value) {
    let is_on_demand = stream["spec"]["capacity"]["mode"] == "OnDemand";
    let Some(status) = stream["status"].as_object_mut() else { return };
    status.remove("lanes");
    for shard in status.get_mut("shards").and_then(Value::as_array_mut).into_iter().flatten() {
        shard["id"] = Value::Null;
    }
    if is_on_demand {
        status.remove("shards");
        status.remove("openShards");
        for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            // It counts them.
            condition["message"] = Value::Null;
        }
    }
}
