//! The same operations in CBOR, as the AWS SDK for Java sends them: maps and lists of open length, times as tagged
//! milliseconds, data as bytes.

use minicbor::Encoder;
use minicbor::data::IanaTag;
use minicbor_serde::tag::Required;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Answer, Api, CBOR};

type Body = Encoder<Vec<u8>>;

/// Calls with a map of open length that holds what `members` writes.
async fn call(api: &Api, operation: &str, members: impl FnOnce(&mut Body)) -> Answer {
    let mut body = Encoder::new(Vec::new());
    body.begin_map().unwrap();
    members(&mut body);
    body.end().unwrap();
    api.send(api.request_of(CBOR, "team-a", operation, &body.into_writer())).await
}

fn text(body: &mut Body, name: &str, value: &str) {
    body.str(name).unwrap().str(value).unwrap();
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    approximate_arrival_timestamp: Required<1, i64>,
    data: &'a [u8],
}

#[tokio::test]
async fn records_go_in_and_come_out_in_cbor() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let put = call(&api, "PutRecords", |body| {
        text(body, "StreamName", "orders");
        body.str("Records").unwrap().begin_array().unwrap();
        for data in [b"\xff\0one".as_slice(), b""] {
            body.begin_map().unwrap().str("Data").unwrap().bytes(data).unwrap();
            text(body, "PartitionKey", "k");
            body.end().unwrap();
        }
        body.end().unwrap();
    })
    .await;
    assert_eq!((put.status, &put.json()["FailedRecordCount"]), (200, &json!(0)), "{put:?}");
    assert_eq!(put.json()["Records"][1]["ShardId"], "shardId-000000000000");
    for header in ["x-amzn-requestid", "x-amz-crc32"] {
        assert!(put.headers.contains_key(header), "{header}");
    }
    let iterator = call(&api, "GetShardIterator", |body| {
        text(body, "StreamName", "orders");
        text(body, "ShardId", "shardId-000000000000");
        text(body, "ShardIteratorType", "AT_TIMESTAMP");
        let hour_ago = api.broker.now_ms() - 3_600_000;
        body.str("Timestamp").unwrap().tag(IanaTag::Timestamp).unwrap().i64(hour_ago).unwrap();
    })
    .await;
    let got = call(&api, "GetRecords", |body| {
        text(body, "ShardIterator", iterator.json()["ShardIterator"].as_str().unwrap());
        body.str("Limit").unwrap().i32(100).unwrap();
    })
    .await;
    let got: Records<'_> = minicbor_serde::from_slice(&got.body).unwrap();
    let data: Vec<&[u8]> = got.records.iter().map(|record| record.data).collect();
    assert_eq!(data, [b"\xff\0one".as_slice(), b""]);
    assert!(got.records[0].approximate_arrival_timestamp.abs_diff(api.broker.now_ms()) < 3_600_000);
}

#[tokio::test]
async fn descriptions_and_errors_are_in_cbor_too() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 2).await;
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Described {
        stream_description: Description,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Description {
        stream_creation_timestamp: Required<1, i64>,
        shards: Vec<Value>,
    }
    let described = call(&api, "DescribeStream", |body| text(body, "StreamName", "orders")).await;
    assert_eq!(described.headers["content-type"], CBOR);
    let described: Described = minicbor_serde::from_slice(&described.body).unwrap();
    let created_ms = api.broker.stream("team-a", "orders").unwrap().entry.created_ms;
    assert_eq!(*described.stream_description.stream_creation_timestamp, created_ms);
    assert_eq!(described.stream_description.shards[1]["ShardId"], "shardId-000000000001");
    let none = call(&api, "DescribeStream", |body| text(body, "StreamName", "none")).await;
    assert_eq!(none.error(), ("ResourceNotFoundException".into(), 400));
    assert_eq!(none.headers["content-type"], CBOR);
    let unsigned = {
        let mut request = api.request_of(CBOR, "team-a", "ListStreams", b"\xbf\xff");
        request.headers_mut().remove("authorization");
        api.send(request).await
    };
    assert_eq!(unsigned.error(), ("MissingAuthenticationTokenException".into(), 400));
    let json = api.send(api.request_of(CBOR, "team-a", "ListStreams", b"{}")).await;
    assert_eq!(json.error(), ("SerializationException".into(), 400));
}
