use super::*;
use crate::kinesis::format::Format;
use base64_simd::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

fn records(input: &Value) -> Result<Vec<Record>, ApiError> {
    Format::Json.read::<PutRecordsInput<'_>>(input.to_string().as_bytes())?.records(RecordRules::default())
}

fn record(data_bytes: usize, key: &str) -> Value {
    json!({"Data": STANDARD.encode_to_string(vec![7; data_bytes]), "PartitionKey": key})
}

fn refusal(input: &Value) -> (&'static str, String) {
    let error = records(input).unwrap_err();
    assert_eq!(error.status, 400);
    (error.name, error.message)
}

#[test]
fn a_batch_is_decoded_in_order() {
    let input = json!({"StreamName": "s", "Records": [
        {"Data": "YQ==", "PartitionKey": "k1"},
        {"PartitionKey": "k/2", "Data": "", "ExplicitHashKey": "340282366920938463463374607431768211455"},
        {"Data": "YWJj", "PartitionKey": "ä", "Unknown": {"a": [1]}},
    ]});
    let records = records(&input).unwrap();
    let data: Vec<&[u8]> = records.iter().map(|record| &record.data[..]).collect();
    assert_eq!(data, [b"a".as_slice(), b"", b"abc"]);
    let keys: Vec<&[u8]> = records.iter().map(|record| &record.partition_key[..]).collect();
    assert_eq!(keys, [b"k1".as_slice(), b"k/2", "ä".as_bytes()]);
    assert_eq!(records[1].explicit_hash_key, Some(HashKey::MAX));
}

#[test]
fn a_batch_in_cbor_is_the_same_without_base64() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        data: Bytes,
        partition_key: &'static str,
    }
    let entry = |data: &'static [u8], partition_key| Entry { data: data.into(), partition_key };
    let body = std::collections::BTreeMap::from([("Records", [entry(b"a", "k1"), entry(b"\xff\0", "ä")])]);
    let body = Format::Cbor.write(&body).unwrap();
    let input: PutRecordsInput<'_> = Format::Cbor.read(&body).unwrap();
    let entries = &input.records.as_ref().unwrap().entries;
    assert!(matches!(entries[0].data, Some(Blob::Bytes(std::borrow::Cow::Borrowed(b"a")))));
    let records = input.records(RecordRules::default()).unwrap();
    assert_eq!((&records[1].data[..], &records[1].partition_key[..]), (&b"\xff\0"[..], "ä".as_bytes()));
}

