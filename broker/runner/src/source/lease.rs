//! Who reads a shard and how far it is done, as one entry in KV: each change is a compare-and-set, so that a checkpoint
//! is kept by whoever holds the lease, and by nobody else.

use std::sync::Arc;

use bytes::Bytes;
use millrace_core::id::escape_name;
use millrace_core::{Position, ShardId};
use millrace_log::{Kv, KvEntry, KvError};
use minicbor::{Decode, Encode};

use super::runners::RunnerId;
use crate::batch::{Checkpoint, OpenWindow};

/// The version that is written.
const FORMAT: u8 = 1;
/// How often a write in doubt is looked at again before it is given up.
const TRIES: usize = 5;

/// An entry as it is stored, after its version.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Stored {
    #[n(0)]
    holder: Option<u64>,
    #[n(1)]
    pack: u64,
    #[n(2)]
    index: u32,
    #[n(3)]
    ended: bool,
    #[n(4)]
    window: Option<StoredWindow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct StoredWindow {
    #[n(0)]
    start_ms: i64,
    #[n(1)]
    state: String,
}

/// Who reads a shard, and how far it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who reads it, if anybody does.
    pub holder: Option<RunnerId>,
    /// How far it is done.
    pub checkpoint: Checkpoint,
}

impl Lease {
    fn encode(&self) -> Bytes {
        let window = self.checkpoint.window.as_ref();
        let stored = Stored {
            holder: self.holder.map(|holder| holder.0),
            pack: self.checkpoint.position.pack,
            index: self.checkpoint.position.index,
            ended: self.checkpoint.ended,
            window: window
                .map(|open| StoredWindow { start_ms: open.start_ms, state: open.state.to_string() }),
        };
        let mut bytes = vec![FORMAT];
        // Writing to memory can't fail.
        let _ = minicbor::encode(&stored, &mut bytes);
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Result<Lease, LeaseError> {
        let Some((&FORMAT, rest)) = bytes.split_first() else {
            let version = bytes.first().copied().unwrap_or(0);
            return Err(LeaseError::Stored(format!(
                "it has version {version}, which this version does not know: run the version that wrote it, or a later one"
            )));
        };
        let stored: Stored = minicbor::decode(rest).map_err(|error| LeaseError::Stored(error.to_string()))?;
        let window =
            stored.window.map(|open| OpenWindow { start_ms: open.start_ms, state: open.state.into() });
        Ok(Lease {
            holder: stored.holder.map(RunnerId),
            checkpoint: Checkpoint {
                position: Position { pack: stored.pack, index: stored.index },
                window,
                ended: stored.ended,
            },
        })
    }
}

/// Why a lease is not had, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another runner has it.
    #[error("runner {0} reads it")]
    Others(RunnerId),
    /// Somebody has changed it meanwhile: this runner does not have it any more.
    #[error("the lease is not this runner's any more")]
    Lost,
    /// Nobody knows: the lease may have been changed.
    #[error("the key-value store did not answer: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("a stored lease can't be read: {0}")]
    Stored(String),
}

/// The leases on the shards of one source, as one runner sees them.
#[derive(Clone)]
pub struct Leases {
    kv: Arc<dyn Kv>,
    prefix: String,
    me: RunnerId,
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("prefix", &self.prefix).field("me", &self.me).finish_non_exhaustive()
    }
}

/// A lease that this runner has.
#[derive(Debug)]
pub struct Held {
    leases: Leases,
    shard: ShardId,
    revision: u64,
    checkpoint: Checkpoint,
}

impl Leases {
    /// The leases of a source. Sources of different functions have different names.
    pub fn new(kv: Arc<dyn Kv>, source: &str, me: RunnerId) -> Leases {
        Leases { kv, prefix: format!("lease.{}.", escape_name(source)), me }
    }

    fn key(&self, shard: ShardId) -> String {
        format!("{}{}", self.prefix, shard.0)
    }

