//! Every error that the broker answers with, provoked.

use std::collections::BTreeSet;

use base64_simd::STANDARD;
use serde_json::{Value, json};

use super::model::Operation;
use super::sample::Sample;
use super::table::is_built;

/// The most times that a call is made in a row, for errors that come of doing something too often.
const IN_A_ROW: usize = 30;

/// Operations with errors of theirs in the model that were seen.
pub(super) async fn answered(operations: &[Operation]) -> BTreeSet<(String, String)> {
    let mut seen = BTreeSet::new();
    for operation in operations.iter().filter(|operation| is_built(&operation.name)) {
        for error in &operation.errors {
            // A broker for each, for no call to stand in the way of another.
            let sample = Sample::start().await;
            if is_provoked(&sample, operation, error).await {
                seen.insert((operation.name.clone(), error.clone()));
            }
        }
    }
    seen
}

async fn is_provoked(sample: &Sample, operation: &Operation, error: &str) -> bool {
    let is_it = async |input: Value| sample.error(operation, &input).await.is_some_and(|told| told == error);
    match (operation.name.as_str(), error) {
        ("SubscribeToShard", "ResourceInUseException") => {
            let _first = sample.begin(operation, &sample.input(operation)).await;
            is_it(sample.input(operation)).await
        }
        (_, "ProvisionedThroughputExceededException") => is_throttled(sample, operation).await,
        (_, "ExpiredIteratorException") => {
            sample.api.clock.put_on(301_000);
            is_it(sample.input(operation)).await
        }
        (_, "ExpiredNextTokenException") => {
            let token = token(sample, operation).await;
            sample.api.clock.put_on(301_000);
            is_it(token).await
        }
        (name, "LimitExceededException") => {
            for turn in 0..IN_A_ROW {
                for input in too_much(sample, name, turn) {
                    if is_it(input).await {
                        return true;
                    }
                }
            }
            false
        }
        _ => {
            for input in bad_inputs(sample, operation, error) {
                if is_it(input).await {
                    return true;
                }
            }
            false
        }
    }
}

