//! `GetShardIterator`.

use millrace_core::token::ShardIterator;
use millrace_core::{Position, SequenceNumber, ShardId};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};
use crate::broker::Stream;

/// How long an iterator is good (Kinesis API, `GetShardIterator`), in milliseconds.
pub(super) const ITERATOR_MS: i64 = 300_000;

pub(super) const TYPES: [&str; 5] =
    ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorInput<'a> {
    dry_run: Option<bool>,
    #[serde(borrow)]
    shard_id: Option<Text<'a>>,
    #[serde(borrow)]
    shard_iterator_type: Option<Text<'a>>,
    #[serde(borrow)]
    starting_sequence_number: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    timestamp: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIteratorOutput {
    shard_iterator: String,
}

/// Where a reader wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    TrimHorizon,
    Latest,
    AtSequence(&'a str),
    AfterSequence(&'a str),
    AtTime(i64),
}

impl GetShardIteratorInput<'_> {
    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.required("shardId", self.shard_id.as_ref());
        checks.text("shardId", as_str(&self.shard_id), check::SHARD_ID);
        checks.required("shardIteratorType", self.shard_iterator_type.as_ref());
        checks.one_of("shardIteratorType", as_str(&self.shard_iterator_type), &TYPES);
        let starting = as_str(&self.starting_sequence_number);
        checks.text("startingSequenceNumber", starting, check::SEQUENCE_NUMBER);
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        checks.finish()
    }

    fn start(&self, now_ms: i64) -> Result<Start<'_>, ApiError> {
        let kind = as_str(&self.shard_iterator_type).unwrap_or_default();
        Start::of(kind, as_str(&self.starting_sequence_number), self.timestamp, now_ms)
    }
}

impl<'a> Start<'a> {
    /// The type with what belongs to it, and nothing that does not. The type was checked.
    pub(super) fn of(
        kind: &'a str,
        sequence: Option<&'a str>,
        timestamp: Option<Timestamp>,
        now_ms: i64,
    ) -> Result<Start<'a>, ApiError> {
        match (kind, sequence, timestamp) {
            ("AT_SEQUENCE_NUMBER", Some(sequence), None) => Ok(Start::AtSequence(sequence)),
            ("AFTER_SEQUENCE_NUMBER", Some(sequence), None) => Ok(Start::AfterSequence(sequence)),
            ("TRIM_HORIZON", None, None) => Ok(Start::TrimHorizon),
            ("LATEST", None, None) => Ok(Start::Latest),
            ("AT_TIMESTAMP", None, Some(at)) if at.ms > now_ms => Err(ApiError::invalid_argument(format!(
                "The timestamp parameter cannot be greater than the currentTimestampMillis. timestampMillis: \
                 {}, currentTimestampMillis: {now_ms}",
                at.ms
            ))),
            ("AT_TIMESTAMP", None, Some(at)) => Ok(Start::AtTime(at.ms)),
            (kind, sequence, timestamp) => {
                let given =
                    |is: bool, name: &str| if is { format!("a {name}") } else { format!("no {name}") };
                Err(ApiError::invalid_argument(format!(
                    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                     StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber or (3) \
                     AT_TIMESTAMP and Timestamp. Request specified {kind} and {} and {}.",
                    given(sequence.is_some(), "StartingSequenceNumber"),
                    given(timestamp.is_some(), "Timestamp"),
                )))
            }
        }
    }
}

/// A place in a shard to read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The epoch of the shard.
    pub(super) epoch: u64,
    pub(super) next: Position,
    /// Records that arrived before this time (Unix ms) are passed over.
    pub(super) not_before_ms: Option<i64>,
}

