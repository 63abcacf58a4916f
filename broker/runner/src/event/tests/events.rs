use aws_lambda_events::event::kinesis::{KinesisEvent, KinesisTimeWindowEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Lambda's own example, with a sequence number of ours.
#[test]
fn an_event_is_the_documented_one() {
    let event = writer().event(&[record(7, "1", 1_545_084_650_987, b"Hello, this is a test.")], None);
    let expected = json!({
        "Records": [{
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": sequence(7).to_string(),
                "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                "approximateArrivalTimestamp": 1_545_084_650.987
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{}", sequence(7)),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "us-east-2",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
        }]
    });
    assert_eq!(serde_json::from_slice::<Value>(&event).unwrap(), expected);
}

#[test]
fn an_event_of_a_window_is_the_documented_one() {
    let window = WindowFields {
        start_ms: 1_607_497_440_000,
        end_ms: 1_607_497_560_000,
        state: r#"{"1":282,"2":715}"#,
        is_final: false,
        terminated_early: false,
    };
    let event: Value = serde_json::from_slice(&writer().event(&[], Some(window))).unwrap();
    let expected = json!({
        "Records": [],
        "window": {"start": "2020-12-09T07:04:00Z", "end": "2020-12-09T07:06:00Z"},
        "state": {"1": 282, "2": 715},
        "shardId": "shardId-000000000006",
        "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
        "isFinalInvokeForWindow": false,
        "isWindowTerminatedEarly": false
    });
    assert_eq!(event, expected);
}

#[test]
fn a_window_is_read_by_functions_in_rust() {
    let window = WindowFields {
        start_ms: 0,
        end_ms: 60_000,
        state: r#"{"a":"1"}"#,
        is_final: true,
        terminated_early: true,
    };
    let event = writer().event(&[record(1, "k", 5, b"x")], Some(window));
    let read: KinesisTimeWindowEvent = serde_json::from_slice(&event).unwrap();
    let properties = read.time_window_properties;
    assert_eq!(properties.window.start.timestamp_millis(), 0);
    assert_eq!(properties.window.end.timestamp_millis(), 60_000);
    assert_eq!(properties.state.get("a").map(String::as_str), Some("1"));
    assert_eq!(properties.shard_id.as_deref(), Some("shardId-000000000006"));
    assert_eq!(properties.event_source_arn.as_deref(), Some(&*writer().origin().stream_arn));
    assert!(properties.is_final_invoke_for_window && properties.is_window_terminated_early);
    assert_eq!(read.kinesis_event.records.len(), 1);
}

fn records() -> impl Strategy<Value = Vec<EventRecord>> {
    let data = prop::collection::vec(any::<u8>(), 0..100);
    let one = ("[\\PC\\x00-\\x1f\"\\\\]{1,20}", 0_i64..4_000_000_000_000, data);
    prop::collection::vec(one, 0..8).prop_map(|all| {
        let numbered = (1_u64..).zip(all);
        numbered.map(|(pack, (key, arrival_ms, data))| record(pack, &key, arrival_ms, &data)).collect()
    })
}

proptest! {
    #[test]
    fn every_field_of_every_record_is_read_by_functions_in_rust(records in records()) {
        let writer = writer();
        let event = writer.event(&records, None);
        let plain: Value = serde_json::from_slice(&event).unwrap();
        for (plain, record) in plain["Records"].as_array().unwrap().iter().zip(&records) {
            let arrival_s = plain["kinesis"]["approximateArrivalTimestamp"].as_f64().unwrap();
            prop_assert_eq!((arrival_s * 1_000.0).round() as i64, record.record.arrival_ms);
        }
        let read: KinesisEvent = serde_json::from_slice(&event).unwrap();
        prop_assert_eq!(read.records.len(), records.len());
        for (read, record) in read.records.iter().zip(&records) {
            let sequence = record.sequence.to_string();
            prop_assert_eq!(&read.kinesis.partition_key, record.partition_key());
            prop_assert_eq!(&read.kinesis.sequence_number, &sequence);
            prop_assert_eq!(&read.kinesis.data.0[..], &record.record.data[..]);
            // The crate takes a fraction of .5 for 5 ms: its milliseconds are right where there are three digits of them.
            let arrival = &read.kinesis.approximate_arrival_timestamp;
            prop_assert_eq!(arrival.timestamp(), record.record.arrival_ms / 1_000);
            if record.record.arrival_ms % 10 != 0 {
                prop_assert_eq!(arrival.timestamp_millis(), record.record.arrival_ms);
            }
            prop_assert_eq!(read.kinesis.kinesis_schema_version.as_deref(), Some("1.0"));
            prop_assert_eq!(read.event_id.clone(), Some(format!("shardId-000000000006:{sequence}")));
            prop_assert_eq!(read.event_name.as_deref(), Some("aws:kinesis:record"));
            prop_assert_eq!(read.event_source.as_deref(), Some("aws:kinesis"));
            prop_assert_eq!(read.event_version.as_deref(), Some("1.0"));
            prop_assert_eq!(read.aws_region.as_ref(), Some(&writer.origin().region));
            prop_assert_eq!(read.event_source_arn.as_ref(), Some(&writer.origin().stream_arn));
            prop_assert_eq!(read.invoke_identity_arn.as_ref(), Some(&writer.origin().invoke_identity_arn));
        }
    }

    #[test]
    fn how_long_an_event_is_was_known_before(records in records()) {
        let writer = writer();
        let each: usize = records.iter().map(|record| writer.record_bytes(record)).sum();
        let event = writer.event(&records, None);
        // A comma for each but the last.
        prop_assert_eq!(event.len(), each + r#"{"Records":[]}"#.len() - usize::from(!records.is_empty()));
        let state = r#"{"n":1}"#;
        let window = WindowFields { start_ms: 0, end_ms: 1_000, state, is_final: false, terminated_early: false };
        let event = writer.event(&records, Some(window));
        prop_assert!(event.len() <= each + writer.envelope_bytes(state.len()));
    }
}

#[test]
fn request_ids_are_uuids() {
    assert_eq!(request_id(0), "00000000-0000-4000-8000-000000000000");
    assert_eq!(request_id(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(request_id(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef), "01234567-89ab-4def-8123-456789abcdef");
}
