//! Every field of both resources, as their schemas have them, is changed, removed and made what it can't be in turn:
//! what can't be is refused by name and changes nothing; all else comes to rest with its generation seen, is said to
//! be ready or why it is not, and ends where one ends that was made so in the first place.

mod ends;
mod references;
mod schema;
mod values;
mod walk;
#[path = "../world/mod.rs"]
mod world;
mod zones;

use schema::{Field, fields};
use serde_json::{Value, json};
use walk::Walk;
use world::{is_fast, run};

/// Walks those of a kind's fields that are asked for; `make test-fast` takes every eighth.
fn walk(kind: &'static str, base: Value, which: fn(&Field) -> bool) {
    let mut walked: Vec<Field> = fields(kind).into_iter().filter(which).collect();
    if is_fast() {
        walked = walked.into_iter().step_by(8).collect();
    }
    run(async {
        let mut walk = Walk::new(kind, base).await;
        for field in &walked {
            walk.visit(field).await;
        }
        println!("{} fields of a {kind}: {}", walked.len(), walk.figures());
        walk.has_seen_each_served(&walked);
    });
}

/// One pod of each sort, so that a change is rolled out at once.
fn small_broker() -> Value {
    json!({
        "log": {"servers": 1, "replicas": 1, "storage": {"size": "10Gi"}},
        "replicas": 1,
        "service": {"type": "NodePort"},
    })
}

fn is_scheduling(field: &Field) -> bool {
    field.is_within("scheduling")
}

#[test]
fn every_field_of_a_stream_on_demand() {
    walk("Stream", json!({}), |_| true);
}

#[test]
fn every_field_of_a_provisioned_stream() {
    let capacity = json!({
        "mode": "Provisioned", "shards": 2, "minShards": 2, "maxShards": 9, "mergeAfterSeconds": 60,
        "targetPerShard": {"bytesPerSecond": "3Mi", "recordsPerSecond": 500}, "autoscaling": "Recommend",
    });
    let base = json!({
        "streamName": "Orders", "brokerRef": {"name": "default"}, "capacity": capacity, "retention": "72h",
        "quota": "3Gi", "limits": "None", "deletionPolicy": "Delete",
    });
    // It can have no floor, as a rule says.
    walk("Stream", base, |field| !field.is_within("floor"));
}

#[test]
fn every_field_of_a_broker_but_where_its_pods_run() {
    walk("Broker", small_broker(), |field| !is_scheduling(field));
}

#[test]
fn every_field_of_where_a_brokers_log_servers_run() {
    walk("Broker", small_broker(), |field| is_scheduling(field) && field.is_within("log"));
}

#[test]
fn every_field_of_where_a_brokers_brokers_run() {
    walk("Broker", small_broker(), |field| is_scheduling(field) && !field.is_within("log"));
}
