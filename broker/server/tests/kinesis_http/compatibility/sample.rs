//! A broker with streams in all states, and inputs that are as they should be.

use http::Response;
use hyper::body::Incoming;
use millrace_core::{CapacityMode, Limits, RecordSize, StreamConfig, StreamState};
use serde_json::{Map, Value, json};

use super::model::{Operation, Parameter};
use crate::api::{Answer, Api};

const SHARDS: [&str; 2] = ["shardId-000000000000", "shardId-000000000001"];

/// Streams of `team-a`: `orders` and `bills` without quotas, `busy` with them, `demand` on demand, `making` that is not
/// yet there, and `gone`; `orders` has the consumer `c`.
pub(super) struct Sample {
    pub(super) api: Api,
    pub(super) consumer: String,
    pub(super) iterator: String,
    /// Of the stream that is gone.
    pub(super) lost_iterator: String,
}

impl Sample {
    pub(super) async fn start() -> Sample {
        let api = Api::start().await;
        api.make_stream("team-a", "orders", 3).await;
        for name in ["bills", "making", "gone"] {
            api.make_stream("team-a", name, 2).await;
        }
        let mode = CapacityMode::Provisioned;
        let busy = StreamConfig { mode, shards: 1, max_record: RecordSize::MAX, ..StreamConfig::default() };
        api.make_stream_with("team-a", "busy", busy).await;
        let demand = StreamConfig { limits: Limits::None, ..StreamConfig::default() };
        api.make_stream_with("team-a", "demand", demand).await;
        let consumer = json!({"StreamARN": api.arn("team-a", "orders"), "ConsumerName": "c"});
        let consumer = api.ok("RegisterStreamConsumer", consumer).await["Consumer"]["ConsumerARN"].clone();
        let consumer = consumer.as_str().unwrap().to_owned();
        let iterator = api.iterator("orders", SHARDS[0], "LATEST", json!({})).await;
        let lost_iterator = api.iterator("gone", SHARDS[0], "LATEST", json!({})).await;
        for (name, state) in [("making", StreamState::Creating), ("gone", StreamState::Deleting)] {
            api.change_entry("team-a", name, |entry| entry.state = state).await;
            api.until(|| api.broker.stream("team-a", name).is_some_and(|stream| stream.entry.state == state))
                .await;
        }
        Sample { api, consumer, iterator, lost_iterator }
    }

    pub(super) async fn begin(&self, operation: &Operation, input: &Value) -> Response<Incoming> {
        let body = input.to_string();
        self.api.begin(self.api.request("team-a", &operation.name, body.as_bytes())).await
    }

    /// The answer, if it is an error. A good one is not read: a subscription's goes on for minutes.
    pub(super) async fn refusal(&self, operation: &Operation, input: &Value) -> Option<Answer> {
        let answer = self.begin(operation, input).await;
        match answer.status().is_success() {
            true => None,
            false => Some(Answer::of(answer).await),
        }
    }

    /// The error's name, if the answer is one.
    pub(super) async fn error(&self, operation: &Operation, input: &Value) -> Option<String> {
        self.refusal(operation, input).await.map(|answer| answer.error().0)
    }

    /// An input with what an operation needs, and by which it names a stream.
    pub(super) fn input(&self, operation: &Operation) -> Value {
        let naming = ["StreamName", "StreamARN", "ConsumerARN"];
        let outermost = operation.parameters.iter().filter(|parameter| parameter.is_outermost());
        let needed = outermost.filter(|parameter| parameter.required || naming.contains(&parameter.name()));
        let mut input: Map<String, Value> =
            needed.map(|parameter| (parameter.name().to_owned(), self.value(parameter.name()))).collect();
        match operation.name.as_str() {
            "CreateStream" => drop(input.insert("ShardCount".into(), json!(1))),
            "PutRecord" => drop(input.insert("PartitionKey".into(), json!("k"))),
            _ => {}
        }
        Value::Object(input)
    }

    /// The same with another value in one place; `None` takes out what is there.
    pub(super) fn input_with(
        &self,
        operation: &Operation,
        parameter: &Parameter,
        value: Option<Value>,
    ) -> Value {
        let mut input = self.input(operation);
        let outermost = parameter.pointer.split('/').nth(1).unwrap_or_default();
        if !parameter.is_outermost() && input.get(outermost).is_none() {
            input[outermost] = self.value(outermost);
        }
        let (outer, name) = parameter.pointer.rsplit_once('/').expect("a pointer has a slash");
        let object = input.pointer_mut(outer).and_then(Value::as_object_mut).expect("an object around it");
        match value {
            Some(value) => drop(object.insert(name.to_owned(), value)),
            None => drop(object.remove(name)),
        }
        input
    }

    /// What a parameter of this name may be.
    fn value(&self, name: &str) -> Value {
        match name {
            "StreamName" => json!("orders"),
            "StreamARN" | "ResourceARN" => json!(self.api.arn("team-a", "orders")),
            "ConsumerARN" => json!(self.consumer),
            "ConsumerName" => json!("c"),
            "Data" => json!(""),
            "Records" => json!([{"Data": "", "PartitionKey": "k"}]),
            "ShardIterator" => json!(self.iterator),
            "ShardId" | "ShardToSplit" | "ShardToMerge" => json!(SHARDS[0]),
            "AdjacentShardToMerge" => json!(SHARDS[1]),
            "NewStartingHashKey" => json!("500"),
            "ShardIteratorType" => json!("LATEST"),
            "StartingPosition" => json!({"Type": "LATEST"}),
            "ShardFilter" => json!({"Type": "AT_LATEST"}),
            "StreamModeDetails" => json!({"StreamMode": "PROVISIONED"}),
            "MinimumThroughputBillingCommitment" => json!({"Status": "DISABLED"}),
            "RetentionPeriodHours" => json!(24),
            "TargetShardCount" => json!(3),
            "ScalingType" => json!("UNIFORM_SCALING"),
            "WarmThroughputMiBps" => json!(1),
            "MaxRecordSizeInKiB" => json!(1_024),
            "RecordDistributionStrategy" => json!("USER_PARTITION_KEY"),
            "Tags" => json!({"a": "b"}),
            "TagKeys" => json!(["a"]),
            "ShardLevelMetrics" => json!(["ALL"]),
            "EncryptionType" => json!("KMS"),
            "KeyId" => json!("k"),
            "Policy" => json!(r#"{"Statement":[]}"#),
            other => panic!("what may {other} be?"),
        }
    }
}
