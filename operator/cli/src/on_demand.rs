//! What to do when a stream's shards can't be split or merged by hand, since they follow its load. Pure.

use kube::ResourceExt;
use millrace_crds::Stream;
use millrace_crds::stream::Autoscaling;
use serde_json::{Value, json};

use crate::client::{CallError, Opened};
use crate::lineage::Shard;

/// Adds to an error of `SplitShard` or `MergeShards` how the stream would take the call. Other errors stay as
/// they are.
pub fn remedy(error: anyhow::Error, opened: &Opened, shards: &[Shard]) -> anyhow::Error {
    let on_demand = error.downcast_ref::<CallError>().is_some_and(|refused| {
        refused.name() == "ValidationException" && refused.to_string().contains("PROVISIONED")
    });
    if !on_demand {
        return error;
    }
    let open = shards.iter().filter(|shard| shard.open).count();
    let stream = &opened.stream;
    let how = match &opened.object {
        Some(object) => patch(object, open),
        None => format!(
            "set `mode: Provisioned` and `shards: {open}` under `spec.capacity` of Stream {stream} where it is declared"
        ),
    };
    anyhow::anyhow!(
        "the shards of {stream} follow its load (capacity.mode: OnDemand): leave them to the autoscaler, within \
         capacity.minShards and maxShards; or, to split and merge by hand, {how}"
    )
}

/// The command that lets people decide. It says as many shards as there are: as many as the spec says are made
/// otherwise.
fn patch(object: &Stream, open: usize) -> String {
    let mut capacity = json!({ "mode": "Provisioned", "shards": open });
    // The rules refuse Apply and a floor in this mode; null takes the field away.
    if object.spec.capacity.autoscaling == Some(Autoscaling::Apply) {
        capacity["autoscaling"] = Value::Null;
    }
    if !object.spec.capacity.floor.is_empty() {
        capacity["floor"] = Value::Null;
    }
    let patch = json!({ "spec": { "capacity": capacity } });
    format!(
        "run\n  kubectl patch stream {} -n {} --type merge -p '{patch}'",
        object.name_any(),
        object.namespace().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::{HashRange, ShardId};

    fn refused(name: &str, message: &str) -> anyhow::Error {
        CallError::Refused { name: name.to_owned(), message: message.to_owned() }.into()
    }

    fn shards() -> Vec<Shard> {
        let shard = |id, open| Shard { id: ShardId(id), parents: Vec::new(), range: HashRange::FULL, open };
        vec![shard(0, false), shard(1, true), shard(2, true)]
    }

    const ON_DEMAND: &str = "SplitShard is for streams in PROVISIONED capacity mode only: …";

    fn object(capacity: &Value) -> Stream {
        serde_json::from_value(json!({
            "metadata": { "name": "raw", "namespace": "demo" },
            "spec": { "streamName": "Raw.v1", "capacity": capacity },
        }))
        .unwrap()
    }

    #[test]
    fn on_a_cluster_the_command_to_run_is_written_out_with_the_shards_there_are() {
        let opened = |capacity| Opened::of_object(object(&capacity));
        let said = |opened| remedy(refused("ValidationException", ON_DEMAND), &opened, &shards()).to_string();
        let plain = said(opened(json!({})));
        assert!(
            plain.starts_with("the shards of Raw.v1 follow its load (capacity.mode: OnDemand)"),
            "{plain}"
        );
        assert!(
            plain.ends_with(
                "\n  kubectl patch stream raw -n demo --type merge -p \
                 '{\"spec\":{\"capacity\":{\"mode\":\"Provisioned\",\"shards\":2}}}'"
            ),
            "{plain}"
        );
        let applied = said(opened(json!({ "autoscaling": "Apply" })));
        assert!(applied.contains("\"autoscaling\":null"), "{applied}");
        let window = json!({ "start": "08:00", "end": "18:00", "shards": 20 });
        let floored = said(opened(json!({ "floor": [window] })));
        assert!(floored.contains("\"floor\":null") && !plain.contains("floor"), "{floored}");
    }

    #[test]
    fn other_refusals_stay_as_they_are() {
        let opened = Opened::of_object(object(&json!({})));
        let other = remedy(refused("ValidationException", "1 validation error"), &opened, &shards());
        assert_eq!(other.to_string(), "ValidationException: 1 validation error");
    }
}
