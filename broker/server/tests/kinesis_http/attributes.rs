//! What users keep of a stream: told by every broker, and for nobody else.

use base64_simd::STANDARD;
use millrace_core::floor::{Days, FloorWindow};
use millrace_core::{CapacityMode, Floor, StreamConfig, StreamState};
use serde_json::{Value, json};

use crate::api::Api;

async fn summary(api: &Api) -> Value {
    api.ok("DescribeStreamSummary", json!({"StreamName": "orders"})).await["StreamDescriptionSummary"].clone()
}

fn put(bytes: usize) -> Value {
    json!({"StreamName": "orders", "Data": STANDARD.encode_to_string(vec![7; bytes]), "PartitionKey": "k"})
}

#[tokio::test]
async fn tags_are_kept_of_streams_and_consumers() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let arn = api.arn("team-a", "orders");
    api.ok("AddTagsToStream", json!({"StreamName": "orders", "Tags": {"team": "a", "cost": "x", "z": ""}}))
        .await;
    api.ok("TagResource", json!({"ResourceARN": arn, "Tags": {"team": "b"}})).await;
    let page = api.ok("ListTagsForStream", json!({"StreamName": "orders", "Limit": 1})).await;
    assert_eq!(page, json!({"HasMoreTags": true, "Tags": [{"Key": "cost", "Value": "x"}]}));
    let rest = json!({"StreamARN": arn, "ExclusiveStartTagKey": "cost"});
    let rest = api.ok("ListTagsForStream", rest).await;
    let expected = json!([{"Key": "team", "Value": "b"}, {"Key": "z", "Value": ""}]);
    assert_eq!(rest, json!({"HasMoreTags": false, "Tags": expected}));
    api.ok("RemoveTagsFromStream", json!({"StreamName": "orders", "TagKeys": ["z", "none"]})).await;
    api.ok("UntagResource", json!({"ResourceARN": arn, "TagKeys": ["cost"]})).await;
    let other = api.another().await;
    let tags = other.ok("ListTagsForResource", json!({"ResourceARN": arn})).await;
    assert_eq!(tags, json!({"Tags": [{"Key": "team", "Value": "b"}]}));

    let consumer = json!({"StreamARN": arn, "ConsumerName": "c", "Tags": {"own": "1"}});
    let consumer = api.ok("RegisterStreamConsumer", consumer).await["Consumer"]["ConsumerARN"].clone();
    api.ok("TagResource", json!({"ResourceARN": consumer, "Tags": {"more": "2"}})).await;
    api.ok("UntagResource", json!({"ResourceARN": consumer, "TagKeys": ["own"]})).await;
    let tags = other.ok("ListTagsForResource", json!({"ResourceARN": consumer})).await;
    assert_eq!(tags, json!({"Tags": [{"Key": "more", "Value": "2"}]}));
}

#[tokio::test]
async fn a_stream_is_made_with_its_tags_and_its_size_of_records() {
    let api = Api::start().await;
    let input =
        json!({"StreamName": "orders", "ShardCount": 1, "Tags": {"a": "b"}, "MaxRecordSizeInKiB": 2_048});
    api.ok("CreateStream", input).await;
    let tags = api.ok("ListTagsForStream", json!({"StreamName": "orders"})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "a", "Value": "b"}]));
    assert_eq!(summary(&api).await["MaxRecordSizeInKiB"], 2_048);
}

#[tokio::test]
async fn a_policy_is_kept_of_streams_and_consumers() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let stream = json!(api.arn("team-a", "orders"));
    let consumer = json!({"StreamARN": stream, "ConsumerName": "c"});
    let consumer = api.ok("RegisterStreamConsumer", consumer).await["Consumer"]["ConsumerARN"].clone();
    for arn in [stream, consumer] {
        let named = json!({"ResourceARN": arn});
        assert_eq!(api.ok("GetResourcePolicy", named.clone()).await["Policy"], "{}");
        let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}).to_string();
        api.ok("PutResourcePolicy", json!({"ResourceARN": arn, "Policy": policy})).await;
        assert_eq!(api.ok("GetResourcePolicy", named.clone()).await["Policy"], policy);
        api.ok("DeleteResourcePolicy", named.clone()).await;
        let none = api.call("DeleteResourcePolicy", named).await;
        assert_eq!(none.error(), ("ResourceNotFoundException".into(), 400));
    }
}

