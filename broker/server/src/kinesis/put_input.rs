//! The input of `PutRecord` and `PutRecords`: the path that most requests take.
//!
//! A batch's texts and blobs are borrowed from the request's body. Keys and decoded data then lie side by side in one
//! buffer that all records of the request share, so that the body itself can be given up.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use millrace_core::{HashKey, Record};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Blob, Text, as_str};

/// The most records of one request (Kinesis API, `PutRecords`).
pub(super) const MAX_RECORDS: usize = 500;
/// The most data of one record, in bytes.
pub(super) const MAX_DATA_BYTES: usize = 1 << 20;
/// The most data and partition keys of one request, in bytes.
pub(super) const MAX_REQUEST_DATA_BYTES: usize = 5 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordInput<'a> {
    #[serde(borrow)]
    pub(super) data: Option<Blob<'a>>,
    #[serde(borrow)]
    pub(super) explicit_hash_key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) partition_key: Option<Text<'a>>,
    /// Orders a record after the one it names. Every record is ordered after all that were acknowledged
    /// before it was sent, so it is checked and then not needed.
    #[serde(borrow)]
    pub(super) sequence_number_for_ordering: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    pub(super) stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stream_name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordsInput<'a> {
    #[serde(borrow)]
    pub(super) records: Option<Entries<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    pub(super) stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stream_name: Option<Text<'a>>,
}

/// The records of a request, as far as one may have them.
#[derive(Debug, Default)]
pub(super) struct Entries<'a> {
    entries: Vec<Entry<'a>>,
    /// How many there are beyond the most that is allowed: counted, not kept.
    surplus: usize,
}

#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    data: Option<Blob<'a>>,
    explicit_hash_key: Option<Text<'a>>,
    partition_key: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries<'de>, A::Error> {
                let mut all = Entries::default();
                while all.entries.len() < MAX_RECORDS {
                    let Some(entry) = list.next_element()? else { return Ok(all) };
                    all.entries.push(entry);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    all.surplus += 1;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    /// An object only: a derived implementation would take a list of values too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let mut entry = Entry::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match name.as_str() {
                        "Data" => entry.data = map.next_value()?,
                        "PartitionKey" => entry.partition_key = map.next_value()?,
                        "ExplicitHashKey" => entry.explicit_hash_key = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(entry)
            }
        }
        deserializer.deserialize_map(EntryVisitor)
    }
}

impl PutRecordInput<'_> {
    /// The one record, if the request is as it should be.
    pub(super) fn record(&self) -> Result<Record, ApiError> {
        let (data, key) = (self.data.as_ref(), as_str(&self.partition_key));
        let mut gathering = Gathering::with_room(written_len(data, key), 1);
        gathering.add(None, data, key, as_str(&self.explicit_hash_key))?;
        let checks = &mut gathering.checks;
        let ordering = as_str(&self.sequence_number_for_ordering);
        checks.text("sequenceNumberForOrdering", ordering, check::SEQUENCE_NUMBER);
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        gathering.finish()?.pop().ok_or_else(ApiError::internal)
    }
}

impl PutRecordsInput<'_> {
    /// The records, if the request is as it should be.
    pub(super) fn records(&self) -> Result<Vec<Record>, ApiError> {
        let none = Entries::default();
        let Entries { entries, surplus } = self.records.as_ref().unwrap_or(&none);
        let written =
            entries.iter().map(|entry| written_len(entry.data.as_ref(), as_str(&entry.partition_key)));
        let mut gathering = Gathering::with_room(written.sum(), entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let (data, key) = (entry.data.as_ref(), as_str(&entry.partition_key));
            gathering.add(Some(index), data, key, as_str(&entry.explicit_hash_key))?;
        }
        let checks = &mut gathering.checks;
        checks.required("records", self.records.as_ref());
        if self.records.is_some() {
            let count = entries.len() + surplus;
            let quoted = if count == 0 { "[]".to_owned() } else { format!("[{count} records]") };
            checks.length("records", &quoted, count, 1, MAX_RECORDS);
        }
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        gathering.finish()
    }
}

/// What a record's data and key take in the body.
fn written_len(data: Option<&Blob<'_>>, key: Option<&str>) -> usize {
    data.map_or(0, Blob::written_len) + key.map_or(0, str::len)
}

/// Decodes records into one buffer and checks them on the way.
struct Gathering {
    buffer: Vec<u8>,
    spans: Vec<Span>,
    checks: Checks,
    /// The first explicit hash key that has 39 digits and yet more than 128 bits.
    beyond_range: Option<String>,
}

/// Where a record lies in the buffer.
struct Span {
    key: Range<usize>,
    data: Range<usize>,
    hash_key: Option<HashKey>,
}

impl Gathering {
    /// Takes `records` records whose keys and data are `room` bytes in the body, without growing.
    fn with_room(room: usize, records: usize) -> Gathering {
        Gathering {
            buffer: Vec::with_capacity(room),
            spans: Vec::with_capacity(records),
            checks: Checks::default(),
            beyond_range: None,
        }
    }

