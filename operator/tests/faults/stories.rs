//! What users do.

use serde_json::{Value, json};

use super::world::Step::{self, Apply, Delete};
use super::world::object;

/// Something that users do, step by step.
pub(crate) struct Story {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Each step waits until the one before has come to rest.
    pub(crate) steps: fn() -> Vec<Step>,
}

/// Each is told with a fault at every request.
pub(crate) const STORIES: &[Story] = &[
    Story { name: "made", steps: || vec![Apply(broker()), Apply(stream())] },
    Story { name: "stream first", steps: || vec![Apply(stream()), Apply(broker())] },
    Story {
        name: "stream changed",
        steps: || vec![Apply(broker()), Apply(stream()), Apply(stream_changed())],
    },
    Story {
        name: "stream's limits changed",
        steps: || vec![Apply(broker()), Apply(stream_on_demand()), Apply(stream_with_other_limits())],
    },
    Story {
        name: "kept after all",
        steps: || {
            vec![
                Apply(broker()),
                Apply(stream_to_delete()),
                Apply(stream_on_demand()),
                Delete("Stream", "orders"),
            ]
        },
    },
    Story {
        name: "placed anew",
        steps: || vec![Apply(broker()), Apply(stream()), Apply(broker_elsewhere())],
    },
    Story {
        name: "retained",
        steps: || vec![Apply(broker()), Apply(stream()), Delete("Stream", "orders"), Apply(stream_changed())],
    },
    Story {
        name: "deleted",
        steps: || vec![Apply(broker()), Apply(stream_to_delete()), Delete("Stream", "orders")],
    },
    Story { name: "rolled", steps: || vec![Apply(broker()), Apply(stream()), Apply(broker_changed())] },
    Story { name: "grown", steps: || vec![Apply(broker()), Apply(broker_grown())] },
    Story { name: "servers added", steps: || vec![Apply(broker()), Apply(broker_with_five_servers())] },
    Story {
        name: "broker again",
        steps: || vec![Apply(broker()), Apply(stream()), Delete("Broker", "default"), Apply(broker())],
    },
    Story {
        name: "name handed over",
        steps: || {
            vec![
                Apply(broker()),
                Apply(stream()),
                Apply(stream_of_the_same_name()),
                Delete("Stream", "orders"),
            ]
        },
    },
];

fn broker() -> Value {
    object("Broker", "default", json!({"log": {"storage": {"size": "10Gi"}}}))
}

fn broker_changed() -> Value {
    let log =
        json!({"storage": {"size": "10Gi"}, "resources": {"requests": {"memory": "1024Mi", "cpu": "0.5"}}});
    object("Broker", "default", json!({"log": log, "durability": "Relaxed", "replicas": 3}))
}

/// On other nodes, and reached by other ports.
fn broker_elsewhere() -> Value {
    let scheduling = json!({"nodeSelector": {"disk": "fast"}, "tolerations": [{"operator": "Exists"}]});
    let log = json!({"storage": {"size": "10Gi"}, "scheduling": scheduling});
    let service = json!({"type": "NodePort", "port": 443, "nodePort": 30566, "annotations": {"a": "b"}});
    object("Broker", "default", json!({"log": log, "service": service}))
}

fn broker_grown() -> Value {
    object("Broker", "default", json!({"log": {"storage": {"size": "20Gi"}}}))
}

fn broker_with_five_servers() -> Value {
    object("Broker", "default", json!({"log": {"servers": 5, "storage": {"size": "10Gi"}}}))
}

fn stream() -> Value {
    object("Stream", "orders", json!({"capacity": {"mode": "Provisioned", "shards": 2}}))
}

fn stream_changed() -> Value {
    let capacity = json!({"mode": "Provisioned", "shards": 4});
    object("Stream", "orders", json!({"capacity": capacity, "retention": "48h", "quota": "2Gi"}))
}

fn stream_on_demand() -> Value {
    object("Stream", "orders", json!({}))
}

fn stream_with_other_limits() -> Value {
    let capacity = json!({
        "maxShards": 64, "autoscaling": "Recommend", "mergeAfterSeconds": 600,
        "targetPerShard": {"bytesPerSecond": "2Mi", "recordsPerSecond": 2000},
    });
    object("Stream", "orders", json!({"capacity": capacity, "limits": "None", "retention": "48h"}))
}

fn stream_to_delete() -> Value {
    object("Stream", "orders", json!({"deletionPolicy": "Delete"}))
}

fn stream_of_the_same_name() -> Value {
    object(
        "Stream",
        "second",
        json!({"streamName": "orders", "capacity": {"mode": "Provisioned", "shards": 2}}),
    )
}
