//! Streams and shards, page by page.

use millrace_core::{StreamConfig, StreamState};
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test]
async fn shards_are_listed_page_by_page() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 7).await;
    let mut page = api.ok("ListShards", json!({"StreamName": "orders", "MaxResults": 3})).await;
    let mut ids: Vec<Value> = Vec::new();
    loop {
        ids.extend(page["Shards"].as_array().unwrap().iter().map(|shard| shard["ShardId"].clone()));
        let Some(token) = page["NextToken"].as_str() else { break };
        page = api.ok("ListShards", json!({"NextToken": token, "MaxResults": 3})).await;
    }
    let expected: Vec<Value> = (0..7).map(|n| json!(format!("shardId-{n:012}"))).collect();
    assert_eq!(ids, expected);
    let page = api.ok("ListShards", json!({"StreamName": "orders", "MaxResults": 3})).await;
    let input = json!({"NextToken": page["NextToken"]});
    let other = api.call_as("team-b", "ListShards", input.clone()).await;
    assert_eq!(other.error(), ("InvalidArgumentException".into(), 400));
    api.clock.put_on(301_000);
    assert_eq!(api.call("ListShards", input).await.error(), ("ExpiredNextTokenException".into(), 400));
}

#[tokio::test]
async fn a_stream_is_described() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 3).await;
    let described =
        &api.ok("DescribeStream", json!({"StreamName": "orders", "Limit": 2})).await["StreamDescription"];
    assert_eq!(described["StreamStatus"], "ACTIVE");
    assert_eq!(described["StreamARN"], api.arn("team-a", "orders"));
    assert_eq!(described["StreamModeDetails"], json!({"StreamMode": "PROVISIONED"}));
    assert_eq!(described["HasMoreShards"], true);
    assert_eq!(described["Shards"].as_array().unwrap().len(), 2);
    let rest = json!({"StreamName": "orders", "ExclusiveStartShardId": described["Shards"][1]["ShardId"]});
    let described = &api.ok("DescribeStream", rest).await["StreamDescription"];
    assert_eq!(described["HasMoreShards"], false);
    assert_eq!(
        described["Shards"][0]["HashKeyRange"]["EndingHashKey"],
        "340282366920938463463374607431768211455"
    );
    let summary =
        &api.ok("DescribeStreamSummary", json!({"StreamName": "orders"})).await["StreamDescriptionSummary"];
    assert_eq!((&summary["OpenShardCount"], &summary["RetentionPeriodHours"]), (&json!(3), &json!(24)));
}

#[tokio::test]
async fn streams_are_made_listed_and_removed() {
    let api = Api::start().await;
    for name in ["c", "a", "b"] {
        api.ok("CreateStream", json!({"StreamName": name, "ShardCount": 1})).await;
    }
    let again = api.call("CreateStream", json!({"StreamName": "a", "ShardCount": 1})).await;
    assert_eq!(again.error(), ("ResourceInUseException".into(), 400));
    api.until(|| api.broker.streams("team-a").len() == 3).await;
    let page = api.ok("ListStreams", json!({"Limit": 2})).await;
    assert_eq!((&page["StreamNames"], &page["HasMoreStreams"]), (&json!(["a", "b"]), &json!(true)));
    assert_eq!(page["StreamSummaries"][0]["StreamStatus"], "CREATING");
    let page = api.ok("ListStreams", json!({"NextToken": page["NextToken"]})).await;
    assert_eq!((&page["StreamNames"], &page["HasMoreStreams"]), (&json!(["c"]), &json!(false)));
    let page = api.ok("ListStreams", json!({"ExclusiveStartStreamName": "b"})).await;
    assert_eq!(page["StreamNames"], json!(["c"]));
    let described = api.ok("DescribeStream", json!({"StreamName": "a"})).await;
    assert_eq!(described["StreamDescription"]["Shards"], json!([]));
    // A stream takes no records before it is made.
    let put = json!({"StreamName": "a", "Data": "", "PartitionKey": "k"});
    assert_eq!(api.call("PutRecord", put).await.error(), ("ResourceNotFoundException".into(), 400));
    api.ok("DeleteStream", json!({"StreamName": "a"})).await;
    let state = || api.broker.stream("team-a", "a").map(|stream| stream.entry.state);
    api.until(|| state() == Some(StreamState::Deleting)).await;
    let described = api.ok("DescribeStreamSummary", json!({"StreamName": "a"})).await;
    assert_eq!(described["StreamDescriptionSummary"]["StreamStatus"], "DELETING");
}

#[tokio::test]
async fn retention_is_changed_in_the_direction_that_is_said() {
    let api = Api::start().await;
    api.make_stream_with("team-a", "orders", StreamConfig::default()).await;
    let hours = |hours: u64| json!({"StreamName": "orders", "RetentionPeriodHours": hours});
    let seconds = || api.broker.stream("team-a", "orders").unwrap().entry.config.retention_s;
    api.ok("IncreaseStreamRetentionPeriod", hours(48)).await;
    api.until(|| seconds() == 48 * 3_600).await;
    let refused = ("InvalidArgumentException".to_owned(), 400);
    assert_eq!(api.call("IncreaseStreamRetentionPeriod", hours(24)).await.error(), refused);
    assert_eq!(api.call("DecreaseStreamRetentionPeriod", hours(72)).await.error(), refused);
    assert_eq!(seconds(), 48 * 3_600);
    api.ok("DecreaseStreamRetentionPeriod", hours(24)).await;
    api.until(|| seconds() == 24 * 3_600).await;
}
