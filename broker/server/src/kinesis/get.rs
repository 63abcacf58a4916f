//! `GetRecords`.

use std::convert::Infallible;
use std::io::{self, Write};

use jiff::Timestamp;
use millrace_core::token::{ShardIterator, TokenError};
use millrace_core::{CapacityMode, Limits};
use minicbor::Encoder;
use minicbor_serde::error::EncodeError;
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::{self, Checks};
use super::describe::has_data;
use super::error::ApiError;
use super::format::Format;
use super::input::{Text, as_str};
use super::iterator::ITERATOR_MS;
use super::records;
use super::shards::ChildForm;
use crate::broker::{ReadBatch, Stream};

/// The most records of one answer, and how many there are if the caller does not say (Kinesis API,
/// `GetRecords`).
const MAX_RECORDS: i64 = 10_000;
/// The most data of one answer, in bytes.
const MAX_BYTES: usize = 10 << 20;
/// What an answer has beside its records, in bytes.
const ANSWER_BYTES: usize = 512;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsInput<'a> {
    dry_run: Option<bool>,
    limit: Option<i64>,
    #[serde(borrow)]
    shard_iterator: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
}

pub(super) async fn get_records(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: GetRecordsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.number("limit", input.limit, 1, MAX_RECORDS);
    checks.required("shardIterator", input.shard_iterator.as_ref());
    checks.text("shardIterator", as_str(&input.shard_iterator), check::SHARD_ITERATOR);
    checks.text("streamARN", as_str(&input.stream_arn), check::STREAM_ARN);
    checks.finish()?;
    let (broker, key) = (call.broker(), call.broker().token_key());
    let text = as_str(&input.shard_iterator).unwrap_or_default();
    let iterator =
        ShardIterator::open(key, text, call.now_ms).map_err(|error| refused(error, call.now_ms))?;
    let stream = broker.stream_of(&iterator.data).ok_or_else(|| {
        ApiError::not_found(format!(
            "The stream of the ShardIterator under account {} not found.",
            call.account
        ))
    })?;
    if stream.namespace != call.namespace() {
        return Err(refused(TokenError::Invalid, call.now_ms));
    }
    if input.stream_arn.is_some() && call.stream_name(None, as_str(&input.stream_arn))? != stream.name {
        return Err(ApiError::invalid_argument(
            "The ShardIterator is not one of the stream that StreamARN names.",
        ));
    }
    if !has_data(&stream) {
        return Err(ApiError::no_stream(&stream.name, &call.account));
    }
    call.check_dry_run(&stream, input.dry_run)?;
    let metered = is_metered(&stream);
    let reads = &call.kinesis.reads;
    if metered && !reads.admit(&iterator.data, iterator.shard, call.now_ms) {
        return Err(ApiError::throttled(format!(
            "Rate exceeded for shard {} in stream {} under account {}.",
            iterator.shard, stream.name, call.account
        )));
    }
    let most = usize::try_from(input.limit.unwrap_or(MAX_RECORDS)).unwrap_or(usize::MAX);
    let read = broker.read(&stream, iterator.shard, iterator.next, iterator.not_before_ms, most, MAX_BYTES);
    let batch = read.await.map_err(|error| ApiError::of_read(&error, &stream, &call.account))?;
    if metered {
        let bytes =
            batch.records.iter().map(|(_, record)| record.data.len() + record.partition_key.len()).sum();
        reads.charge(&iterator.data, iterator.shard, bytes);
    }
    let next = batch.next.map(|next| {
        // Arrival times never decrease in a shard: once one record has passed, all do.
        let not_before_ms = iterator.not_before_ms.filter(|_| batch.records.is_empty());
        let next = ShardIterator { next, not_before_ms, ..iterator };
        next.seal(key, broker.now_ms() + ITERATOR_MS)
    });
    write(call.format, &batch, next.as_deref(), stream.is_encrypted())
}