#[tokio::test]
async fn encryption_and_monitoring_are_told_as_they_were_asked_for() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let key = json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
    api.ok("StartStreamEncryption", key.clone()).await;
    let told = summary(&api).await;
    assert_eq!((&told["EncryptionType"], &told["KeyId"]), (&json!("KMS"), &json!("alias/aws/kinesis")));
    assert_eq!(api.ok("PutRecord", put(1)).await["EncryptionType"], "KMS");
    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let records = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(records["Records"][0]["EncryptionType"], "KMS");
    api.ok("StopStreamEncryption", key).await;
    let told = summary(&api).await;
    assert_eq!((&told["EncryptionType"], told.get("KeyId")), (&json!("NONE"), None));
    assert_eq!(api.ok("PutRecord", put(1)).await.get("EncryptionType"), None);

    let metrics = |metrics: Value| json!({"StreamName": "orders", "ShardLevelMetrics": metrics});
    let enabled = api.ok("EnableEnhancedMonitoring", metrics(json!(["ALL"]))).await;
    assert_eq!(enabled["CurrentShardLevelMetrics"], json!([]));
    assert_eq!(enabled["DesiredShardLevelMetrics"].as_array().unwrap().len(), 7);
    assert_eq!(enabled["StreamARN"], api.arn("team-a", "orders"));
    let kept = json!(["IteratorAgeMilliseconds"]);
    let mut others = enabled["DesiredShardLevelMetrics"].as_array().unwrap().clone();
    others.retain(|metric| *metric != kept[0]);
    let disabled = api.ok("DisableEnhancedMonitoring", metrics(json!(others))).await;
    assert_eq!(disabled["DesiredShardLevelMetrics"], kept);
    assert_eq!(summary(&api).await["EnhancedMonitoring"], json!([{"ShardLevelMetrics": kept}]));
}

#[tokio::test]
async fn records_may_be_as_large_as_the_stream_takes_them() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    assert_eq!(api.call("PutRecord", put(2 << 20)).await.error(), ("ValidationException".into(), 400));
    let size = json!({"StreamARN": api.arn("team-a", "orders"), "MaxRecordSizeInKiB": 10_240});
    api.ok("UpdateMaxRecordSize", size).await;
    assert_eq!(summary(&api).await["MaxRecordSizeInKiB"], 10_240);
    let most = (10 << 20) - 1;
    api.ok("PutRecord", put(most)).await;
    assert_eq!(api.call("PutRecord", put(most + 1)).await.error(), ("ValidationException".into(), 400));
    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let records = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(records["Records"][0]["Data"].as_str().unwrap().len(), most.div_ceil(3) * 4);
}

#[tokio::test]
async fn the_mode_is_switched_twice_a_day_and_the_shards_stay() {
    let api = Api::start().await;
    let config = StreamConfig { mode: CapacityMode::Provisioned, shards: 3, ..StreamConfig::default() };
    api.make_stream_with("team-a", "orders", config).await;
    let mode = |mode: &str| json!({"StreamARN": api.arn("team-a", "orders"), "StreamModeDetails": {"StreamMode": mode}});
    for name in ["ON_DEMAND", "PROVISIONED"] {
        api.ok("UpdateStreamMode", mode(name)).await;
        let told = summary(&api).await;
        assert_eq!(told["StreamModeDetails"]["StreamMode"], name);
        assert_eq!((&told["StreamStatus"], &told["OpenShardCount"]), (&json!("ACTIVE"), &json!(3)));
    }
    let third = api.call("UpdateStreamMode", mode("ON_DEMAND")).await;
    assert_eq!(third.error(), ("LimitExceededException".into(), 400));
}

#[tokio::test]
async fn a_floor_outlives_changes_by_the_api_and_keeps_its_stream_on_demand() {
    let api = Api::start().await;
    let window = FloorWindow {
        start: "08:00".parse().unwrap(),
        end: "18:00".parse().unwrap(),
        days: Days::EVERY,
        time_zone: "Europe/Berlin".to_owned(),
        shards: 20,
    };
    let config = StreamConfig { floor: Floor(vec![window]), ..StreamConfig::default() };
    api.make_stream_with("team-a", "orders", config.clone()).await;
    let arn = api.arn("team-a", "orders");
    api.ok("IncreaseStreamRetentionPeriod", json!({"StreamARN": arn, "RetentionPeriodHours": 48})).await;
    let provisioned = json!({"StreamARN": arn, "StreamModeDetails": {"StreamMode": "PROVISIONED"}});
    let refused = api.call("UpdateStreamMode", provisioned).await;
    assert_eq!(refused.error(), ("InvalidArgumentException".into(), 400));
    let kept = api.entry("team-a", "orders").await.map(|entry| entry.config);
    assert_eq!(kept, Some(StreamConfig { retention_s: 48 * 3_600, ..config }));
}

