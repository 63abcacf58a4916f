//! The input of `PutRecord` and `PutRecords`: the path that most requests take.
//!
//! A batch's texts and blobs are borrowed from the request's body. Keys and decoded data then lie side by side in one
//! buffer that all records of the request share, so that the body itself can be given up.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use millrace_core::attributes::Distribution;
use millrace_core::{HashKey, Record, RecordSize};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Blob, Text, as_str};
use crate::broker::Stream;

/// The most records of one request (Kinesis API, `PutRecords`).
pub(super) const MAX_RECORDS: usize = 500;
/// The most data and partition keys of one request, in bytes (Kinesis API, `PutRecords`).
pub(super) const MAX_REQUEST_DATA_BYTES: usize = 10 << 20;

/// What a stream asks of its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordRules {
    /// The most that a record's data and key may hold, in bytes.
    max_bytes: usize,
    /// Whether records lie where their keys say; otherwise anywhere, and keys may be left out.
    by_key: bool,
}

impl RecordRules {
    pub(super) fn of(stream: &Stream) -> RecordRules {
        RecordRules {
            max_bytes: stream.entry.config.max_record.0 as usize,
            by_key: stream.attributes.distribution == Distribution::PartitionKey,
        }
    }
}

impl Default for RecordRules {
    /// What a stream asks whose maker does not say.
    fn default() -> RecordRules {
        RecordRules { max_bytes: RecordSize::default().0 as usize, by_key: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordInput<'a> {
    #[serde(borrow)]
    pub(super) data: Option<Blob<'a>>,
    pub(super) dry_run: Option<bool>,
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
    pub(super) dry_run: Option<bool>,
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
    pub(super) fn record(&self, rules: RecordRules) -> Result<Record, ApiError> {
        let (data, key) = (self.data.as_ref(), as_str(&self.partition_key));
        let mut gathering = Gathering::with_room(written_len(data, key), 1, rules);
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
    pub(super) fn records(&self, rules: RecordRules) -> Result<Vec<Record>, ApiError> {
        let none = Entries::default();
        let Entries { entries, surplus } = self.records.as_ref().unwrap_or(&none);
        let written =
            entries.iter().map(|entry| written_len(entry.data.as_ref(), as_str(&entry.partition_key)));
        let mut gathering = Gathering::with_room(written.sum(), entries.len(), rules);
        // Named before what is wrong within it, as by the service.
        gathering.checks.required("records", self.records.as_ref());
        if self.records.is_some() {
            let count = entries.len() + surplus;
            let quoted = if count == 0 { "[]".to_owned() } else { format!("[{count} records]") };
            gathering.checks.length("records", &quoted, count, 1, MAX_RECORDS);
        }
        for (index, entry) in entries.iter().enumerate() {
            let (data, key) = (entry.data.as_ref(), as_str(&entry.partition_key));
            gathering.add(Some(index), data, key, as_str(&entry.explicit_hash_key))?;
        }
        let checks = &mut gathering.checks;
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
    rules: RecordRules,
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
    fn with_room(room: usize, records: usize, rules: RecordRules) -> Gathering {
        Gathering {
            rules,
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
        let key_is_fine = match key {
            Some(key) => (1..=check::PARTITION_KEY.max).contains(&key.len()),
            None => !self.rules.by_key,
        };
        let plain = data.is_some() && end - key_at <= self.rules.max_bytes && key_is_fine;
        if plain && hash_key.is_none() {
            let anywhere = (!self.rules.by_key).then(|| HashKey(rand::random()));
            self.spans.push(span(anywhere));
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
        self.spans.push(span(if self.rules.by_key { hash_key } else { Some(HashKey(rand::random())) }));
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
        if bytes + key.map_or(0, str::len) > self.rules.max_bytes {
            let quoted = format!("java.nio.HeapByteBuffer[pos=0 lim={bytes} cap={bytes}]");
            let most = self.rules.max_bytes;
            let constraint = format!("Member must have length less than or equal to {most}");
            self.checks.violated(&at("data"), Some(&quoted), constraint);
        }
        self.checks.text(&at("explicitHashKey"), hash_key, check::HASH_KEY);
        if self.rules.by_key {
            self.checks.required(&at("partitionKey"), key);
        }
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
            return Err(ApiError::invalid_argument("Records size exceeds 10 MB limit"));
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
mod tests;
