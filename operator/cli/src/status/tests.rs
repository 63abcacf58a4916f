use super::*;
use crate::kubernetes::recorded::{Answers, cluster};
use serde_json::{Value, json};

const STREAMS: &str = "/apis/millrace.dev/v1alpha1/namespaces/demo/streams";
const BROKERS: &str = "/apis/millrace.dev/v1alpha1/namespaces/demo/brokers";
const PODS: &str = "/api/v1/namespaces/demo/pods";
const VOLUMES: &str = "/api/v1/namespaces/demo/persistentvolumeclaims";
const EVENTS: &str = "/api/v1/namespaces/demo/events";

fn now() -> Timestamp {
    "2026-03-01T12:10:00Z".parse().unwrap()
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    })
}

fn stream(ready: &str) -> Value {
    let half = u128::MAX / 2;
    json!({
        "metadata": { "name": "raw", "namespace": "demo", "generation": 2 },
        "spec": { "streamName": "Raw.v1", "capacity": { "maxShards": 16 } },
        "status": {
            "observedGeneration": 2, "openShards": 52, "reshards": 1, "lanes": 2,
            "arn": "arn:aws:kinesis:us-east-1:123456789012:stream/Raw.v1",
            "conditions": [condition("Ready", ready, "ShardsOpen", "52 shards are open.")],
            "shards": [
                { "id": "shardId-000000000002", "startingHashKey": (half + 1).to_string(),
                  "endingHashKey": u128::MAX.to_string(), "openedAt": "2026-03-01T12:09:00Z" },
                { "id": "shardId-000000000001", "startingHashKey": "0", "endingHashKey": half.to_string(),
                  "openedAt": "2026-03-01T10:10:00Z" },
            ],
        },
    })
}

fn event(kind: &str, name: &str, note: &str) -> Value {
    json!({
        "metadata": { "name": note }, "eventTime": "2026-03-01T12:05:00.000000Z", "type": "Normal",
        "reason": "Split", "message": note, "involvedObject": { "kind": kind, "name": name },
    })
}

fn broker(ready: &str, message: &str) -> Value {
    json!({
        "metadata": { "name": "default", "namespace": "demo", "generation": 1 },
        "spec": { "replicas": 1, "log": { "servers": 1, "replicas": 1 } },
        "status": {
            "observedGeneration": 1, "readyBrokers": 0, "readyLogServers": 1, "durability": "Synced",
            "endpoint": "http://default-api.demo.svc:4566",
            "certificates": {
                "digest": "x", "renewAt": "2026-03-20T00:00:00Z", "expireAt": "2026-03-31T12:10:00Z",
            },
            "conditions": [condition("Ready", ready, "Pods", message)],
        },
    })
}

