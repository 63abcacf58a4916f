//! Bad input: each gets Kinesis' own error, and nothing changes.

use base64_simd::STANDARD;
use http::{HeaderValue, Request};
use http_body_util::Full;
use millrace_core::{CapacityMode, StreamConfig, StreamState};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

/// Two streams of `team-a`: `orders` with three shards, and `bills`.
async fn start() -> Api {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 3).await;
    api.make_stream("team-a", "bills", 1).await;
    api
}

#[tokio::test]
async fn bad_input_gets_kinesis_own_error_and_changes_nothing() {
    let api = start().await;
    let foreign_number = {
        let put = json!({"StreamName": "bills", "Data": "", "PartitionKey": "k"});
        api.ok("PutRecord", put).await["SequenceNumber"].clone()
    };
    let changes = api.watch_changes();
    let data = |bytes: usize| STANDARD.encode_to_string(vec![7; bytes]);
    let put = |data: &str, key: &str| json!({"StreamName": "orders", "Data": data, "PartitionKey": key});
    let batch = |records: Vec<Value>| json!({"StreamName": "orders", "Records": records});
    let record = |bytes: usize| json!({"Data": data(bytes), "PartitionKey": "k"});
    let iterator =
        |shard: &str| json!({"StreamName": "orders", "ShardId": shard, "ShardIteratorType": "LATEST"});
    let split = |shard: &str, at: &str| json!({"StreamName": "orders", "ShardToSplit": shard, "NewStartingHashKey": at});
    let merge = |one: &str, other: &str| json!({"StreamName": "orders", "ShardToMerge": one, "AdjacentShardToMerge": other});
    let arn = |namespace: &str| api.arn(namespace, "orders");
    let consumer = format!("{}/consumer/c:17", arn("team-a"));
    let queue = arn("team-a").replace("stream/", "queue/");
    let cases: Vec<(&str, Value, &str, u16)> = vec![
        ("ListStream", json!({}), "UnknownOperationException", 400),
        ("PutRecord", json!([]), "SerializationException", 400),
        ("PutRecord", put("not base64", "k"), "SerializationException", 400),
        ("PutRecord", json!({"StreamName": 1}), "SerializationException", 400),
        ("PutRecord", json!({"StreamName": "orders"}), "ValidationException", 400),
        ("PutRecord", put(&data((1 << 20) + 1), "k"), "ValidationException", 400),
        ("PutRecord", put("", &"k".repeat(257)), "ValidationException", 400),
        ("PutRecord", put("", ""), "ValidationException", 400),
        ("PutRecord", json!({"Data": "", "PartitionKey": "k"}), "InvalidArgumentException", 400),
        (
            "PutRecord",
            json!({"StreamName": "none", "Data": "", "PartitionKey": "k"}),
            "ResourceNotFoundException",
            400,
        ),
        ("PutRecords", batch(vec![]), "ValidationException", 400),
        ("PutRecords", batch(vec![record(1); 501]), "ValidationException", 400),
        ("PutRecords", batch(vec![record((1 << 20) - 1); 11]), "InvalidArgumentException", 400),
        ("PutRecords", batch(vec![record(1), record(1 << 20)]), "ValidationException", 400),
        ("PutRecords", batch(vec![record(1 << 20); 13]), "RequestEntityTooLargeException", 413),
        ("DescribeStream", json!({"StreamName": "none"}), "ResourceNotFoundException", 400),
        ("DescribeStream", json!({"StreamName": "a b"}), "ValidationException", 400),
        ("DescribeStream", json!({"StreamARN": "arn:aws:kinesis:x"}), "ValidationException", 400),
        ("DescribeStream", json!({"StreamARN": api.arn("team-b", "orders")}), "AccessDeniedException", 400),
        (
            "DescribeStream",
            json!({"StreamName": "bills", "StreamARN": api.arn("team-a", "orders")}),
            "InvalidArgumentException",
            400,
        ),
        ("GetShardIterator", iterator("shardId-000000000009"), "ResourceNotFoundException", 400),
        ("GetShardIterator", iterator("shard"), "ResourceNotFoundException", 400),
        (
            "GetShardIterator",
            json!({"StreamName": "orders", "ShardId": "shardId-000000000000",
            "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "5"}),
            "InvalidArgumentException",
            400,
        ),
        ("GetRecords", json!({"ShardIterator": "AAAA"}), "InvalidArgumentException", 400),
        ("GetRecords", json!({"ShardIterator": ""}), "ValidationException", 400),
        ("GetRecords", json!({"ShardIterator": "AAAA", "Limit": 10_001}), "ValidationException", 400),
        ("ListShards", json!({"NextToken": "AAAA"}), "InvalidArgumentException", 400),
        ("SplitShard", split("shardId-000000000000", "0"), "InvalidArgumentException", 400),
        (
            "SplitShard",
            split("shardId-000000000000", "340282366920938463463374607431768211455"),
            "InvalidArgumentException",
            400,
        ),
        ("SplitShard", split("shardId-000000000000", "01"), "ValidationException", 400),
        ("SplitShard", split("shardId-000000000009", "5"), "ResourceNotFoundException", 400),
        (
            "MergeShards",
            merge("shardId-000000000000", "shardId-000000000002"),
            "InvalidArgumentException",
            400,
        ),
        (
            "MergeShards",
            merge("shardId-000000000000", "shardId-000000000000"),
            "InvalidArgumentException",
            400,
        ),
        (
            "MergeShards",
            merge("shardId-000000000000", "shardId-000000000009"),
            "ResourceNotFoundException",
            400,
        ),
        (
            "UpdateShardCount",
            json!({"StreamName": "orders", "TargetShardCount": 0, "ScalingType": "UNIFORM_SCALING"}),
            "ValidationException",
            400,
        ),
        (
            "UpdateShardCount",
            json!({"StreamName": "orders", "TargetShardCount": 1, "ScalingType": "UNIFORM_SCALING"}),
            "LimitExceededException",
            400,
        ),
        (
            "IncreaseStreamRetentionPeriod",
            json!({"StreamName": "orders", "RetentionPeriodHours": 9_000}),
            "InvalidArgumentException",
            400,
        ),
        ("CreateStream", json!({"StreamName": "orders", "ShardCount": 1}), "ResourceInUseException", 400),
        ("DeleteStream", json!({"StreamName": "none"}), "ResourceNotFoundException", 400),
        ("CreateQueue", json!({}), "NotImplementedException", 501),
        ("AddTagsToStream", json!({"StreamName": "orders"}), "ValidationException", 400),
        (
            "AddTagsToStream",
            json!({"StreamName": "orders", "Tags": {"a": "b;"}}),
            "InvalidArgumentException",
            400,
        ),
        (
            "AddTagsToStream",
            json!({"StreamName": "none", "Tags": {"a": "b"}}),
            "ResourceNotFoundException",
            400,
        ),
        ("RemoveTagsFromStream", json!({"StreamName": "orders", "TagKeys": []}), "ValidationException", 400),
        ("ListTagsForStream", json!({"StreamName": "orders", "Limit": 51}), "ValidationException", 400),
        ("TagResource", json!({"ResourceARN": "a", "Tags": {"a": "b"}}), "ValidationException", 400),
        (
            "TagResource",
            json!({"ResourceARN": consumer, "Tags": {"a": "b"}}),
            "ResourceNotFoundException",
            400,
        ),
        (
            "UntagResource",
            json!({"ResourceARN": arn("team-b"), "TagKeys": ["a"]}),
            "AccessDeniedException",
            400,
        ),
        ("ListTagsForResource", json!({"ResourceARN": queue}), "InvalidArgumentException", 400),
        ("RegisterStreamConsumer", json!({"StreamARN": arn("team-a")}), "ValidationException", 400),
        ("DescribeStreamConsumer", json!({"ConsumerName": "c"}), "InvalidArgumentException", 400),
        ("DescribeStreamConsumer", json!({"ConsumerARN": arn("team-a")}), "ValidationException", 400),
        ("DescribeStreamConsumer", json!({"ConsumerARN": consumer}), "ResourceNotFoundException", 400),
        (
            "DescribeStreamConsumer",
            json!({"ConsumerARN": consumer, "StreamARN": api.arn("team-a", "bills")}),
            "InvalidArgumentException",
            400,
        ),
        ("DeregisterStreamConsumer", json!({"ConsumerARN": consumer}), "ResourceNotFoundException", 400),
        (
            "ListStreamConsumers",
            json!({"StreamARN": arn("team-a"), "NextToken": "A"}),
            "InvalidArgumentException",
            400,
        ),
        (
            "PutResourcePolicy",
            json!({"ResourceARN": arn("team-a"), "Policy": "{"}),
            "InvalidArgumentException",
            400,
        ),
        ("DeleteResourcePolicy", json!({"ResourceARN": arn("team-a")}), "ResourceNotFoundException", 400),
        ("GetResourcePolicy", json!({"ResourceARN": consumer}), "ResourceNotFoundException", 400),
        (
            "UpdateMaxRecordSize",
            json!({"StreamARN": arn("team-a"), "MaxRecordSizeInKiB": 1}),
            "ValidationException",
            400,
        ),
        ("UpdateMaxRecordSize", json!({"MaxRecordSizeInKiB": 1_024}), "InvalidArgumentException", 400),
        ("UpdateStreamMode", json!({"StreamARN": arn("team-a")}), "ValidationException", 400),
        (
            "UpdateStreamWarmThroughput",
            json!({"StreamName": "orders", "WarmThroughputMiBps": 5}),
            "ValidationException",
            400,
        ),
        (
            "UpdateStreamRecordDistributionStrategy",
            json!({"StreamARN": arn("team-a"), "RecordDistributionStrategy": "AUTO"}),
            "InvalidArgumentException",
            400,
        ),
        (
            "StartStreamEncryption",
            json!({"StreamName": "orders", "EncryptionType": "NONE", "KeyId": "k"}),
            "InvalidArgumentException",
            400,
        ),
        ("StopStreamEncryption", json!({"StreamName": "orders"}), "ValidationException", 400),
        (
            "EnableEnhancedMonitoring",
            json!({"StreamName": "orders", "ShardLevelMetrics": ["Some"]}),
            "ValidationException",
            400,
        ),
        (
            "UpdateAccountSettings",
            json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED_UNTIL_EARLIEST_ALLOWED_END"}}),
            "ValidationException",
            400,
        ),
        (
            "PutRecord",
            json!({"StreamName": "orders", "Data": "", "PartitionKey": "k", "DryRun": true}),
            "DryRunOperationException",
            400,
        ),
    ];
    for (operation, input, name, status) in cases {
        let answer = api.call(operation, input.clone()).await;
        let shown: String = input.to_string().chars().take(200).collect();
        assert_eq!(answer.error(), (name.to_owned(), status), "{operation} {shown}: {answer:?}");
        assert!(!answer.json()["message"].as_str().unwrap_or_default().is_empty(), "{operation} {shown}");
    }
    let number = json!({"StreamName": "orders", "ShardId": "shardId-000000000000",
                        "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": foreign_number});
    // Both streams' first shards have one epoch: the number is well formed, and reads from its place on.
    assert_eq!(api.call("GetShardIterator", number).await.status, 200);
    assert_eq!(*changes.lock(), []);
}

#[tokio::test]
async fn requests_that_are_not_well_signed_are_refused() {
    let api = start().await;
    let changes = api.watch_changes();
    let body = json!({"StreamName": "orders", "Data": "", "PartitionKey": "k"}).to_string();
    let request = || api.request("team-a", "PutRecord", body.as_bytes());
    let changed = async |change: &dyn Fn(&mut Request<Full<bytes::Bytes>>)| -> Answer {
        let mut request = request();
        change(&mut request);
        api.send(request).await
    };
    let unsigned = changed(&|request| drop(request.headers_mut().remove("authorization"))).await;
    assert_eq!(unsigned.error(), ("MissingAuthenticationTokenException".into(), 400));
    let target = HeaderValue::from_static("Kinesis_20131202.DeleteStream");
    let altered =
        changed(&|request| drop(request.headers_mut().insert("x-amz-target", target.clone()))).await;
    assert_eq!(altered.error(), ("InvalidSignatureException".into(), 400));
    let malformed = HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=a/20150830/r/kinesis/aws4_request");
    let malformed =
        changed(&|request| drop(request.headers_mut().insert("authorization", malformed.clone()))).await;
    assert_eq!(malformed.error(), ("IncompleteSignatureException".into(), 400));
    let other_body =
        changed(&|request| *request.body_mut() = Full::from(body.replace("\"k\"", "\"l\""))).await;
    assert_eq!(other_body.error(), ("InvalidSignatureException".into(), 400));
    let unknown = api.send(api.request("team-c", "PutRecord", body.as_bytes())).await;
    assert_eq!(unknown.error(), ("UnrecognizedClientException".into(), 400));
    let early = request();
    api.clock.put_on(901_000);
    let expired = api.send(early).await;
    assert_eq!(expired.error(), ("InvalidSignatureException".into(), 400));
    assert!(expired.json()["message"].as_str().unwrap().starts_with("Signature expired: "));
    assert_eq!(*changes.lock(), []);
}

#[tokio::test]
async fn malformed_json_is_a_serialization_error() {
    let api = start().await;
    for body in ["", "hello", "{\"StreamName\":", "{}{}", "{\"StreamName\":\"\u{fffd}\"", "null"] {
        let answer = api.send(api.request("team-a", "DescribeStream", body.as_bytes())).await;
        assert_eq!(answer.error(), ("SerializationException".into(), 400), "{body:?}");
    }
    let answer = api.send(api.request("team-a", "DescribeStream", b"{\"StreamName\":\"\xff\"}")).await;
    assert_eq!(answer.error(), ("SerializationException".into(), 400));
}

#[tokio::test]
async fn iterators_expire_and_are_good_for_their_own_stream_only() {
    let api = start().await;
    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let with_arn = |name: &str| json!({"ShardIterator": iterator, "StreamARN": api.arn("team-a", name)});
    assert_eq!(api.call("GetRecords", with_arn("orders")).await.status, 200);
    let other = api.call("GetRecords", with_arn("bills")).await;
    assert_eq!(other.error(), ("InvalidArgumentException".into(), 400));
    let mut changed = iterator.clone().into_bytes();
    changed[20] = if changed[20] == b'A' { b'B' } else { b'A' };
    let changed = json!({"ShardIterator": String::from_utf8(changed).unwrap()});
    assert_eq!(api.call("GetRecords", changed).await.error(), ("InvalidArgumentException".into(), 400));
    api.clock.put_on(301_000);
    let expired = api.call("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(expired.error(), ("ExpiredIteratorException".into(), 400));
}

#[tokio::test]
async fn shards_of_an_on_demand_stream_are_not_changed_by_hand() {
    let api = Api::start().await;
    api.make_stream_with("team-a", "orders", StreamConfig::default()).await;
    let split =
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "500"});
    assert_eq!(api.call("SplitShard", split).await.error(), ("ValidationException".into(), 400));
}

#[tokio::test]
async fn a_stream_is_listed_and_changed_only_once_it_is_active() {
    let api = start().await;
    api.change_entry("team-a", "orders", |entry| entry.state = StreamState::Creating).await;
    let is_creating = || {
        let stream = api.broker.stream("team-a", "orders");
        stream.is_some_and(|stream| stream.entry.state == StreamState::Creating)
    };
    api.until(is_creating).await;
    let changes = api.watch_changes();
    let (name, arn) = ("orders", api.arn("team-a", "orders"));
    for (operation, input) in [
        ("ListShards", json!({"StreamName": name})),
        ("AddTagsToStream", json!({"StreamName": name, "Tags": {"a": "b"}})),
        ("RemoveTagsFromStream", json!({"StreamName": name, "TagKeys": ["a"]})),
        ("TagResource", json!({"ResourceARN": arn, "Tags": {"a": "b"}})),
        ("UntagResource", json!({"ResourceARN": arn, "TagKeys": ["a"]})),
        ("PutResourcePolicy", json!({"ResourceARN": arn, "Policy": "{\"Statement\":[]}"})),
        ("DeleteResourcePolicy", json!({"ResourceARN": arn})),
        ("IncreaseStreamRetentionPeriod", json!({"StreamName": name, "RetentionPeriodHours": 48})),
        ("DecreaseStreamRetentionPeriod", json!({"StreamName": name, "RetentionPeriodHours": 24})),
    ] {
        let answer = api.call(operation, input).await;
        assert_eq!(answer.error(), ("ResourceInUseException".into(), 400), "{operation}");
        let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.ends_with("not ACTIVE, instead in state CREATING"), "{operation}: {message}");
    }
    // Tags that it is made with are told from the beginning.
    assert_eq!(api.ok("ListTagsForStream", json!({"StreamName": name})).await["Tags"], json!([]));
    assert_eq!(*changes.lock(), []);
}

#[tokio::test]
async fn a_stream_takes_one_dry_run_a_second() {
    let api = Api::start().await;
    let config = StreamConfig { mode: CapacityMode::Provisioned, shards: 1, ..StreamConfig::default() };
    api.make_stream_with("team-a", "orders", config).await;
    api.make_stream("team-a", "bills", 1).await;
    api.clock.stop();
    let put = |name: &str| json!({"StreamName": name, "Data": "", "PartitionKey": "k", "DryRun": true});
    let iterate = json!({"StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST", "DryRun": true});
    let dry = || ("DryRunOperationException".to_owned(), 400);
    assert_eq!(api.call("PutRecord", put("orders")).await.error(), dry());
    // Of whichever operation; a stream without quotas takes any number.
    assert_eq!(api.call("GetShardIterator", iterate).await.error(), ("ThrottlingException".into(), 400));
    for _ in 0..2 {
        assert_eq!(api.call("PutRecord", put("bills")).await.error(), dry());
    }
    api.clock.put_on(1_000);
    assert_eq!(api.call("PutRecord", put("orders")).await.error(), dry());
}
