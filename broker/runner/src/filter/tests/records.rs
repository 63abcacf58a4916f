//! Records of a stream.

use crate::filter::{Criteria, FILTERS, KinesisRecord};

fn record<'a>(partition_key: &'a str, data: &'a [u8]) -> KinesisRecord<'a> {
    let sequence_number = "49590338271490256608559692538361571095921575989136588898";
    KinesisRecord { partition_key, sequence_number, arrival_ms: 1_545_084_650_987, data }
}

fn criteria(patterns: &[&str]) -> Criteria {
    Criteria::parse(patterns, FILTERS).unwrap()
}

#[test]
fn data_is_matched_as_json() {
    let buy = criteria(&[r#"{"data": {"order": {"type": ["buy"]}}}"#]);
    assert!(buy.matches(record("1", br#"{"record": 12345, "order": {"type": "buy", "quantity": 1000}}"#)));
    assert!(!buy.matches(record("1", br#"{"record": 12345, "order": {"type": "sell"}}"#)));
    assert!(buy.matches(record("1", br#" [{"order": {"type": "sell"}}, {"order": {"type": "buy"}}] "#)));
}

#[test]
fn data_that_is_not_json_is_dropped_where_a_pattern_says_anything_of_data() {
    let absent = criteria(&[r#"{"data": {"a": [{"exists": false}]}}"#]);
    assert!(absent.matches(record("1", b"5")));
    for bad in [&b"plain text"[..], b"", b"{\"b\": 1} x", &[0xff, 0xfe]] {
        assert!(!absent.matches(record("1", bad)));
    }
    let either = criteria(&[r#"{"$or": [{"data": {"a": [1]}}, {"partitionKey": ["1"]}]}"#]);
    assert!(either.matches(record("1", b"{}")));
    assert!(!either.matches(record("1", b"plain text")));
}

#[test]
fn metadata_is_matched_whatever_the_data_is() {
    let keys = criteria(&[r#"{"partitionKey": [{"prefix": "eu-"}]}"#]);
    assert!(keys.matches(record("eu-1", b"plain text")));
    assert!(!keys.matches(record("us-1", b"plain text")));
    let later = criteria(&[r#"{"approximateArrivalTimestamp": [{"numeric": [">=", 1545084650.987]}]}"#]);
    assert!(later.matches(record("a", b"")));
    assert!(!later.matches(KinesisRecord { arrival_ms: 1_545_084_650_986, ..record("a", b"") }));
    let number = criteria(&[r#"{"sequenceNumber": [{"suffix": "898"}], "kinesisSchemaVersion": ["1.0"]}"#]);
    assert!(number.matches(record("a", b"")));
}

#[test]
fn one_matching_filter_is_enough_and_without_filters_all_match() {
    let both = criteria(&[r#"{"data": {"a": [1]}}"#, r#"{"partitionKey": ["k"], "data": {"a": [2]}}"#]);
    assert!(both.matches(record("x", br#"{"a": 1}"#)));
    assert!(both.matches(record("k", br#"{"a": 2}"#)));
    assert!(!both.matches(record("x", br#"{"a": 2}"#)));
    let beside = criteria(&[r#"{"data": {"a": [1]}}"#, r#"{"partitionKey": ["k"]}"#]);
    assert!(beside.matches(record("k", b"plain text")));
    assert!(criteria(&[]).matches(record("k", b"plain text")));
}
