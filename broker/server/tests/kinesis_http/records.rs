//! What is put is read: all of it, in order, from where the reader wants.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::api::Api;

fn data(text: &str) -> String {
    STANDARD.encode_to_string(text)
}

fn texts(answer: &Value) -> Vec<String> {
    let text = |record: &Value| STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap();
    answer["Records"].as_array().unwrap().iter().map(|r| String::from_utf8(text(r)).unwrap()).collect()
}

#[tokio::test]
async fn records_are_read_from_wherever_the_reader_begins() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let put = |text: &str| {
        api.ok("PutRecord", json!({"StreamName": "orders", "Data": data(text), "PartitionKey": "ä"}))
    };
    let first = put("one").await;
    assert_eq!(first["ShardId"], "shardId-000000000000");
    // Less than the log's clock and a broker's may be apart.
    api.clock.put_on(5_000);
    let second = put("two").await;
    let batch = api
        .ok(
            "PutRecords",
            json!({"StreamARN": api.arn("team-a", "orders"), "Records": [
                {"Data": data("three"), "PartitionKey": "k\"\n"},
                {"Data": "", "PartitionKey": "k", "ExplicitHashKey": "0"},
            ]}),
        )
        .await;
    assert_eq!(batch["FailedRecordCount"], 0);
    let numbers: Vec<&str> = [&first, &second, &batch["Records"][0], &batch["Records"][1]]
        .iter()
        .map(|placed| placed["SequenceNumber"].as_str().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");

    let shard = "shardId-000000000000";
    let read = async |kind: &str, more: Value| {
        let iterator = api.iterator("orders", shard, kind, more).await;
        api.ok("GetRecords", json!({"ShardIterator": iterator})).await
    };
    let all = read("TRIM_HORIZON", json!({})).await;
    assert_eq!(texts(&all), ["one", "two", "three", ""]);
    assert_eq!(all["MillisBehindLatest"], 0);
    assert_eq!(all["Records"][2]["PartitionKey"], "k\"\n");
    assert_eq!(all["Records"][0]["PartitionKey"], "ä");
    let seen: Vec<&str> =
        all["Records"].as_array().unwrap().iter().map(|r| r["SequenceNumber"].as_str().unwrap()).collect();
    assert_eq!(seen, numbers);
    let from = |number: &str| json!({"StartingSequenceNumber": number});
    assert_eq!(texts(&read("AT_SEQUENCE_NUMBER", from(numbers[2])).await), ["three", ""]);
    assert_eq!(texts(&read("AFTER_SEQUENCE_NUMBER", from(numbers[2])).await), [""]);
    let at = all["Records"][1]["ApproximateArrivalTimestamp"].as_f64().unwrap();
    assert_eq!(texts(&read("AT_TIMESTAMP", json!({"Timestamp": at})).await), ["two", "three", ""]);
    let tail = api.iterator("orders", shard, "LATEST", json!({})).await;
    let nothing = api.ok("GetRecords", json!({"ShardIterator": tail})).await;
    assert_eq!(texts(&nothing), [""; 0]);
    put("later").await;
    let next = nothing["NextShardIterator"].as_str().unwrap();
    assert_eq!(texts(&api.ok("GetRecords", json!({"ShardIterator": next})).await), ["later"]);
}

#[tokio::test]
async fn an_iterator_goes_on_where_its_answer_ended() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let records: Vec<Value> =
        (0..500).map(|n| json!({"Data": data(&n.to_string()), "PartitionKey": "k"})).collect();
    api.ok("PutRecords", json!({"StreamName": "orders", "Records": records})).await;
    let mut iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let mut seen = Vec::new();
    while seen.len() < 500 {
        let answer = api.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 120})).await;
        let got = texts(&answer);
        assert!(!got.is_empty() && got.len() <= 120);
        seen.extend(got);
        iterator = answer["NextShardIterator"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_largest_batch_is_taken() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 4).await;
    let mebibyte = STANDARD.encode_to_string(vec![7; 1 << 20]);
    let record = |n: u32| json!({"Data": &mebibyte[..mebibyte.len() - 8], "PartitionKey": n.to_string()});
    let records: Vec<Value> = (0..5).map(record).collect();
    let answer = api.ok("PutRecords", json!({"StreamName": "orders", "Records": records})).await;
    assert_eq!(answer["FailedRecordCount"], 0);
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let mine = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    let other = async |operation: &str, input: Value| api.call_as("team-b", operation, input).await.error();
    let stream = json!({"StreamName": "orders"});
    assert_eq!(other("DescribeStreamSummary", stream).await, ("ResourceNotFoundException".into(), 400));
    let arn = json!({"StreamARN": api.arn("team-a", "orders")});
    assert_eq!(other("DescribeStreamSummary", arn).await, ("AccessDeniedException".into(), 400));
    let iterator = json!({"ShardIterator": mine});
    assert_eq!(other("GetRecords", iterator).await, ("InvalidArgumentException".into(), 400));
    let listed = api.call_as("team-b", "ListStreams", json!({})).await.json();
    assert_eq!(listed["StreamNames"], json!([]));
}