/// Inputs of which one gets this error, if the operation has it.
fn bad_inputs(sample: &Sample, operation: &Operation, error: &str) -> Vec<Value> {
    let api = &sample.api;
    let arn = |stream: &str| api.arn("team-a", stream);
    let elsewhere = |arn: &str| arn.replace("eu-central-1", "eu-north-9");
    let team_b = |arn: &str| {
        let [ours, theirs] = ["team-a", "team-b"].map(|team| api.arn(team, ""));
        arn.replace(&ours, &theirs)
    };
    let named = |stream: Option<&str>, stream_arn: &str, consumer: &str| {
        let mut input = sample.input(operation);
        for (name, value) in input.as_object_mut().into_iter().flatten() {
            match (name.as_str(), stream) {
                ("StreamName", Some(stream)) => *value = json!(stream),
                ("StreamARN" | "ResourceARN", _) => *value = json!(stream_arn),
                ("ConsumerARN", _) => *value = json!(consumer),
                _ => {}
            }
        }
        input
    };
    // Who is named by an ARN alone is not in doubt because of a name.
    let by_arn = |stream_arn: &str, consumer: &str| {
        let mut input = named(None, stream_arn, consumer);
        let object = input.as_object_mut().expect("an input is an object");
        let first = object.contains_key("StreamARN") || object.contains_key("ConsumerARN");
        object.retain(|name, _| !(first && name == "StreamName"));
        if object.contains_key("ConsumerARN") {
            object.retain(|name, _| !["StreamARN", "ConsumerName"].contains(&name.as_str()));
        }
        input
    };
    let with = |more: Value| {
        let mut input = sample.input(operation);
        let object = input.as_object_mut().expect("an input is an object");
        object.extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    let consumer = sample.consumer.as_str();
    let of = |stream: &str| consumer.replace("stream/orders", &format!("stream/{stream}"));
    match error {
        "ResourceNotFoundException" => vec![
            named(Some("none"), &arn("none"), &of("none")),
            by_arn(&arn("none"), &of("none")),
            with(json!({"ShardIterator": sample.lost_iterator, "StreamARN": arn("gone")})),
        ],
        "ResourceInUseException" => {
            vec![named(Some("making"), &arn("making"), &of("making")), sample.input(operation)]
        }
        "InvalidArgumentException" => vec![
            named(Some("bills"), &arn("orders"), consumer),
            by_arn(&elsewhere(&arn("orders")), &elsewhere(consumer)),
            with(json!({"StreamModeDetails": {"StreamMode": "ON_DEMAND"}})),
            json!({"NextToken": "AAAA"}),
        ],
        "AccessDeniedException" => vec![by_arn(&team_b(&arn("orders")), &team_b(consumer))],
        "ValidationException" => vec![
            json!({}),
            with(json!({"StreamName": "?", "ResourceARN": "?"})),
            with(json!({"StreamARN": "?"})),
        ],
        "DryRunOperationException" => vec![with(json!({"DryRun": true}))],
        _ => Vec::new(),
    }
}

/// Inputs that ask for more than there may be, in some turn.
fn too_much(sample: &Sample, operation: &str, turn: usize) -> Vec<Value> {
    let arn = |stream: &str| sample.api.arn("team-a", stream);
    let mode = ["ON_DEMAND", "PROVISIONED"][turn % 2];
    let policy = json!({"Statement": [], "Id": "x".repeat(20 << 10)}).to_string();
    match operation {
        "CreateStream" => vec![json!({"StreamName": "new", "ShardCount": 100_000})],
        "UpdateShardCount" => {
            vec![json!({"StreamName": "orders", "TargetShardCount": 100, "ScalingType": "UNIFORM_SCALING"})]
        }
        "RegisterStreamConsumer" => {
            vec![json!({"StreamARN": arn("busy"), "ConsumerName": format!("c{turn}")})]
        }
        "UpdateStreamMode" => {
            vec![json!({"StreamARN": arn("busy"), "StreamModeDetails": {"StreamMode": mode}})]
        }
        "StartStreamEncryption" => {
            vec![json!({"StreamName": "busy", "EncryptionType": "KMS", "KeyId": format!("k{turn}")})]
        }
        "UpdateStreamWarmThroughput" => vec![json!({"StreamName": "demand", "WarmThroughputMiBps": 10_241})],
        "PutResourcePolicy" => vec![json!({"ResourceARN": arn("orders"), "Policy": policy})],
        _ => Vec::new(),
    }
}

/// Whether an operation is refused for its rate on a stream that has quotas.
async fn is_throttled(sample: &Sample, operation: &Operation) -> bool {
    let api = &sample.api;
    api.clock.stop();
    // What the shard takes in ten seconds.
    let data = STANDARD.encode_to_string(vec![7; (10 << 20) - 1]);
    api.ok("PutRecord", json!({"StreamName": "busy", "Data": data, "PartitionKey": "k"})).await;
    let iterator = api.iterator("busy", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let mut input = sample.input(operation);
    for (name, value) in input.as_object_mut().into_iter().flatten() {
        match name.as_str() {
            "StreamName" => *value = json!("busy"),
            "StreamARN" => *value = json!(api.arn("team-a", "busy")),
            "ShardIterator" => *value = json!(iterator),
            _ => {}
        }
    }
    for _ in 0..IN_A_ROW {
        let told = sample.error(operation, &input).await;
        if told.is_some_and(|told| told == "ProvisionedThroughputExceededException") {
            return true;
        }
    }
    false
}

/// An input that goes on with a list.
async fn token(sample: &Sample, operation: &Operation) -> Value {
    let api = &sample.api;
    let arn = api.arn("team-a", "orders");
    api.ok("RegisterStreamConsumer", json!({"StreamARN": arn, "ConsumerName": "d"})).await;
    let (first, more) = match operation.name.as_str() {
        "ListStreams" => (json!({"Limit": 1}), json!({})),
        "ListShards" => (json!({"StreamName": "orders", "MaxResults": 1}), json!({})),
        _ => (json!({"StreamARN": arn, "MaxResults": 1}), json!({"StreamARN": arn})),
    };
    let page = api.ok(&operation.name, first).await;
    let mut input = more;
    input["NextToken"] = page["NextToken"].clone();
    input
}