#[tokio::test]
async fn an_on_demand_stream_spreads_its_records_as_it_is_told_to() {
    let api = Api::start().await;
    let config = StreamConfig { shards: 8, ..StreamConfig::default() };
    api.make_stream_with("team-a", "orders", config).await;
    let strategy = |strategy: &str| json!({"StreamARN": api.arn("team-a", "orders"), "RecordDistributionStrategy": strategy});
    let shards = async || {
        let records: Vec<Value> = (0..64).map(|_| json!({"Data": "", "PartitionKey": "k"})).collect();
        let put = api.ok("PutRecords", json!({"StreamName": "orders", "Records": records})).await;
        let mut shards: Vec<String> =
            put["Records"].as_array().unwrap().iter().map(|placed| placed["ShardId"].to_string()).collect();
        shards.sort();
        shards.dedup();
        shards.len()
    };
    assert_eq!(summary(&api).await["RecordDistributionStrategy"], "USER_PARTITION_KEY");
    assert_eq!(shards().await, 1);
    api.ok("UpdateStreamRecordDistributionStrategy", strategy("AUTO")).await;
    assert_eq!(summary(&api).await["RecordDistributionStrategy"], "AUTO");
    assert!(shards().await > 1);
    api.ok("PutRecord", json!({"StreamName": "orders", "Data": ""})).await;
    api.ok("UpdateStreamRecordDistributionStrategy", strategy("USER_PARTITION_KEY")).await;
    assert_eq!(shards().await, 1);
}

#[tokio::test]
async fn warm_throughput_is_for_accounts_that_have_committed_themselves() {
    let api = Api::start().await;
    api.make_stream_with("team-a", "orders", StreamConfig::default()).await;
    let warm = json!({"StreamName": "orders", "WarmThroughputMiBps": 50});
    let refused = api.call("UpdateStreamWarmThroughput", warm.clone()).await;
    assert_eq!(refused.error(), ("InvalidArgumentException".into(), 400));
    let status = |status: &str| json!({"MinimumThroughputBillingCommitment": {"Status": status}});
    let told = api.ok("UpdateAccountSettings", status("ENABLED")).await;
    assert_eq!(told["MinimumThroughputBillingCommitment"]["Status"], "ENABLED");
    let answer = api.ok("UpdateStreamWarmThroughput", warm).await;
    assert_eq!(answer["WarmThroughput"], json!({"TargetMiBps": 50, "CurrentMiBps": 50}));
    assert_eq!(summary(&api).await["WarmThroughput"]["CurrentMiBps"], 50);
    api.ok("UpdateAccountSettings", status("DISABLED")).await;
    let other = api.another().await;
    let told = other.ok("DescribeAccountSettings", json!({})).await;
    let told = &told["MinimumThroughputBillingCommitment"];
    assert_eq!(told["Status"], "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
    let theirs = api.call_as("team-b", "DescribeAccountSettings", json!({})).await;
    assert_eq!(theirs.json()["MinimumThroughputBillingCommitment"], json!({"Status": "DISABLED"}));
    let limits = api.ok("DescribeLimits", json!({})).await;
    assert_eq!((&limits["OpenShardCount"], &limits["OnDemandStreamCount"]), (&json!(4), &json!(1)));
}

#[tokio::test]
async fn what_is_written_beside_the_end_of_a_stream_is_taken_back() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let stream = api.broker.stream("team-a", "orders").unwrap();
    api.change_entry("team-a", "orders", |entry| entry.state = StreamState::Deleting).await;
    let changes = api.watch_changes();
    let tag = |kept: &mut millrace_core::StreamAttributes| {
        kept.tags.insert("a".into(), "b".into());
        Ok::<(), ()>(())
    };
    assert!(api.broker.change_attributes(&stream, tag).await.is_err());
    assert_eq!(changes.lock().len(), 2, "{:?}", changes.lock());
    assert!(api.broker.attributes(&stream).await.unwrap().tags.is_empty());
}