fn pods() -> [Value; 2] {
    [
        json!({
            "metadata": { "name": "default-broker-0", "creationTimestamp": "2026-03-01T12:00:00Z" },
            "spec": { "containers": [{ "name": "broker" }] },
            "status": { "phase": "Pending", "containerStatuses": [{
                "name": "broker", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
                "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } },
            }] },
        }),
        json!({
            "metadata": { "name": "default-log-0", "creationTimestamp": "2026-03-01T12:00:00Z" },
            "spec": { "nodeName": "node-1", "containers": [{ "name": "nats-server" }, { "name": "keeper" }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
                "containerStatuses": [
                    { "name": "nats-server", "ready": true, "restartCount": 1, "image": "x", "imageID": "" },
                    { "name": "keeper", "ready": true, "restartCount": 2, "image": "x", "imageID": "" },
                ] },
        }),
    ]
}

fn volume() -> Value {
    json!({
        "metadata": { "name": "data-default-log-0" },
        "spec": { "storageClassName": "standard", "resources": { "requests": { "storage": "40Gi" } } },
        "status": { "phase": "Bound", "capacity": { "storage": "20Gi" } },
    })
}

async fn drawn(answers: Answers, object: &str) -> Drawn {
    draw(&cluster(answers), Some(&object.parse().unwrap()), false, now()).await.unwrap()
}

#[tokio::test]
async fn a_stream_is_told_with_its_conditions_shards_and_events() {
    let answers = Answers::default()
        .list(STREAMS, &[stream("True")])
        .object(&format!("{BROKERS}/default"), broker("True", "It serves."))
        .list(EVENTS, &[event("Stream", "raw", "Split shard 0."), event("Stream", "other", "Not this one.")]);
    let drawn = drawn(answers, "Raw.v1").await;
    let expected = "\
Stream raw (Raw.v1) in namespace demo: Ready
  Broker        default (Ready)
  Capacity      OnDemand, 1 to 16 shards, Apply
  Shards        52 open, 1 reshard under way, 2 lanes
  Retention     24h
  Quota         10Gi
  On deletion   Retain
  ARN           arn:aws:kinesis:us-east-1:123456789012:stream/Raw.v1

Conditions
  TYPE    STATUS   REASON       AGE   MESSAGE
  Ready   True     ShardsOpen   10m   52 shards are open.

Shards
  shardId-000000000001    0.0 –  50.0 % open for 120m
  shardId-000000000002   50.0 – 100.0 % open for 60s
  … and 50 more: `kubectl millrace shards raw` draws all

Events
  AGE   TYPE     REASON   OBJECT       NOTE
  5m    Normal   Split    Stream/raw   Split shard 0.
";
    assert_eq!(drawn.text, expected, "{}", drawn.text);
    assert!(drawn.ready);
}

#[tokio::test]
async fn a_stream_without_its_broker_says_what_to_apply() {
    let answers = Answers::default().list(STREAMS, &[stream("False")]).list(EVENTS, &[]);
    let drawn = drawn(answers, "stream/raw").await;
    assert!(drawn.text.contains("  Broker        default (there is none of this name)\n"), "{}", drawn.text);
    assert!(
        drawn.text.ends_with(
            "\nWhat to do\n  Apply a Broker named default in namespace demo; `kubectl get brokers -n demo` lists \
             those there are.\n"
        ),
        "{}",
        drawn.text
    );
    assert!(!drawn.ready);
}

#[tokio::test]
async fn a_broker_is_told_with_its_pods_and_volumes_and_why_it_does_not_serve() {
    let answers = Answers::default()
        .object(&format!("{BROKERS}/default"), broker("False", "0 of 1 brokers are ready."))
        .list(PODS, &pods())
        .list(VOLUMES, &[volume()])
        .list(
            EVENTS,
            &[event("Pod", "default-broker-0", "Back-off pulling."), event("Pod", "other", "Not this.")],
        );
    let drawn = drawn(answers, "broker/default").await;
    let expected = "\
Broker default in namespace demo: NotReady
  Brokers        0 of 1 ready
  Log servers    1 of 1 ready
  Storage        20Gi on each log server, records on 1 of them
  Durability     Synced
  Endpoint       http://default-api.demo.svc:4566
  Certificates   expire in 30d (2026-03-31T12:10:00Z), replaced from 2026-03-20T00:00:00Z

Conditions
  TYPE    STATUS   REASON   AGE   MESSAGE
  Ready   False    Pods     10m   0 of 1 brokers are ready.

Pods
  NAME               READY   PHASE     RESTARTS   AGE   NODE     REASON
  default-broker-0   0/1     Pending   0          10m   -        ImagePullBackOff: no such image
  default-log-0      2/2     Running   3          10m   node-1

Volumes
  NAME                 PHASE   SIZE                CLASS
  data-default-log-0   Bound   20Gi (wants 40Gi)   standard

Events
  AGE   TYPE     REASON   OBJECT                 NOTE
  5m    Normal   Split    Pod/default-broker-0   Back-off pulling.

What to do
  See what holds it: `kubectl describe pod default-broker-0 -n demo`.
";
    assert_eq!(drawn.text, expected, "{}", drawn.text);
    assert!(!drawn.ready);
}

#[tokio::test]
async fn parts_that_may_not_be_seen_are_said_to_be_hidden_and_the_rest_is_shown() {
    let answers = Answers::default()
        .object(&format!("{BROKERS}/default"), broker("True", "It serves."))
        .refuse(PODS, 403)
        .refuse(VOLUMES, 403)
        .refuse(EVENTS, 403);
    let drawn = drawn(answers, "broker/default").await;
    assert!(
        drawn.text.contains("\nPods: not shown, you may not list pods in namespace demo: ask"),
        "{}",
        drawn.text
    );
    assert!(drawn.text.contains("\nEvents: not shown, you may not list events in"), "{}", drawn.text);
    assert!(drawn.ready, "what is hidden is not unready");
}

#[tokio::test]
async fn an_overview_is_ready_only_when_everything_in_it_is() {
    let answers = |ready| {
        Answers::default()
            .list(BROKERS, &[broker("True", "It serves.")])
            .list(STREAMS, &[stream("True"), stream(ready)])
    };
    let ready = |answers| async { draw(&cluster(answers), None, false, now()).await.unwrap().ready };
    assert!(ready(answers("True")).await);
    assert!(!ready(answers("False")).await);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told_with_those_that_are() {
    let answers = Answers::default().list(BROKERS, &[broker("True", "It serves.")]);
    let target = Target::Broker("defualt".to_owned());
    let said = draw(&cluster(answers), Some(&target), false, now()).await.unwrap_err().to_string();
    assert_eq!(
        said,
        "there is no Broker defualt in namespace demo; did you mean default? there are: default"
    );
}
