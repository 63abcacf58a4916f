//! Subscriptions: records come as they are put, until another takes over, the shard ends or time is up.

use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use base64_simd::STANDARD;
use bytes::BytesMut;
use http::{Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millrace_core::StreamConfig;
use serde_json::{Value, json};

use crate::api::{Api, CBOR};

const SHARD: &str = "shardId-000000000000";

/// The events of an answer, one after the other.
struct Events {
    body: Incoming,
    seen: BytesMut,
    decoder: MessageFrameDecoder,
}

impl Events {
    fn of(answer: Response<Incoming>) -> Events {
        assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
        assert!(answer.headers().contains_key("x-amzn-requestid"));
        Events { body: answer.into_body(), seen: BytesMut::new(), decoder: MessageFrameDecoder::new() }
    }

    /// The next frame, `None` at the end.
    async fn frame(&mut self) -> Option<Message> {
        loop {
            if let DecodedFrame::Complete(message) = self.decoder.decode_frame(&mut self.seen).unwrap() {
                return Some(message);
            }
            let next = tokio::time::timeout(Duration::from_secs(30), self.body.frame()).await;
            let frame = next.expect("nothing came for long")?;
            self.seen.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// The type and payload of the next frame.
    async fn next(&mut self) -> Option<(String, Value)> {
        let frame = self.frame().await?;
        let header = |name: &str| {
            let found = frame.headers().iter().find(|header| header.name().as_str() == name);
            found.map(|header| header.value().as_string().unwrap().as_str().to_owned())
        };
        let kind = header(":event-type").or_else(|| header(":exception-type")).unwrap();
        let payload = match header(":content-type").unwrap() == CBOR {
            true => minicbor_serde::from_slice(frame.payload()).unwrap(),
            false => serde_json::from_slice(frame.payload()).unwrap(),
        };
        Some((kind, payload))
    }

    /// The next event with records or an end; those that only say that nothing has come are passed over.
    async fn telling(&mut self) -> Value {
        loop {
            let (kind, event) = self.next().await.expect("an event");
            assert_eq!(kind, "SubscribeToShardEvent");
            if event["Records"] != json!([]) || event.get("ContinuationSequenceNumber").is_none() {
                return event;
            }
        }
    }
}

async fn consumer(api: &Api) -> Value {
    let input = json!({"StreamARN": api.arn("team-a", "orders"), "ConsumerName": "c"});
    api.ok("RegisterStreamConsumer", input).await["Consumer"]["ConsumerARN"].clone()
}

fn input(consumer: &Value, position: Value) -> Value {
    json!({"ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": position})
}

async fn subscribe(api: &Api, consumer: &Value, position: Value) -> Events {
    let body = input(consumer, position).to_string();
    let answer = api.begin(api.request("team-a", "SubscribeToShard", body.as_bytes())).await;
    assert_eq!(answer.status(), 200);
    let mut events = Events::of(answer);
    assert_eq!(events.next().await, Some(("initial-response".into(), json!({}))));
    events
}

async fn put(api: &Api, text: &str) {
    let data = STANDARD.encode_to_string(text);
    api.ok("PutRecord", json!({"StreamName": "orders", "Data": data, "PartitionKey": "k"})).await;
}

fn texts(event: &Value) -> Vec<String> {
    let text = |record: &Value| STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap();
    event["Records"].as_array().unwrap().iter().map(|r| String::from_utf8(text(r)).unwrap()).collect()
}

/// A stream of one shard, and the ARN of its consumer.
async fn start() -> (Api, Value) {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let consumer = consumer(&api).await;
    (api, consumer)
}

#[tokio::test]
async fn records_come_as_they_are_put() {
    let (api, consumer) = start().await;
    put(&api, "before").await;
    let mut latest = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    let (_, first) = latest.next().await.unwrap();
    assert_eq!((&first["Records"], &first["MillisBehindLatest"]), (&json!([]), &json!(0)));
    assert!(first["ContinuationSequenceNumber"].is_string() && first.get("ChildShards").is_none());
    for text in ["one", "two"] {
        put(&api, text).await;
        assert_eq!(texts(&latest.telling().await), [text]);
    }
}

#[tokio::test]
async fn a_subscription_is_carried_by_http_2_and_written_in_cbor_to_those_who_ask_in_it() {
    let (api, consumer) = start().await;
    put(&api, "one").await;
    let body = minicbor_serde::to_vec(input(&consumer, json!({"Type": "TRIM_HORIZON"}))).unwrap();
    let mut request = api.request_of(CBOR, "team-a", "SubscribeToShard", &body);
    request.headers_mut().remove("host");
    *request.version_mut() = Version::HTTP_2;
    let http2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut events = Events::of(http2.request(request).await.unwrap());
    assert_eq!(events.next().await, Some(("initial-response".into(), json!({}))));
    let frame = events.frame().await.unwrap();
    assert!(frame.payload().windows(3).any(|bytes| bytes == b"one"), "{frame:?}");
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_told_to() {
    let (api, consumer) = start().await;
    put(&api, "one").await;
    let mut events = subscribe(&api, &consumer, json!({"Type": "TRIM_HORIZON"})).await;
    let event = events.telling().await;
    assert_eq!(texts(&event), ["one"]);
    put(&api, "two").await;
    for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
        api.clock.put_on(5_000);
        let position = json!({"Type": kind, "SequenceNumber": event["ContinuationSequenceNumber"]});
        let mut again = subscribe(&api, &consumer, position).await;
        assert_eq!(texts(&again.telling().await), ["two"], "{kind}");
    }
}

#[tokio::test]
async fn a_shards_end_names_its_children_and_ends_the_subscription() {
    let (api, consumer) = start().await;
    let mut events = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    events.next().await.unwrap();
    put(&api, "last").await;
    let half = "170141183460469231731687303715884105728";
    api.ok("SplitShard", json!({"StreamName": "orders", "ShardToSplit": SHARD, "NewStartingHashKey": half}))
        .await;
    assert_eq!(texts(&events.telling().await), ["last"]);
    let end = events.telling().await;
    assert_eq!(end["Records"], json!([]));
    assert_eq!(end["ChildShards"][1]["ShardId"], "shardId-000000000002");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_second_subscription_takes_over_after_five_seconds_and_not_before() {
    let (api, consumer) = start().await;
    let mut first = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    first.next().await.unwrap();
    let early = api.call("SubscribeToShard", input(&consumer, json!({"Type": "LATEST"}))).await;
    assert_eq!(early.error(), ("ResourceInUseException".into(), 400));
    api.clock.put_on(5_000);
    let _second = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    let (kind, error) = first.next().await.unwrap();
    assert_eq!(kind, "ResourceInUseException");
    assert!(error["message"].as_str().unwrap().contains("taken over"), "{error}");
    assert_eq!(first.next().await, None);
}

#[tokio::test]
async fn a_subscription_ends_after_five_minutes_and_with_its_consumer() {
    let (api, consumer) = start().await;
    let mut events = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    events.next().await.unwrap();
    api.clock.put_on(300_000);
    put(&api, "late").await;
    assert_eq!(events.next().await, None);
    let mut events = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    events.next().await.unwrap();
    api.ok("DeregisterStreamConsumer", json!({"ConsumerARN": consumer})).await;
    put(&api, "later").await;
    assert_eq!(events.next().await.unwrap().0, "ResourceNotFoundException");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_listener_that_stops_ends_its_subscriptions() {
    let (api, consumer) = start().await;
    let mut events = subscribe(&api, &consumer, json!({"Type": "LATEST"})).await;
    events.next().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), api.stop()).await.expect("it waited for the subscription");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn bad_subscriptions_get_kinesis_own_errors() {
    let (api, consumer) = start().await;
    let latest = json!({"Type": "LATEST"});
    let with = |member: &str, value: Value| {
        let mut input = input(&consumer, latest.clone());
        input[member] = value;
        input
    };
    let unknown = consumer.as_str().unwrap().replace("consumer/c", "consumer/d");
    for (input, name) in [
        (json!({}), "ValidationException"),
        (with("StartingPosition", json!({"Type": "OLDEST"})), "ValidationException"),
        (with("ConsumerARN", json!(api.arn("team-a", "orders"))), "ValidationException"),
        (with("ConsumerARN", json!(unknown)), "ResourceNotFoundException"),
        (with("ShardId", json!("shardId-000000000009")), "ResourceNotFoundException"),
        (with("StartingPosition", json!({"Type": "AT_SEQUENCE_NUMBER"})), "InvalidArgumentException"),
        (with("DryRun", json!(true)), "DryRunOperationException"),
    ] {
        let answer = api.call("SubscribeToShard", input.clone()).await;
        assert_eq!(answer.error(), (name.to_owned(), 400), "{input}");
    }
    // None of these has taken the place of a good one.
    subscribe(&api, &consumer, latest).await;
}

#[tokio::test]
async fn a_consumer_that_is_held_to_quotas_gets_all_records() {
    let api = Api::start().await;
    api.make_stream_with("team-a", "orders", StreamConfig::default()).await;
    let consumer = consumer(&api).await;
    let mut events = subscribe(&api, &consumer, json!({"Type": "TRIM_HORIZON"})).await;
    events.next().await.unwrap();
    let data = STANDARD.encode_to_string(vec![7; 1 << 19]);
    for _ in 0..3 {
        let record =
            json!({"StreamName": "orders", "Data": data, "PartitionKey": "k", "ExplicitHashKey": "0"});
        api.ok("PutRecord", record).await;
        assert_eq!(events.telling().await["Records"].as_array().unwrap().len(), 1);
    }
}