/// Where in the shard that a request of `operation` names a reader begins who wants to begin at `start`.
pub(super) async fn place(
    call: &Call<'_>,
    operation: &str,
    stream: &Stream,
    shard: ShardId,
    start: Start<'_>,
) -> Result<Place, ApiError> {
    let epoch = epoch(call, stream, shard).await?;
    let failed = |error| ApiError::of_read(&error, stream, &call.account);
    let position = |text: &str| match text.parse::<SequenceNumber>() {
        Ok(sequence) if sequence.epoch == epoch => Ok(sequence.position),
        _ => Err(ApiError::invalid_argument(format!(
            "StartingSequenceNumber {text} used in {operation} on shard {shard} in stream {} under account {} is \
             invalid because it did not come from this stream.",
            stream.name, call.account
        ))),
    };
    let mut not_before_ms = None;
    let next = match start {
        Start::TrimHorizon => Position::START,
        Start::Latest => call.broker().latest(stream, shard).await.map_err(failed)?,
        Start::AtTime(time_ms) => {
            not_before_ms = Some(time_ms);
            call.broker().seek(stream, shard, time_ms).await.map_err(failed)?
        }
        Start::AtSequence(text) => position(text)?,
        Start::AfterSequence(text) => position(text)?.next(),
    };
    Ok(Place { epoch, next, not_before_ms })
}

pub(super) async fn get_shard_iterator(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: GetShardIteratorInput<'_> = call.format.read(body)?;
    input.check()?;
    let start = input.start(call.now_ms)?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let shard = call.shard(&stream, as_str(&input.shard_id).unwrap_or_default())?;
    let place = place(call, "GetShardIterator", &stream, shard, start).await?;
    call.check_dry_run(&stream, input.dry_run)?;
    let Place { next, not_before_ms, .. } = place;
    let iterator = ShardIterator { data: stream.entry.data.clone(), shard, next, not_before_ms };
    let expires_ms = call.broker().now_ms() + ITERATOR_MS;
    call.format.write(&GetShardIteratorOutput {
        shard_iterator: iterator.seal(call.broker().token_key(), expires_ms),
    })
}

/// The epoch of a shard, open or closed.
async fn epoch(call: &Call<'_>, stream: &Stream, shard: ShardId) -> Result<u64, ApiError> {
    if let Some(open) = stream.map.as_ref().and_then(|map| map.get(shard)) {
        return Ok(open.epoch);
    }
    let shards = call.broker().shards(stream).await;
    let shards = shards.map_err(|error| ApiError::of_read(&error, stream, &call.account))?;
    let found = shards.iter().find(|found| found.id() == shard);
    found.map(|found| found.epoch()).ok_or_else(|| ApiError::shard_gone(shard, &stream.name, &call.account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;
    use serde_json::{Value, json};

    const NOW: i64 = 1_700_000_000_000;

    fn start(more: Value) -> Result<String, ApiError> {
        let mut input = json!({"StreamName": "s", "ShardId": "shardId-0"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = input.to_string();
        let input: GetShardIteratorInput<'_> = Format::Json.read(body.as_bytes())?;
        input.check()?;
        Ok(format!("{:?}", input.start(NOW)?))
    }

    #[test]
    fn every_type_takes_what_belongs_to_it() {
        let kind = |kind: &str| start(json!({"ShardIteratorType": kind})).unwrap();
        assert_eq!(kind("TRIM_HORIZON"), "TrimHorizon");
        assert_eq!(kind("LATEST"), "Latest");
        let with =
            |kind: &str| start(json!({"ShardIteratorType": kind, "StartingSequenceNumber": "5"})).unwrap();
        assert_eq!(with("AT_SEQUENCE_NUMBER"), "AtSequence(\"5\")");
        assert_eq!(with("AFTER_SEQUENCE_NUMBER"), "AfterSequence(\"5\")");
        let at = start(json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_699_999_999.5}));
        assert_eq!(at.unwrap(), "AtTime(1699999999500)");
    }

    #[test]
    fn what_does_not_belong_together_is_an_invalid_argument() {
        for more in [
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER"}),
            json!({"ShardIteratorType": "LATEST", "StartingSequenceNumber": "5"}),
            json!({"ShardIteratorType": "TRIM_HORIZON", "StartingSequenceNumber": "5"}),
            json!({"ShardIteratorType": "AT_TIMESTAMP"}),
            json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_700_000_001}),
            json!({"ShardIteratorType": "LATEST", "Timestamp": 1_600_000_000}),
        ] {
            assert_eq!(start(more.clone()).unwrap_err().name, "InvalidArgumentException", "{more}");
        }
        let error =
            start(json!({"ShardIteratorType": "OLDEST", "StartingSequenceNumber": "-1"})).unwrap_err();
        assert!(error.message.starts_with("2 validation errors detected"), "{}", error.message);
    }
}