    fn add(
        &mut self,
        index: Option<usize>,
        data: Option<&Blob<'_>>,
        key: Option<&str>,
        hash_key: Option<&str>,
    ) -> Result<(), ApiError> {
        let key_at = self.buffer.len();
        self.buffer.extend_from_slice(key.unwrap_or("").as_bytes());
        let data_at = self.buffer.len();
        if let Some(data) = data {
            data.decode_to(&mut self.buffer)?;
        }
        let end = self.buffer.len();
        let span = |hash_key| Span { key: key_at..data_at, data: data_at..end, hash_key };
        let key_is_fine = key.is_some_and(|key| (1..=check::PARTITION_KEY.max).contains(&key.len()));
        if data.is_some() && end - data_at <= MAX_DATA_BYTES && key_is_fine && hash_key.is_none() {
            self.spans.push(span(None));
            return Ok(());
        }
        self.check(index, data.map(|_| end - data_at), key, hash_key);
        let hash_key = hash_key.filter(|_| !self.checks.failed()).and_then(|text| {
            let parsed = text.parse().ok();
            if parsed.is_none() && self.beyond_range.is_none() {
                self.beyond_range = Some(text.to_owned());
            }
            parsed
        });
        self.spans.push(span(hash_key));
        Ok(())
    }

    /// Names everything that is wrong with a record; it stands in the list at `index`, or alone.
    fn check(
        &mut self,
        index: Option<usize>,
        data_bytes: Option<usize>,
        key: Option<&str>,
        hash_key: Option<&str>,
    ) {
        let at = |member: &str| match index {
            Some(index) => format!("records.{}.member.{member}", index + 1),
            None => member.to_owned(),
        };
        self.checks.required(&at("data"), data_bytes);
        let bytes = data_bytes.unwrap_or(0);
        if bytes > MAX_DATA_BYTES {
            let quoted = format!("java.nio.HeapByteBuffer[pos=0 lim={bytes} cap={bytes}]");
            self.checks.length(&at("data"), &quoted, bytes, 0, MAX_DATA_BYTES);
        }
        self.checks.text(&at("explicitHashKey"), hash_key, check::HASH_KEY);
        self.checks.required(&at("partitionKey"), key);
        self.checks.text(&at("partitionKey"), key, check::PARTITION_KEY);
    }

    fn finish(self) -> Result<Vec<Record>, ApiError> {
        self.checks.finish()?;
        if let Some(text) = self.beyond_range {
            return Err(ApiError::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value \
                 was {text}"
            )));
        }
        if self.buffer.len() > MAX_REQUEST_DATA_BYTES {
            return Err(ApiError::invalid_argument("Records size exceeds 5 MB limit"));
        }
        let all = Bytes::from(self.buffer);
        let record = |span: Span| Record {
            partition_key: all.slice(span.key),
            explicit_hash_key: span.hash_key,
            data: all.slice(span.data),
        };
        Ok(self.spans.into_iter().map(record).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;
    use base64_simd::STANDARD;
    use serde_json::{Value, json};

    fn records(input: &Value) -> Result<Vec<Record>, ApiError> {
        Format::Json.read::<PutRecordsInput<'_>>(input.to_string().as_bytes())?.records()
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
        let body =
            std::collections::BTreeMap::from([("Records", [entry(b"a", "k1"), entry(b"\xff\0", "ä")])]);
        let body = Format::Cbor.write(&body).unwrap();
        let input: PutRecordsInput<'_> = Format::Cbor.read(&body).unwrap();
        let entries = &input.records.as_ref().unwrap().entries;
        assert!(matches!(entries[0].data, Some(Blob::Bytes(std::borrow::Cow::Borrowed(b"a")))));
        let records = input.records().unwrap();
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
    }

    #[test]
    fn batches_have_1_to_500_records_of_at_most_5_mebibytes() {
        let batch = |records: Vec<Value>| json!({"StreamName": "s", "Records": records});
        assert_eq!(records(&batch(vec![record(1, "k"); 500])).unwrap().len(), 500);
        let (name, message) = refusal(&batch(vec![record(1, "k"); 501]));
        assert_eq!(name, "ValidationException");
        assert!(
            message.contains("'[501 records]' at 'records'") && message.contains("less than or equal to 500")
        );
        let (_, message) = refusal(&batch(vec![]));
        assert!(
            message.contains("Value '[]' at 'records'") && message.contains("greater than or equal to 1")
        );
        let (_, message) = refusal(&json!({"StreamName": "s"}));
        assert!(message.contains("Value null at 'records'"));
        assert!(records(&batch(vec![record((1 << 20) - 1, "k"); 5])).is_ok());
        let (name, _) = refusal(&batch(vec![record(1 << 20, "k"); 5]));
        assert_eq!(name, "InvalidArgumentException");
    }

    #[test]
    fn a_record_has_at_most_a_mebibyte_and_its_key_256_characters() {
        let one = |record| json!({"StreamName": "s", "Records": [record]});
        assert!(records(&one(record(1 << 20, &"ä".repeat(256)))).is_ok());
        let (name, message) = refusal(&one(record((1 << 20) + 1, "k")));
        assert_eq!(name, "ValidationException");
        assert!(message.contains("java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]"), "{message}");
        assert!(message.contains("less than or equal to 1048576"));
        let (name, message) = refusal(&one(record(1, &"ä".repeat(257))));
        assert_eq!(name, "ValidationException");
        assert!(message.contains("less than or equal to 256"));
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
            Format::Json.read::<PutRecordInput<'_>>(body.as_bytes()).and_then(|input| input.record())
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
}
