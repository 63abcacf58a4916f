//! A stream whose resource was deleted while its data is kept.

use millrace_core::{CapacityMode, StreamAttributes, StreamConfig, StreamState};
use millrace_server::broker::ControlError;
use serde_json::{Value, json};

use crate::api::Api;

const SHARD: &str = "shardId-000000000000";

async fn retain(api: &Api, name: &str) {
    api.change_entry("team-a", name, |entry| entry.state = StreamState::Retained).await;
    api.until(|| api.broker.stream("team-a", name).is_none()).await;
}

#[tokio::test]
async fn a_retained_stream_is_absent_to_every_operation() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 2).await;
    let iterator = api.iterator("orders", SHARD, "TRIM_HORIZON", json!({})).await;
    retain(&api, "orders").await;
    assert_eq!(api.ok("ListStreams", json!({})).await["StreamNames"], json!([]));
    let record = json!({"Data": "", "PartitionKey": "k"});
    let of_stream = |more: Value| {
        let mut input = json!({"StreamName": "orders"});
        input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        input
    };
    let iterate = json!({"ShardId": SHARD, "ShardIteratorType": "LATEST"});
    let calls = [
        ("DescribeStream", of_stream(json!({}))),
        ("DescribeStreamSummary", of_stream(json!({}))),
        ("ListShards", of_stream(json!({}))),
        ("PutRecord", of_stream(record.clone())),
        ("PutRecords", of_stream(json!({"Records": [record]}))),
        ("GetShardIterator", of_stream(iterate)),
        ("GetRecords", json!({"ShardIterator": iterator})),
        ("SplitShard", of_stream(json!({"ShardToSplit": SHARD, "NewStartingHashKey": "9"}))),
        ("UpdateShardCount", of_stream(json!({"TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"}))),
        ("IncreaseStreamRetentionPeriod", of_stream(json!({"RetentionPeriodHours": 48}))),
        ("DeleteStream", of_stream(json!({}))),
    ];
    let changes = api.watch_changes();
    for (operation, input) in calls {
        let error = api.call(operation, input).await.error();
        assert_eq!(error, ("ResourceNotFoundException".into(), 400), "{operation}");
    }
    let configured = api.broker.configure_stream("team-a", "orders", &|config| config.shards = 9).await;
    assert_eq!(configured, Err(ControlError::NoStream("orders".into())));
    assert!(changes.lock().is_empty(), "{changes:?}");
}

#[tokio::test]
async fn a_stream_created_under_the_name_of_a_retained_one_has_its_data() {
    let api = Api::start().await;
    let data = api.make_stream("team-a", "orders", 2).await;
    let put =
        json!({"StreamName": "orders", "Data": "a2VwdA==", "PartitionKey": "k", "ExplicitHashKey": "0"});
    api.ok("PutRecord", put).await;
    let iterator = api.iterator("orders", SHARD, "TRIM_HORIZON", json!({})).await;
    retain(&api, "orders").await;
    let config = StreamConfig {
        mode: CapacityMode::Provisioned,
        shards: 4,
        retention_s: 48 * 3_600,
        ..StreamConfig::default()
    };
    api.broker.create_stream("team-a", "orders", config.clone(), StreamAttributes::default()).await.unwrap();
    let revived = api.broker.stream("team-a", "orders").expect("it is back");
    assert_eq!((revived.entry.state, &revived.entry.data), (StreamState::Active, &data));
    assert_eq!(revived.entry.config, StreamConfig { rescale: true, ..config.clone() });
    // Old iterators are as good as new ones: they name the same data.
    let read = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(read["Records"][0]["Data"], "a2VwdA==");
    let again = api.broker.create_stream("team-a", "orders", config, StreamAttributes::default()).await;
    assert_eq!(again, Err(ControlError::Exists("orders".into())));
}

#[tokio::test]
async fn a_stream_that_was_retained_before_it_had_shards_is_made_when_it_is_created_again() {
    let api = Api::start().await;
    api.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 1})).await;
    let data = api.broker.stream("team-a", "orders").unwrap().entry.data.clone();
    retain(&api, "orders").await;
    api.ok("CreateStream", json!({"StreamName": "orders", "ShardCount": 3})).await;
    let entry = api.broker.stream("team-a", "orders").unwrap().entry.clone();
    assert_eq!((entry.state, entry.data), (StreamState::Creating, data));
    assert_eq!((entry.config.shards, entry.config.rescale), (3, false));
}
