//! The log and the key-value store under it, as small traits with two sides: [`jetstream`], and [`memory`]
//! which injects faults.
//!
//! Both sides promise the same:
//! - an append is conditional on the last sequence of the shard's subject, decided by consensus;
//! - an append whose outcome is [`AppendError::Unknown`] may have landed, and may land *later*, until another
//!   message takes its place in the condition;
//! - [`Log::last`], [`Log::first_after`] and [`Kv::get`] are answered by the leader. [`Log::read`] may be
//!   answered by a replica that lags: it gives a prefix of the truth.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use millrace_core::{DataId, Lane, ShardId};

pub mod jetstream;
pub mod memory;
pub mod nats_server;

/// A lane: one JetStream stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneAddress {
    /// Whose data.
    pub data: DataId,
    /// Which of its lanes.
    pub lane: Lane,
}

/// A shard's place in the log: one subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardAddress {
    /// Whose data.
    pub data: DataId,
    /// The lane it is stored in.
    pub lane: Lane,
    /// The shard.
    pub shard: ShardId,
}

impl ShardAddress {
    /// The lane that the shard is stored in.
    pub fn lane(&self) -> LaneAddress {
        LaneAddress { data: self.data.clone(), lane: self.lane }
    }
}

/// How a lane is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Messages older than this are removed, in seconds.
    pub max_age_s: u64,
    /// Appends beyond this many stored bytes are refused.
    pub max_bytes: u64,
}

/// What a lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneState {
    /// The sequence of the first message that is still stored; one above the last when none is.
    pub first: u64,
    /// The sequence of the last message ever stored, 0 before the first.
    pub last: u64,
    /// How many bytes are stored.
    pub bytes: u64,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The shard it belongs to.
    pub shard: ShardId,
    /// Its sequence in the lane.
    pub sequence: u64,
    /// When the log stored it, in Unix milliseconds.
    pub stored_ms: i64,
    /// The pack.
    pub payload: Bytes,
}

/// Why an append was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// This attempt was refused: the subject's last sequence is another (JetStream errors 10071, 10164). An
    /// earlier attempt of the same pack may be the cause.
    #[error("the shard's last sequence is another")]
    WrongSequence,
    /// This attempt was refused for want of space.
    #[error("the log is full: {0}")]
    Full(String),
    /// Nobody knows: the attempt may have landed, or may land later.
    #[error("the log did not answer: {0}")]
    Unknown(String),
}

/// Why a question to the log got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The lane does not exist.
    #[error("the lane does not exist in JetStream")]
    NoLane,
    /// No answer in time, or one that says to try again.
    #[error("the log did not answer: {0}")]
    Unavailable(String),
}

/// Which messages a read wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// No more messages than this.
    pub messages: u32,
    /// No further message once this many payload bytes are there; the first always comes whole.
    pub bytes: u32,
}

/// The log of shards.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Makes the lane, or finds it made with the same configuration; changes it if the configuration differs.
    async fn ensure_lane(&self, lane: &LaneAddress, config: &LaneConfig) -> Result<(), LogError>;

    /// Removes the lane and its data. Fine if it is not there.
    async fn delete_lane(&self, lane: &LaneAddress) -> Result<(), LogError>;

    /// What the lane holds, from its leader.
    async fn lane_state(&self, lane: &LaneAddress) -> Result<LaneState, LogError>;

    /// Appends to a shard if the last sequence on its subject is `expected` (0: nothing is stored there).
    /// Returns the message's sequence once it is on disk on a majority of replicas.
    async fn append(&self, shard: &ShardAddress, expected: u64, pack: Bytes) -> Result<u64, AppendError>;

    /// The last message of a shard, from the leader.
    async fn last(&self, shard: &ShardAddress) -> Result<Option<Message>, LogError>;

    /// The first message of a shard whose sequence is above `after`, from the leader.
    async fn first_after(&self, shard: &ShardAddress, after: u64) -> Result<Option<Message>, LogError>;

    /// Messages of a shard in order, beginning with the first whose sequence is at least `from`. May lag.
    async fn read(
        &self,
        shard: &ShardAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError>;

    /// Messages of all shards of a lane in order, beginning with the first whose sequence is at least `from`.
    /// May lag.
    async fn read_lane(
        &self,
        lane: &LaneAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError>;

    /// The sequence of the shard's first message that was stored at `time_ms` (Unix) or later; `None` if there
    /// is none. May lag.
    async fn seek(&self, shard: &ShardAddress, time_ms: i64) -> Result<Option<u64>, LogError>;
}

/// A value in KV and the revision that it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// Where it lies.
    pub key: String,
    /// Grows with each write to the store.
    pub revision: u64,
    /// What lies there.
    pub value: Bytes,
}

/// Something that a watcher sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvEvent {
    /// A value that is there, or has come.
    Put(KvEntry),
    /// A value has gone.
    Delete {
        /// Where it lay.
        key: String,
        /// The revision of its removal.
        revision: u64,
    },
    /// Everything that was there when the watch began has been told.
    Current,
}

/// Why a write to KV is not known to have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// The value is not at the revision that was expected.
    #[error("somebody else has written it meanwhile")]
    Conflict,
    /// Nobody knows: a write may have landed, or may land later while the revision stays as expected.
    #[error("the key-value store did not answer: {0}")]
    Unknown(String),
}

/// The key-value store of a cluster: maps, streams, heartbeats.
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// A value, from the leader.
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError>;

    /// All values whose keys begin with `prefix` (which ends with a dot), in the order of their keys.
    async fn list(&self, prefix: &str) -> Result<Vec<KvEntry>, KvError>;

    /// Writes where nothing lies. Returns the revision.
    async fn create(&self, key: &str, value: Bytes) -> Result<u64, KvError>;

    /// Writes over the value that has this revision. Returns the new one.
    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, KvError>;

    /// Removes the value; with a revision, only if it has that. Fine if nothing lies there.
    async fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), KvError>;

    /// Tells the values whose keys begin with `prefix` (which ends with a dot), then [`KvEvent::Current`],
    /// then every change, in order; only the latest of several changes to one key is sure to be told. Goes on
    /// through reconnects, after which values may be told again; ends never.
    fn watch(&self, prefix: &str) -> BoxStream<'static, KvEvent>;
}

/// Which brokers are alive: kept apart from [`Kv`], in memory, since it is worth nothing after a restart.
#[async_trait]
pub trait Heartbeats: Send + Sync + 'static {
    /// Tells the others that this broker is alive, and what it says of itself.
    async fn beat(&self, key: &str, value: Bytes) -> Result<(), KvError>;

    /// Tells the others that this broker is about to stop.
    async fn stop(&self, key: &str) -> Result<(), KvError>;

    /// Tells every beat (a `Put`) and stop (a `Delete`) from now on, and [`KvEvent::Current`] first, after
    /// the latest beats that are still remembered.
    fn watch_beats(&self) -> BoxStream<'static, KvEvent>;
}
