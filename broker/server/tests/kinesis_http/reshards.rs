//! Splits and merges as clients ask for them.

use base64_simd::STANDARD;
use millrace_core::{CapacityMode, StreamConfig};
use serde_json::{Value, json};

use crate::api::Api;

const HALF: &str = "170141183460469231731687303715884105728";

/// Waits until the stream has so many open shards and no reshard.
async fn settled(api: &Api, open: usize) {
    let map = || api.broker.stream("team-a", "orders").and_then(|stream| stream.map.clone());
    api.until(|| map().is_some_and(|map| map.open.len() == open && map.reshards.is_empty())).await;
}

async fn status(api: &Api) -> Value {
    let described = api.ok("DescribeStreamSummary", json!({"StreamName": "orders"})).await;
    described["StreamDescriptionSummary"]["StreamStatus"].clone()
}

#[tokio::test]
async fn a_split_shard_ends_and_names_its_children() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let put = json!({"StreamName": "orders", "Data": STANDARD.encode_to_string("x"), "PartitionKey": "k"});
    let before = api.ok("PutRecord", put.clone()).await;
    let split =
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": HALF});
    api.ok("SplitShard", split.clone()).await;
    settled(&api, 2).await;
    assert_eq!(status(&api).await, "ACTIVE");
    let after = api.ok("PutRecord", put).await;
    assert_ne!(after["ShardId"], "shardId-000000000000");
    assert!(before["SequenceNumber"].as_str() < after["SequenceNumber"].as_str());

    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let mut answer = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
    let mut records = answer["Records"].as_array().unwrap().len();
    while let Some(next) = answer["NextShardIterator"].as_str() {
        answer = api.ok("GetRecords", json!({"ShardIterator": next})).await;
        records += answer["Records"].as_array().unwrap().len();
    }
    assert_eq!(records, 1);
    let children: Vec<&Value> =
        answer["ChildShards"].as_array().unwrap().iter().map(|child| &child["ShardId"]).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert_eq!(answer["ChildShards"][0]["ParentShards"], json!(["shardId-000000000000"]));
    assert_eq!(answer["ChildShards"][1]["HashKeyRange"]["StartingHashKey"], HALF);

    let shards = api.ok("ListShards", json!({"StreamName": "orders"})).await;
    let parent = &shards["Shards"][0];
    assert!(
        parent["SequenceNumberRange"]["EndingSequenceNumber"].as_str() > before["SequenceNumber"].as_str()
    );
    assert_eq!(shards["Shards"][1]["ParentShardId"], "shardId-000000000000");
    let latest = json!({"StreamName": "orders", "ShardFilter": {"Type": "AT_LATEST"}});
    assert_eq!(api.ok("ListShards", latest).await["Shards"].as_array().unwrap().len(), 2);

    let again = api.call("SplitShard", split).await;
    assert_eq!(again.error(), ("InvalidArgumentException".into(), 400));
    let merge = json!({"StreamName": "orders", "ShardToMerge": "shardId-000000000001",
                       "AdjacentShardToMerge": "shardId-000000000002"});
    api.ok("MergeShards", merge).await;
    settled(&api, 1).await;
    let shards = api
        .ok("ListShards", json!({"StreamName": "orders", "ExclusiveStartShardId": "shardId-000000000002"}));
    let merged = &shards.await["Shards"][0];
    assert_eq!(merged["ParentShardId"], "shardId-000000000001");
    assert_eq!(merged["AdjacentParentShardId"], "shardId-000000000002");
}

#[tokio::test]
async fn shards_are_listed_by_when_they_took_records() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    api.clock.put_on(60_000);
    let split =
        json!({"StreamName": "orders", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": HALF});
    api.ok("SplitShard", split).await;
    settled(&api, 2).await;
    api.clock.put_on(60_000);
    let ids = async |filter: Value| {
        let input = json!({"StreamName": "orders", "ShardFilter": filter});
        let shards = api.ok("ListShards", input).await["Shards"].as_array().unwrap().clone();
        let number =
            |shard: &Value| shard["ShardId"].as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        shards.iter().map(number).collect::<Vec<u64>>()
    };
    let ago = |ms: i64| (api.broker.now_ms() - ms) as f64 / 1_000.0;
    assert_eq!(ids(json!({"Type": "AT_TRIM_HORIZON"})).await, [0]);
    assert_eq!(ids(json!({"Type": "FROM_TRIM_HORIZON"})).await, [0, 1, 2]);
    assert_eq!(ids(json!({"Type": "AT_LATEST"})).await, [1, 2]);
    assert_eq!(ids(json!({"Type": "AT_TIMESTAMP", "Timestamp": ago(90_000)})).await, [0]);
    assert_eq!(ids(json!({"Type": "AT_TIMESTAMP", "Timestamp": ago(30_000)})).await, [1, 2]);
    assert_eq!(ids(json!({"Type": "FROM_TIMESTAMP", "Timestamp": ago(90_000)})).await, [0, 1, 2]);
    assert_eq!(ids(json!({"Type": "FROM_TIMESTAMP", "Timestamp": ago(30_000)})).await, [1, 2]);
    assert_eq!(ids(json!({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001"})).await, [2]);
    for bad in [
        json!({"Type": "AT_TIMESTAMP"}),
        json!({"Type": "AT_LATEST", "ShardId": "shardId-000000000001"}),
        json!({"Type": "AFTER_SHARD_ID"}),
        json!({"Type": "FROM_TIMESTAMP", "Timestamp": ago(-60_000)}),
    ] {
        let answer = api.call("ListShards", json!({"StreamName": "orders", "ShardFilter": bad})).await;
        assert_eq!(answer.error(), ("InvalidArgumentException".into(), 400), "{bad}");
    }
}

#[tokio::test]
async fn a_shard_count_is_a_wish_that_the_stream_is_updating_for() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 2).await;
    let count = |count: u32| json!({"StreamName": "orders", "TargetShardCount": count, "ScalingType": "UNIFORM_SCALING"});
    assert_eq!(api.call("UpdateShardCount", count(5)).await.error(), ("LimitExceededException".into(), 400));
    let answer = api.ok("UpdateShardCount", count(4)).await;
    assert_eq!((&answer["CurrentShardCount"], &answer["TargetShardCount"]), (&json!(2), &json!(4)));
    api.until(|| api.broker.stream("team-a", "orders").unwrap().entry.config.shards == 4).await;
    assert_eq!(status(&api).await, "UPDATING");
    assert_eq!(api.call("UpdateShardCount", count(3)).await.error(), ("ResourceInUseException".into(), 400));
}

#[tokio::test]
async fn a_provisioned_shard_is_read_five_times_a_second() {
    let api = Api::start().await;
    let config = StreamConfig { mode: CapacityMode::Provisioned, shards: 1, ..StreamConfig::default() };
    api.make_stream_with("team-a", "orders", config).await;
    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let read = || api.call("GetRecords", json!({"ShardIterator": iterator}));
    api.clock.stop();
    for _ in 0..5 {
        assert_eq!(read().await.status, 200);
    }
    let refused = read().await;
    assert_eq!(refused.error(), ("ProvisionedThroughputExceededException".into(), 400));
    api.clock.put_on(1_000);
    assert_eq!(read().await.status, 200);
}
