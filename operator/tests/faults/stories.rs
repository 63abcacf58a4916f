//! What users do.

use serde_json::{Value, json};

/// Something that users do, step by step.
pub(crate) struct Story {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Each step waits until the one before has come to rest.
    pub(crate) steps: &'static [Step],
}

/// One thing that a user does.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// `kubectl apply`.
    Apply(fn() -> Value),
    /// `kubectl delete`: kind and name.
    Delete(&'static str, &'static str),
}

use Step::{Apply, Delete};

/// Ten of them.
pub(crate) const STORIES: &[Story] = &[
    Story { name: "made", steps: &[Apply(broker), Apply(stream)] },
    Story { name: "stream first", steps: &[Apply(stream), Apply(broker)] },
    Story { name: "stream changed", steps: &[Apply(broker), Apply(stream), Apply(stream_changed)] },
    Story {
        name: "retained",
        steps: &[Apply(broker), Apply(stream), Delete("Stream", "orders"), Apply(stream_changed)],
    },
    Story { name: "deleted", steps: &[Apply(broker), Apply(stream_to_delete), Delete("Stream", "orders")] },
    Story { name: "rolled", steps: &[Apply(broker), Apply(stream), Apply(broker_changed)] },
    Story { name: "grown", steps: &[Apply(broker), Apply(broker_grown)] },
    Story { name: "servers added", steps: &[Apply(broker), Apply(broker_with_five_servers)] },
    Story {
        name: "broker again",
        steps: &[Apply(broker), Apply(stream), Delete("Broker", "default"), Apply(broker)],
    },
    Story {
        name: "name handed over",
        steps: &[Apply(broker), Apply(stream), Apply(stream_of_the_same_name), Delete("Stream", "orders")],
    },
];

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "millrace.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    })
}

fn broker() -> Value {
    object("Broker", "default", json!({"log": {"storage": {"size": "10Gi"}}}))
}

fn broker_changed() -> Value {
    let log =
        json!({"storage": {"size": "10Gi"}, "resources": {"requests": {"memory": "1024Mi", "cpu": "0.5"}}});
    object("Broker", "default", json!({"log": log, "durability": "Relaxed", "replicas": 3}))
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
