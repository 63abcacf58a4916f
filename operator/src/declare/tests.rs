//! Stream resources against an API server that answers what the test says.

use std::collections::VecDeque;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;

use super::*;

/// One request as it came: method, path without the part that all have in common, and body.
type Seen = (String, Value);

/// An API server that gives these answers (status and body) in turn, and keeps what it was asked.
struct Script {
    answers: Mutex<VecDeque<(u16, Value)>>,
    seen: Mutex<Vec<Seen>>,
}

fn resources(answers: impl IntoIterator<Item = (u16, Value)>) -> (StreamResources, Arc<Script>) {
    let script =
        Arc::new(Script { answers: Mutex::new(answers.into_iter().collect()), seen: Mutex::default() });
    let served = script.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let script = served.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let path =
                head.uri.path().trim_start_matches("/apis/millrace.dev/v1alpha1/namespaces/team-a/streams");
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            script.seen.lock().push((format!("{} {path}", head.method).trim_end().to_owned(), body));
            let (status, answer) = script.answers.lock().pop_front().expect("an answer to this request");
            let answer = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, tower::BoxError>(answer?)
        }
    });
    let client = Client::new(service, "team-a");
    (StreamResources::new(client, "team-a".into(), "main".into()), script)
}

impl Script {
    fn asked(&self) -> Vec<String> {
        assert!(self.answers.lock().is_empty(), "answers are left: {:?}", self.answers.lock());
        self.seen.lock().iter().map(|(asked, _)| asked.clone()).collect()
    }

    fn body(&self, index: usize) -> Value {
        self.seen.lock()[index].1.clone()
    }
}

fn there(name: &str, spec: Value) -> Value {
    let mut stream = json!(Stream::new(name, StreamSpec::default()));
    stream["metadata"]["uid"] = json!("u-1");
    stream["metadata"]["resourceVersion"] = json!("7");
    stream["spec"]["brokerRef"]["name"] = json!("main");
    for (field, value) in spec.as_object().into_iter().flatten() {
        stream["spec"][field] = value.clone();
    }
    stream
}