    /// All leases that there are.
    ///
    /// # Errors
    /// When the store does not answer, or holds what this version can't read.
    pub async fn list(&self) -> Result<Vec<(ShardId, Lease)>, LeaseError> {
        let entries = self.kv.list(&self.prefix).await.map_err(unavailable)?;
        let shard = |entry: &KvEntry| entry.key.strip_prefix(&self.prefix)?.parse().ok().map(ShardId);
        let named = entries.iter().filter_map(|entry| Some((shard(entry)?, entry)));
        named.map(|(shard, entry)| Ok((shard, Lease::decode(&entry.value)?))).collect()
    }

    /// Takes a shard's lease, unless another runner has it that `may_live`. `first`: where the shard begins, if it has
    /// never been read.
    ///
    /// # Errors
    /// When another has it, or gets it at the same moment, or nobody knows.
    pub async fn take(
        &self,
        shard: ShardId,
        first: &Checkpoint,
        may_live: impl Fn(RunnerId) -> bool,
    ) -> Result<Held, LeaseError> {
        let found = self.kv.get(&self.key(shard)).await.map_err(unavailable)?;
        let (before, checkpoint) = match &found {
            None => (None, first.clone()),
            Some(entry) => {
                let lease = Lease::decode(&entry.value)?;
                match lease.holder {
                    Some(holder) if holder != self.me && may_live(holder) => {
                        return Err(LeaseError::Others(holder));
                    }
                    _ => (Some(entry.revision), lease.checkpoint),
                }
            }
        };
        let lease = Lease { holder: Some(self.me), checkpoint };
        let revision = self.write(shard, &lease, before).await?;
        Ok(Held { leases: self.clone(), shard, revision, checkpoint: lease.checkpoint })
    }

    /// Removes what is kept of a shard that has gone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn forget(&self, shard: ShardId) -> Result<(), LeaseError> {
        self.kv.delete(&self.key(shard), None).await.map_err(unavailable)
    }

    /// Writes an entry over the one of revision `before`, or where there was none. A write in doubt is settled by
    /// reading: it is made again only while the entry is still the one before.
    async fn write(&self, shard: ShardId, lease: &Lease, before: Option<u64>) -> Result<u64, LeaseError> {
        let (key, value) = (self.key(shard), lease.encode());
        let mut why = String::new();
        for _ in 0..TRIES {
            let written = match before {
                None => self.kv.create(&key, value.clone()).await,
                Some(revision) => self.kv.update(&key, value.clone(), revision).await,
            };
            match written {
                Ok(revision) => return Ok(revision),
                Err(KvError::Unknown(error)) => why = error,
                // An earlier try may be the one that was there first.
                Err(KvError::Conflict) => {}
            }
            match self.kv.get(&key).await {
                Ok(Some(entry)) if Some(entry.revision) == before => {}
                // It names this run of this runner, which writes one at a time: it is ours.
                Ok(Some(entry)) if entry.value == value => return Ok(entry.revision),
                Ok(None) if before.is_none() => {}
                Ok(_) => return Err(LeaseError::Lost),
                Err(error) => why = error.to_string(),
            }
        }
        Err(LeaseError::Unavailable(why))
    }
}

impl Held {
    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// How far it is done, as it is kept.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// When the lease is another's now: nothing is kept, and this runner stops with the shard. When nobody knows, it
    /// may be tried again.
    pub async fn keep(&mut self, checkpoint: &Checkpoint) -> Result<(), LeaseError> {
        let lease = Lease { holder: Some(self.leases.me), checkpoint: checkpoint.clone() };
        self.revision = self.leases.write(self.shard, &lease, Some(self.revision)).await?;
        self.checkpoint = lease.checkpoint;
        Ok(())
    }

    /// Gives the lease back, so that the next one need not wait.
    ///
    /// # Errors
    /// When the lease is another's already, or nobody knows: then it is taken over in time.
    pub async fn release(self) -> Result<(), LeaseError> {
        let lease = Lease { holder: None, checkpoint: self.checkpoint };
        self.leases.write(self.shard, &lease, Some(self.revision)).await.map(drop)
    }
}

fn unavailable(error: KvError) -> LeaseError {
    LeaseError::Unavailable(error.to_string())
}
