//! One broker: what it knows of streams, which shards it owns, and the calls that APIs make on it.

use std::sync::Arc;

use bytes::Bytes;
use millrace_core::plan::{Action, PlanError};
use millrace_core::token::TokenKey;
use millrace_core::{
    ClosedShard, DataId, HashRange, Position, Record, SequenceNumber, ShardId, ShardMap, StoredRecord,
    StreamConfig, StreamEntry,
};

/// A stream as this broker knows it at one moment.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The namespace it lives in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Identity and configuration.
    pub entry: StreamEntry,
    /// Its open shards and reshards; `None` until they are made.
    pub map: Option<Arc<ShardMap>>,
}

/// Where a record came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard that took it.
    pub shard: ShardId,
    /// Its sequence number there.
    pub sequence: SequenceNumber,
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The shard takes no more than its limit; the record was not stored.
    #[error("rate exceeded for shard {0}")]
    Throttled(ShardId),
    /// The lane is at its quota; the record was not stored.
    #[error("the stream's quota is used up in the lane of shard {0}: raise its quota or shorten its retention")]
    StorageFull(ShardId),
    /// No answer in time: the record may have been stored. The client tries again.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
}

/// Where a shard stands, as far as readers care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shard {
    /// It takes records.
    Open {
        /// Its number.
        id: ShardId,
        /// The range it has.
        range: HashRange,
        /// The lane, epoch, parents and time it was opened.
        shard: millrace_core::OpenShard,
    },
    /// It has ended.
    Closed(ClosedShard),
}

/// Records that were read.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// The records and their sequence numbers, in order.
    pub records: Vec<(SequenceNumber, StoredRecord)>,
    /// Where to go on; `None` when the shard has ended and everything was read.
    pub next: Option<Position>,
    /// How far the reader is behind the shard's newest record, in milliseconds; 0 at the tail.
    pub millis_behind: i64,
    /// At the shard's end: the shards that go on where it ended.
    pub children: Vec<Shard>,
}

/// Why a read got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such shard, or retention has taken it.
    #[error("{0} does not exist")]
    NoShard(ShardId),
    /// No answer in time.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("stored data can't be read: {0}")]
    Damaged(String),
}

/// Why a change to a stream was refused. Nothing has changed then, but for `Unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is a stream of that name.
    #[error("stream {0} exists already")]
    Exists(String),
    /// There is none.
    #[error("stream {0} does not exist")]
    NoStream(String),
    /// It is not in a state for that.
    #[error("stream {0} is not active")]
    NotActive(String),
    /// The shards do not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No answer in time; it may have been done.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
}

/// One broker process.
pub struct Broker {}

impl Broker {
    /// The stream of this name, if there is one in the namespace.
    pub fn stream(&self, _namespace: &str, _name: &str) -> Option<Arc<Stream>> {
        todo!()
    }

    /// The stream that owns this data.
    pub fn stream_of(&self, _data: &DataId) -> Option<Arc<Stream>> {
        todo!()
    }

    /// All streams of a namespace in the order of their names.
    pub fn streams(&self, _namespace: &str) -> Vec<Arc<Stream>> {
        todo!()
    }

    /// Appends records, each to the shard that its hash key belongs to. The results stand in the order of
    /// the records. Never waits for longer than the request's time-out.
    pub async fn put(&self, _stream: &Stream, _records: Vec<Record>) -> Vec<Result<Placed, PutError>> {
        todo!()
    }

    /// Reads records of a shard in order, beginning at `from`. `not_before_ms`: records that arrived earlier
    /// are passed over. No more than `max_records`, and none beyond `max_bytes` of data but the first.
    pub async fn read(
        &self,
        _stream: &Stream,
        _shard: ShardId,
        _from: Position,
        _not_before_ms: Option<i64>,
        _max_records: usize,
        _max_bytes: usize,
    ) -> Result<ReadBatch, ReadError> {
        todo!()
    }

    /// The place after a shard's newest record, from its owner: `LATEST`.
    pub async fn latest(&self, _stream: &Stream, _shard: ShardId) -> Result<Position, ReadError> {
        todo!()
    }

    /// A place at or before a shard's first record that arrived at `time_ms` (Unix) or later.
    pub async fn seek(&self, _stream: &Stream, _shard: ShardId, _time_ms: i64) -> Result<Position, ReadError> {
        todo!()
    }

    /// A stream's open shards, and the closed ones that retention has not taken, in the order of their ids.
    pub async fn shards(&self, _stream: &Stream) -> Result<Vec<Shard>, ReadError> {
        todo!()
    }

    /// Makes a stream. It is `Creating` when this returns, and becomes `Active` soon after.
    pub async fn create_stream(
        &self,
        _namespace: &str,
        _name: &str,
        _config: StreamConfig,
    ) -> Result<(), ControlError> {
        todo!()
    }

    /// Removes a stream and its data. It is `Deleting` when this returns, and is gone soon after.
    pub async fn delete_stream(&self, _namespace: &str, _name: &str) -> Result<(), ControlError> {
        todo!()
    }

    /// Changes a stream's configuration to what `change` makes of it (it may be called more than once).
    pub async fn configure_stream(
        &self,
        _namespace: &str,
        _name: &str,
        _change: &(dyn Fn(&mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError> {
        todo!()
    }

    /// Writes the intents of `actions` into the stream's map. The owners carry them out.
    pub async fn reshard(&self, _stream: &Stream, _actions: &[Action]) -> Result<(), ControlError> {
        todo!()
    }

    /// The key that tokens are sealed with.
    pub fn token_key(&self) -> &TokenKey {
        todo!()
    }

    /// The time of day in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        todo!()
    }
}

/// For tests and tools: the bytes of a text.
pub fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}