#[test]
fn every_violation_of_a_batch_is_named_with_its_place() {
    let input = json!({"StreamName": "", "Records": [
        record(1, "k"), {"PartitionKey": ""}, {"Data": "", "ExplicitHashKey": "01"},
    ]});
    let (name, message) = refusal(&input);
    assert_eq!(name, "ValidationException");
    for part in [
        "6 validation errors detected: ",
        "Value null at 'records.2.member.data' failed to satisfy constraint: Member must not be null",
        "Value '' at 'records.2.member.partitionKey' failed to satisfy constraint: Member must have length \
         greater than or equal to 1",
        "Value '01' at 'records.3.member.explicitHashKey' failed",
        "Value null at 'records.3.member.partitionKey' failed",
        "Value '' at 'streamName' failed",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let many = json!({"StreamName": "", "Records": vec![json!({"Data": "", "PartitionKey": ""}); 501]});
    let (_, message) = refusal(&many);
    assert!(
        message.starts_with("10 validation errors detected: Value '[501 records]' at 'records'"),
        "{message}"
    );
}

#[test]
fn batches_have_1_to_500_records_of_at_most_10_mebibytes() {
    let batch = |records: Vec<Value>| json!({"StreamName": "s", "Records": records});
    assert_eq!(records(&batch(vec![record(1, "k"); 500])).unwrap().len(), 500);
    let (name, message) = refusal(&batch(vec![record(1, "k"); 501]));
    assert_eq!(name, "ValidationException");
    assert!(
        message.contains("'[501 records]' at 'records'") && message.contains("less than or equal to 500")
    );
    let (_, message) = refusal(&batch(vec![]));
    assert!(message.contains("Value '[]' at 'records'") && message.contains("greater than or equal to 1"));
    let (_, message) = refusal(&json!({"StreamName": "s"}));
    assert!(message.contains("Value null at 'records'"));
    assert!(records(&batch(vec![record((1 << 20) - 1, "k"); 10])).is_ok());
    let (name, _) = refusal(&batch([vec![record((1 << 20) - 1, "k"); 10], vec![record(0, "k")]].concat()));
    assert_eq!(name, "InvalidArgumentException");
}

#[test]
fn a_record_has_at_most_a_mebibyte_with_its_key_of_256_characters() {
    let one = |record| json!({"StreamName": "s", "Records": [record]});
    assert!(records(&one(record((1 << 20) - 512, &"ä".repeat(256)))).is_ok());
    let (name, message) = refusal(&one(record((1 << 20) + 1, "k")));
    assert_eq!(name, "ValidationException");
    assert!(message.contains("java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]"), "{message}");
    assert!(message.contains("less than or equal to 1048576"));
    assert_eq!(refusal(&one(record(1 << 20, "k"))).0, "ValidationException");
    let (name, message) = refusal(&one(record(1, &"ä".repeat(257))));
    assert_eq!(name, "ValidationException");
    assert!(message.contains("less than or equal to 256"));
}

#[test]
fn a_stream_may_take_larger_records() {
    let input = json!({"StreamName": "s", "Records": [record((5 << 20) - 1, "k")]}).to_string();
    let input: PutRecordsInput<'_> = Format::Json.read(input.as_bytes()).unwrap();
    let rules = |max_bytes: usize| RecordRules { max_bytes, ..RecordRules::default() };
    assert_eq!(input.records(rules(5 << 20)).unwrap()[0].data.len(), (5 << 20) - 1);
    let error = input.records(rules((5 << 20) - 1)).unwrap_err();
    assert!(error.message.contains("less than or equal to 5242879"), "{}", error.message);
}

#[test]
fn where_records_lie_anywhere_keys_may_be_left_out_and_say_nothing() {
    let entry = json!({"Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": "5"});
    let input = json!({"StreamName": "s", "Records": [{"Data": "YQ=="}, entry]}).to_string();
    let input: PutRecordsInput<'_> = Format::Json.read(input.as_bytes()).unwrap();
    let records = input.records(RecordRules { by_key: false, ..RecordRules::default() }).unwrap();
    assert_eq!((&records[0].partition_key[..], &records[1].partition_key[..]), (&b""[..], &b"k"[..]));
    let keys: Vec<_> = records.iter().map(|record| record.explicit_hash_key.unwrap()).collect();
    assert!(keys[0] != keys[1] && keys[1] != HashKey(5));
    assert_eq!(input.records(RecordRules::default()).unwrap_err().name, "ValidationException");
}

#[test]
fn a_hash_key_beyond_128_bits_is_an_invalid_argument() {
    let key = "340282366920938463463374607431768211456";
    let (name, message) = refusal(&json!({"StreamName": "s", "Records": [
        {"Data": "", "PartitionKey": "k", "ExplicitHashKey": key},
    ]}));
    assert_eq!(name, "InvalidArgumentException");
    assert!(message.ends_with(key));
}

#[test]
fn what_is_no_record_is_a_serialization_error() {
    for bad in [
        json!({"StreamName": "s", "Records": {}}),
        json!({"StreamName": "s", "Records": [1]}),
        json!({"StreamName": "s", "Records": [null]}),
        json!({"StreamName": "s", "Records": [["YQ==", "k"]]}),
        json!({"StreamName": "s", "Records": [{"Data": 1, "PartitionKey": "k"}]}),
        json!({"StreamName": "s", "Records": [{"Data": "YQ", "PartitionKey": "k"}]}),
        json!({"StreamName": "s", "Records": [{"Data": "Y Q=", "PartitionKey": "k"}]}),
        json!({"StreamName": 1, "Records": [{"Data": "", "PartitionKey": "k"}]}),
    ] {
        assert_eq!(refusal(&bad).0, "SerializationException", "{bad}");
    }
}

#[test]
fn a_single_record_is_checked_in_the_same_way() {
    let put = |input: Value| {
        let body = input.to_string();
        Format::Json
            .read::<PutRecordInput<'_>>(body.as_bytes())
            .and_then(|input| input.record(RecordRules::default()))
    };
    let good =
        json!({"StreamName": "s", "Data": "YQ==", "PartitionKey": "k", "SequenceNumberForOrdering": "0"});
    assert_eq!(put(good).unwrap().data, "a");
    let error = put(json!({"SequenceNumberForOrdering": "x"})).unwrap_err();
    assert_eq!(error.name, "ValidationException");
    for at in ["'data'", "'partitionKey'", "'sequenceNumberForOrdering'"] {
        assert!(error.message.contains(at), "{}", error.message);
    }
}

proptest! {
    #[test]
    fn whatever_comes_as_a_body_is_an_input_or_an_error(body in vec(any::<u8>(), 0..200), good in any::<bool>()) {
        for format in [Format::Json, Format::Cbor] {
            // Half of them begin as a batch does.
            let begin: &[u8] = match (good, format) {
                (false, _) => b"",
                (true, Format::Json) => b"{\"Records\":[{\"Data\":",
                (true, Format::Cbor) => b"\xbf\x67Records\x9f\xbf\x64Data",
            };
            let body = [begin, &body].concat();
            if let Ok(input) = format.read::<PutRecordsInput<'_>>(&body) {
                let _ = input.records(RecordRules::default());
            }
        }
    }
}