fn list(items: &[Value]) -> (u16, Value) {
    let (kind, version) = ("StreamList", "millrace.dev/v1alpha1");
    (200, json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "9"}, "items": items}))
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let (kind, version) = ("Status", "v1");
    let failure = json!({"kind": kind, "apiVersion": version, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    (code, failure)
}

fn missing() -> (u16, Value) {
    failure(404, "NotFound", "streams.millrace.dev not found")
}

#[tokio::test]
async fn a_stream_is_declared_with_its_name_its_broker_and_what_was_asked() {
    let (resources, script) = resources([missing(), list(&[]), (201, there("x", json!({})))]);
    let config = StreamConfig { shards: 3, retention_s: 48 * 3_600, ..StreamConfig::default() };
    resources.create("team-a", "Orders", &config).await.unwrap();
    let name = object_name("Orders");
    assert_eq!(script.asked(), [format!("GET /{name}"), "GET".into(), "POST".into()]);
    let made = script.body(2);
    assert_eq!(made["metadata"], json!({"name": name, "finalizers": ["millrace.dev/data"]}));
    let spec: StreamSpec = serde_json::from_value(made["spec"].clone()).unwrap();
    assert_eq!((spec.stream_name.as_deref(), spec.broker_ref.name.as_str()), (Some("Orders"), "main"));
    assert_eq!((spec.config(), spec.deletion_policy), (Ok(config), DeletionPolicy::Retain));
}

#[tokio::test]
async fn a_stream_that_an_object_of_another_name_declares_exists() {
    let (resources, script) =
        resources([missing(), list(&[there("other", json!({"streamName": "orders"}))])]);
    let created = resources.create("team-a", "orders", &StreamConfig::default()).await;
    assert_eq!(created, Err(ControlError::Exists("orders".into())));
    assert_eq!(script.asked(), ["GET /orders", "GET"]);
}

#[tokio::test]
async fn a_name_that_another_streams_object_has_is_passed_over() {
    let other = there("orders", json!({"streamName": "something-else"}));
    let taken = failure(409, "AlreadyExists", "streams.millrace.dev \"orders\" already exists");
    let answers = [
        (200, other.clone()),
        list(std::slice::from_ref(&other)),
        taken,
        (200, other),
        (201, there("x", json!({}))),
    ];
    let (resources, script) = resources(answers);
    resources.create("team-a", "orders", &StreamConfig::default()).await.unwrap();
    assert_eq!(script.asked(), ["GET /orders", "GET", "POST", "GET /orders", "POST"]);
    assert_eq!(script.body(4)["metadata"]["name"], hashed_name("orders"));
    assert_eq!(script.body(4)["spec"]["streamName"], "orders");
}

#[tokio::test]
async fn deleting_takes_the_data_along_and_no_other_object() {
    let found = there("orders", json!({}));
    let patched = there("orders", json!({"deletionPolicy": "Delete"}));
    let (resources, script) = resources([(200, found), (200, patched.clone()), (200, patched)]);
    resources.delete("team-a", "orders").await.unwrap();
    assert_eq!(script.asked(), ["GET /orders", "PATCH /orders", "DELETE /orders"]);
    let patch = json!({"metadata": {"resourceVersion": "7"}, "spec": {"deletionPolicy": "Delete"}});
    assert_eq!(script.body(1), patch);
    assert_eq!(script.body(2)["preconditions"], json!({"uid": "u-1"}));
}

#[tokio::test]
async fn an_object_that_was_made_under_the_name_since_is_not_deleted() {
    let found = there("orders", json!({"deletionPolicy": "Delete"}));
    let mut newer = found.clone();
    newer["metadata"]["uid"] = json!("u-2");
    let conflict = failure(409, "Conflict", "the UID in the precondition (u-1) does not match");
    let (resources, script) = resources([(200, found), conflict, (200, newer)]);
    resources.delete("team-a", "orders").await.unwrap();
    assert_eq!(script.asked(), ["GET /orders", "DELETE /orders", "GET /orders"]);
}

#[tokio::test]
async fn a_change_that_others_come_before_is_made_on_top_of_theirs() {
    let conflict = failure(409, "Conflict", "the object has been modified");
    let mut newer = there("orders", json!({"retention": "2880m"}));
    newer["metadata"]["resourceVersion"] = json!("8");
    let (resources, script) =
        resources([(200, there("orders", json!({}))), conflict, (200, newer.clone()), (200, newer)]);
    resources.configure("team-a", "orders", &|config| config.shards = 9).await.unwrap();
    assert_eq!(script.asked(), ["GET /orders", "PATCH /orders", "GET /orders", "PATCH /orders"]);
    let patch = json!({"metadata": {"resourceVersion": "8"}, "spec": {"capacity": {"shards": 9}}});
    assert_eq!(script.body(3), patch);
}

#[tokio::test]
async fn a_change_that_changes_nothing_writes_nothing() {
    let (resources, script) = resources([(200, there("orders", json!({})))]);
    resources.configure("team-a", "orders", &|config| config.rescale = true).await.unwrap();
    assert_eq!(script.asked(), ["GET /orders"]);
}

#[tokio::test]
async fn another_brokers_stream_and_another_namespace_are_out_of_reach() {
    let theirs = || there("orders", json!({"brokerRef": {"name": "other"}}));
    let none = Err(ControlError::NoStream("orders".into()));
    let (resources, script) = resources([(200, theirs()), (200, theirs())]);
    assert_eq!(resources.delete("team-a", "orders").await, none);
    assert_eq!(resources.configure("team-a", "orders", &|_| {}).await, none);
    assert_eq!(script.asked(), ["GET /orders", "GET /orders"]);
    let elsewhere = resources.delete("team-b", "orders").await;
    assert!(matches!(elsewhere, Err(ControlError::Forbidden(_))), "{elsewhere:?}");
}

#[tokio::test]
async fn a_rules_refusal_reaches_the_caller() {
    let said = "Stream.millrace.dev \"orders\" is invalid: spec.quota: Invalid value: write a quota";
    let (resources, script) = resources([missing(), list(&[]), failure(422, "Invalid", said)]);
    let created = resources.create("team-a", "orders", &StreamConfig::default()).await;
    assert_eq!(created, Err(ControlError::Refused(said.into())));
    assert_eq!(script.asked(), ["GET /orders", "GET", "POST"]);
}