/// Whether the stream's readers are held to Kinesis' quotas.
fn is_metered(stream: &Stream) -> bool {
    let config = &stream.entry.config;
    config.limits == Limits::Kinesis && config.mode == CapacityMode::Provisioned
}

fn refused(error: TokenError, now_ms: i64) -> ApiError {
    match error {
        TokenError::Invalid => ApiError::invalid_argument("Invalid ShardIterator."),
        TokenError::Expired { at_ms } => ApiError::expired_iterator(format!(
            "Iterator expired. The iterator was created at time {} while right now it is {} which is further in \
             the future than the tolerated delay of {ITERATOR_MS} milliseconds.",
            long_format(at_ms - ITERATOR_MS),
            long_format(now_ms),
        )),
    }
}

/// `Thu Jan 22 01:22:02 UTC 2015`.
fn long_format(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string()
}

fn write(
    format: Format,
    batch: &ReadBatch,
    next: Option<&str>,
    encrypted: bool,
) -> Result<Vec<u8>, ApiError> {
    let room = records::room(format, &batch.records) + ANSWER_BYTES;
    let mut out = Vec::with_capacity(room);
    let written = match format {
        Format::Json => json_answer(&mut out, batch, next, encrypted).map_err(|error| error.to_string()),
        Format::Cbor => cbor_answer(&mut out, batch, next, encrypted).map_err(|error| error.to_string()),
    };
    written.map_err(|error| {
        tracing::error!(error, "an answer can't be written");
        ApiError::internal()
    })?;
    Ok(out)
}

