//! Where records come from: shards with parents, read from a place, each by one runner at a time.
//!
//! [`Source`] is the reading side, [`lineage`] decides which shards are read when, [`Leases`] keeps who reads a shard and
//! how far it is done, and [`Runners`] who is alive.

pub mod lineage;

mod lease;
mod runners;
#[cfg(test)]
mod tests;

pub use lease::{Held, Lease, LeaseError, Leases};
pub use runners::{ALIVE_FOR, BEAT_EVERY, RunnerId, Runners};

use async_trait::async_trait;
use millrace_core::{Position, ShardId};

use crate::batch::Room;
use crate::event::EventRecord;

/// A shard of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceShard {
    /// Its number.
    pub id: ShardId,
    /// The shards that it goes on from, in the order in which they were named. Retention may have taken them.
    pub parents: Vec<ShardId>,
    /// The shards that go on from it, in the order of their hash ranges; none while it is open.
    pub children: Vec<ShardId>,
}

/// Where a source begins to be read. What is `LATEST` for users is the time at which the source was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// With the oldest records.
    TrimHorizon,
    /// With the first record of each shard that arrived then or later: Unix milliseconds.
    AtTimestamp(i64),
}

/// What was read of a shard.
#[derive(Clone, Debug)]
pub struct Read {
    /// The records, in order.
    pub records: Vec<EventRecord>,
    /// Where to go on; `None` when the shard has ended and everything was read.
    pub next: Option<Position>,
    /// Everything that arrived before was read: Unix milliseconds.
    pub until_ms: Option<i64>,
}

/// A source does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such source, or it has gone.
    #[error("{0} does not exist")]
    NoSource(String),
    /// There is no such shard, or retention has taken it.
    #[error("{0} does not exist")]
    NoShard(ShardId),
    /// No answer in time.
    #[error("the source did not answer: {0}")]
    Unavailable(String),
}

/// What functions can take records from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The shards that are there, in the order of their numbers.
    async fn shards(&self) -> Result<Vec<SourceShard>, SourceError>;

    /// Where a shard begins to be read that never was.
    async fn start(&self, shard: ShardId, from: StartingPosition) -> Result<Position, SourceError>;

    /// Reads a shard. At its tail it may wait a moment for more.
    async fn read(&self, shard: ShardId, from: Position, room: Room) -> Result<Read, SourceError>;
}