fn json_answer(out: &mut Vec<u8>, batch: &ReadBatch, next: Option<&str>, encrypted: bool) -> io::Result<()> {
    write!(out, r#"{{"MillisBehindLatest":{},"NextShardIterator":"#, batch.millis_behind.max(0))?;
    match next {
        Some(text) => write!(out, r#""{text}""#)?,
        None => out.extend_from_slice(b"null"),
    }
    if !batch.children.is_empty() {
        out.extend_from_slice(br#","ChildShards":"#);
        serde_json::to_writer(&mut *out, &ChildForm::of(batch))?;
    }
    out.extend_from_slice(br#","Records":"#);
    records::json(out, &batch.records, encrypted)?;
    out.push(b'}');
    Ok(())
}

fn cbor_answer(
    out: &mut Vec<u8>,
    batch: &ReadBatch,
    next: Option<&str>,
    encrypted: bool,
) -> Result<(), EncodeError<Infallible>> {
    let mut map = Encoder::new(out);
    map.map(3 + u64::from(!batch.children.is_empty()))?;
    map.str("MillisBehindLatest")?.i64(batch.millis_behind.max(0))?;
    match map.str("NextShardIterator")? {
        map if next.is_none() => map.null()?,
        map => map.str(next.unwrap_or_default())?,
    };
    if !batch.children.is_empty() {
        map.str("ChildShards")?;
        ChildForm::of(batch).serialize(&mut minicbor_serde::Serializer::new(map.writer_mut()))?;
    }
    map.str("Records")?;
    records::cbor(&mut map, &batch.records, encrypted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::shards::tests::open;
    use super::*;
    use bytes::Bytes;
    use millrace_core::map::Parents;
    use millrace_core::{Position, SequenceNumber, ShardId, StoredRecord};
    use minicbor_serde::tag::Required;
    use serde_json::{Value, json};

    fn batch() -> ReadBatch {
        let sequence = SequenceNumber { epoch: 1, position: Position { pack: 2, index: 3 } };
        let record = |key: &'static str, data: &'static str| StoredRecord {
            partition_key: Bytes::from_static(key.as_bytes()),
            explicit_hash_key: None,
            arrival_ms: 1_459_799_926_048,
            data: Bytes::from_static(data.as_bytes()),
        };
        let records = vec![(sequence, record("a\"ä\n", "data")), (sequence, record("k", ""))];
        ReadBatch { records, next: None, millis_behind: 17, children: Vec::new() }
    }

    #[test]
    fn an_answer_is_json_with_data_in_base64() {
        let answer: Value =
            serde_json::from_slice(&write(Format::Json, &batch(), Some("AAE"), false).unwrap()).unwrap();
        let sequence = batch().records[0].0.to_string();
        let record = |key: &str, data: &str| {
            json!({"ApproximateArrivalTimestamp": 1_459_799_926.048, "Data": data, "PartitionKey": key,
                   "SequenceNumber": sequence})
        };
        let expected = json!({"MillisBehindLatest": 17, "NextShardIterator": "AAE",
                              "Records": [record("a\"ä\n", "ZGF0YQ=="), record("k", "")]});
        assert_eq!(answer, expected);
    }

    #[test]
    fn an_answer_in_cbor_has_data_in_bytes_and_tagged_milliseconds() {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer<'a> {
            millis_behind_latest: i64,
            next_shard_iterator: Option<String>,
            child_shards: Vec<Value>,
            #[serde(borrow)]
            records: Vec<Record<'a>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Record<'a> {
            approximate_arrival_timestamp: Required<1, i64>,
            #[serde(borrow)]
            data: &'a [u8],
            partition_key: &'a str,
            sequence_number: &'a str,
        }
        let children = vec![open(8, 0, Parents::default())];
        let answer = write(Format::Cbor, &ReadBatch { children, ..batch() }, None, false).unwrap();
        let answer: Answer<'_> = Format::Cbor.read(&answer).unwrap();
        assert_eq!((answer.millis_behind_latest, answer.next_shard_iterator), (17, None));
        assert_eq!(answer.child_shards[0]["ShardId"], "shardId-000000000008");
        let sequence = batch().records[0].0.to_string();
        for (record, (key, data)) in answer.records.iter().zip([("a\"ä\n", b"data".as_slice()), ("k", b"")])
        {
            assert_eq!(*record.approximate_arrival_timestamp, 1_459_799_926_048);
            assert_eq!((record.data, record.partition_key), (data, key));
            assert_eq!(record.sequence_number, sequence);
        }
        let empty =
            write(Format::Cbor, &ReadBatch { records: Vec::new(), ..batch() }, Some("AAE"), false).unwrap();
        let empty: Value = Format::Cbor.read(&empty).unwrap();
        assert_eq!(empty, json!({"MillisBehindLatest": 17, "NextShardIterator": "AAE", "Records": []}));
    }

    #[test]
    fn a_shards_end_has_no_iterator_and_names_its_children() {
        let parents = Parents { parent: Some(ShardId(1)), adjacent: Some(ShardId(2)) };
        let batch = ReadBatch { records: Vec::new(), children: vec![open(8, 0, parents)], ..batch() };
        let answer: Value =
            serde_json::from_slice(&write(Format::Json, &batch, None, false).unwrap()).unwrap();
        let expected = json!({"MillisBehindLatest": 17, "NextShardIterator": null, "Records": [], "ChildShards": [{
            "ShardId": "shardId-000000000008",
            "ParentShards": ["shardId-000000000001", "shardId-000000000002"],
            "HashKeyRange": {"StartingHashKey": "5", "EndingHashKey": "9"},
        }]});
        assert_eq!(answer, expected);
    }

    #[test]
    fn an_expired_iterator_says_when_it_was_made() {
        let error = refused(TokenError::Expired { at_ms: 1_421_890_022_000 }, 1_421_890_023_000);
        assert_eq!(error.name, "ExpiredIteratorException");
        assert_eq!(
            error.message,
            "Iterator expired. The iterator was created at time Thu Jan 22 01:22:02 UTC 2015 while right now it \
             is Thu Jan 22 01:27:03 UTC 2015 which is further in the future than the tolerated delay of 300000 \
             milliseconds."
        );
    }
}
