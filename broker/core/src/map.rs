//! The shard map: which shards of a stream are open, and which reshards are under way.
//!
//! The map is the truth about routing. It is one value in KV per stream, changed by compare-and-set only, and
//! each change is a pure function from one map to the next: here what owners do (a parent's CLOSE is stored,
//! a reshard is finished), in [`crate::plan`] what is decided (splits and merges). A closed shard leaves the
//! map and has an entry of its own.
//!
//! Invariant: the open shards, in the order of their starts, partition the hash space; a parent of an
//! unfinished reshard is open until the reshard's children take its place, all at once.

use minicbor::{Decode, Encode};

use crate::hash::{HashKey, HashRange};
use crate::id::{Lane, ShardId};
use crate::sequence::Epoch;

/// The most shards that a stream may have open.
pub const MAX_OPEN_SHARDS: usize = 8_000;

/// The version that [`ShardMap::encode`] and [`ClosedShard::encode`] write.
const FORMAT: u8 = 1;

/// Which shards a new shard takes over from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(array)]
pub struct Parents {
    /// The shard that was split, or the one named first in a merge.
    #[n(0)]
    #[cbor(with = "cbor::optional_shard")]
    pub parent: Option<ShardId>,
    /// The other shard of a merge.
    #[n(1)]
    #[cbor(with = "cbor::optional_shard")]
    pub adjacent: Option<ShardId>,
}

impl Parents {
    /// The one or two parents; none for a shard that a stream began with.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> {
        self.parent.into_iter().chain(self.adjacent)
    }
}

/// A shard that takes records. Its range ends where the next open shard's starts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OpenShard {
    /// Its number.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub id: ShardId,
    /// The epoch of its sequence numbers.
    #[n(1)]
    pub epoch: Epoch,
    /// Where its records are stored.
    #[n(2)]
    #[cbor(with = "cbor::lane")]
    pub lane: Lane,
    /// The first place of its hash range.
    #[n(3)]
    #[cbor(with = "cbor::hash_key")]
    pub start: HashKey,
    /// What it was made from.
    #[n(4)]
    pub parents: Parents,
    /// When it was opened, in Unix milliseconds.
    #[n(5)]
    pub opened_ms: i64,
}

/// A parent of an unfinished reshard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReshardParent {
    /// The shard that is to end.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub id: ShardId,
    /// The sequence at which its CLOSE is stored, once somebody has seen that.
    #[n(1)]
    pub end: Option<u64>,
}

/// A shard that an unfinished reshard will open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReshardChild {
    /// Its number.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub id: ShardId,
    /// Where its records will be stored.
    #[n(1)]
    #[cbor(with = "cbor::lane")]
    pub lane: Lane,
    /// The first place of its hash range.
    #[n(2)]
    #[cbor(with = "cbor::hash_key")]
    pub start: HashKey,
}

/// The intent to replace one parent by several children (a split) or two neighbours by one child (a merge).
/// It is carried out by the parents' owners and never taken back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Reshard {
    /// The epoch of the children, which also names the reshard within its stream.
    #[n(0)]
    pub epoch: Epoch,
    /// One shard that is split, or two that are merged, in the order in which they were named.
    #[n(1)]
    pub parents: Vec<ReshardParent>,
    /// What takes their place, in the order of their starts.
    #[n(2)]
    pub children: Vec<ReshardChild>,
    /// When it was decided, in Unix milliseconds.
    #[n(3)]
    pub decided_ms: i64,
}

impl Reshard {
    /// What its children say of their origin.
    pub fn lineage(&self) -> Parents {
        Parents { parent: self.parents.first().map(|p| p.id), adjacent: self.parents.get(1).map(|p| p.id) }
    }
}

/// Which shards of a stream are open, and which reshards are under way.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ShardMap {
    /// The next shard's number: greater than any that was ever used.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub next_shard: ShardId,
    /// The next reshard's epoch: greater than any that was ever used.
    #[n(1)]
    pub next_epoch: Epoch,
    /// How many lanes the stream has. They are numbered from 0 and all exist in JetStream: a lane is made
    /// there before a map names it, and one that is missing there has lost its data.
    #[n(2)]
    pub lanes: u16,
    /// The open shards in the order of their starts.
    #[n(3)]
    pub open: Vec<OpenShard>,
    /// The unfinished reshards, oldest first.
    #[n(4)]
    pub reshards: Vec<Reshard>,
}

/// A shard that takes no more records.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ClosedShard {
    /// Its number.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub id: ShardId,
    /// The epoch of its sequence numbers.
    #[n(1)]
    pub epoch: Epoch,
    /// Where its records are stored.
    #[n(2)]
    #[cbor(with = "cbor::lane")]
    pub lane: Lane,
    /// The hash range it had.
    #[n(3)]
    #[cbor(with = "cbor::range")]
    pub range: HashRange,
    /// What it was made from.
    #[n(4)]
    pub parents: Parents,
    /// When it was opened, in Unix milliseconds.
    #[n(5)]
    pub opened_ms: i64,
    /// When its children took its place, in Unix milliseconds. Its data ends a retention time after that.
    #[n(6)]
    pub closed_ms: i64,
    /// The sequence at which its CLOSE is stored.
    #[n(7)]
    pub end: u64,
    /// The shards that go on where it ended, in the order of their starts.
    #[n(8)]
    #[cbor(with = "cbor::shards")]
    pub children: Vec<ShardId>,
}

/// What follows from one more parent's CLOSE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The shards that leave the map by this change. Their entries are written before the map is.
    pub closed: Vec<ClosedShard>,
    /// The next map.
    pub map: ShardMap,
}

impl ShardMap {
    /// The map of a new stream: `shards` open shards of equal width, in as many lanes as they are due.
    pub fn new(shards: u32, now_ms: i64) -> ShardMap {
        let mut map = ShardMap {
            next_shard: ShardId(0),
            next_epoch: 2,
            lanes: 0,
            open: Vec::new(),
            reshards: Vec::new(),
        };
        let starts = HashRange::FULL.divide(shards);
        let lanes = map.assign_lanes(starts.len());
        for (start, lane) in starts.into_iter().zip(lanes) {
            let id = map.take_shard_id();
            let parents = Parents::default();
            map.open.push(OpenShard { id, epoch: 1, lane, start, parents, opened_ms: now_ms });
        }
        map
    }

    /// Gives out the next shard number.
    pub(crate) fn take_shard_id(&mut self) -> ShardId {
        let id = self.next_shard;
        self.next_shard = ShardId(id.0 + 1);
        id
    }

    /// The open shard that `key` belongs to, by its index in [`ShardMap::open`].
    pub fn route(&self, key: HashKey) -> usize {
        self.open.partition_point(|shard| shard.start <= key) - 1
    }

    /// The range of the open shard at `index`.
    pub fn range(&self, index: usize) -> HashRange {
        let end = self.open.get(index + 1).and_then(|next| next.start.before());
        HashRange { start: self.open[index].start, end: end.unwrap_or(HashKey::MAX) }
    }

    /// The index of an open shard.
    pub fn index_of(&self, id: ShardId) -> Option<usize> {
        self.open.iter().position(|shard| shard.id == id)
    }

    /// The open shard of this number.
    pub fn get(&self, id: ShardId) -> Option<&OpenShard> {
        self.index_of(id).map(|index| &self.open[index])
    }

    /// The unfinished reshard that is to end this shard.
    pub fn reshard_of(&self, parent: ShardId) -> Option<&Reshard> {
        self.reshards.iter().find(|reshard| reshard.parents.iter().any(|p| p.id == parent))
    }

    /// The next map, now that the CLOSE of `shard` is known to be stored at `end`: the parent is marked, and
    /// if it was the last one of its reshard, the children take the parents' place. `None` when the map does
    /// not wait for that (somebody else has written it already).
    pub fn close(&self, shard: ShardId, end: u64, now_ms: i64) -> Option<Closing> {
        let mut map = self.clone();
        let index = map.reshards.iter().position(|reshard| reshard.parents.iter().any(|p| p.id == shard))?;
        let parent = map.reshards[index].parents.iter_mut().find(|p| p.id == shard)?;
        let news = parent.end.is_none();
        parent.end = Some(end);
        if map.reshards[index].parents.iter().any(|p| p.end.is_none()) {
            return news.then_some(Closing { closed: Vec::new(), map });
        }
        let reshard = map.reshards.remove(index);
        let closed = map.replace(&reshard, now_ms);
        Some(Closing { closed, map })
    }

    /// Puts the children of `reshard` where its parents are, and returns these.
    fn replace(&mut self, reshard: &Reshard, now_ms: i64) -> Vec<ClosedShard> {
        let children: Vec<ShardId> = reshard.children.iter().map(|child| child.id).collect();
        let mut closed = Vec::new();
        for parent in &reshard.parents {
            let index = self.index_of(parent.id).expect("a reshard's parents are open");
            let OpenShard { id, epoch, lane, parents, opened_ms, .. } = self.open[index].clone();
            closed.push(ClosedShard {
                id,
                epoch,
                lane,
                range: self.range(index),
                parents,
                opened_ms,
                closed_ms: now_ms,
                end: parent.end.expect("all parents are closed"),
                children: children.clone(),
            });
        }
        self.open.retain(|shard| reshard.parents.iter().all(|parent| parent.id != shard.id));
        let at = self.open.partition_point(|shard| shard.start < reshard.children[0].start);
        let parents = reshard.lineage();
        let opened = reshard.children.iter().map(|child| OpenShard {
            id: child.id,
            epoch: reshard.epoch,
            lane: child.lane,
            start: child.start,
            parents,
            opened_ms: now_ms,
        });
        self.open.splice(at..at, opened);
        closed
    }

    /// Whether the invariant holds; what is wrong, if not. For tests and for maps that come from outside.
    pub fn check(&self) -> Result<(), String> {
        if self.open.first().map(|shard| shard.start) != Some(HashKey::MIN) {
            return Err("the first open shard does not start at 0".into());
        }
        if self.open.windows(2).any(|pair| pair[0].start >= pair[1].start) {
            return Err("the open shards are not in the order of their starts".into());
        }
        if let Some(shard) = self.open.iter().find(|s| s.lane.0 >= self.lanes || s.epoch >= self.next_epoch) {
            return Err(format!("{} has a lane or an epoch that was never given out", shard.id));
        }
        let mut ids: Vec<ShardId> = self.open.iter().map(|shard| shard.id).collect();
        ids.extend(self.reshards.iter().flat_map(|reshard| reshard.children.iter().map(|child| child.id)));
        ids.sort();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.last() >= Some(&self.next_shard) {
            return Err("a shard's number is used twice or was never given out".into());
        }
        let mut parents = Vec::new();
        for reshard in &self.reshards {
            let indices: Option<Vec<usize>> = reshard.parents.iter().map(|p| self.index_of(p.id)).collect();
            let Some(mut indices) = indices else {
                return Err(format!("a parent of reshard {} is not open", reshard.epoch));
            };
            indices.sort_unstable();
            let neighbours = indices.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            let (Some(&first), Some(&last)) = (indices.first(), indices.last()) else {
                return Err(format!("reshard {} has no parent", reshard.epoch));
            };
            let starts: Vec<HashKey> = reshard.children.iter().map(|child| child.start).collect();
            let rising = starts.windows(2).all(|pair| pair[0] < pair[1]);
            let covers = starts.first() == Some(&self.range(first).start)
                && starts.last().is_some_and(|start| *start <= self.range(last).end);
            if !(neighbours && rising && covers) {
                return Err(format!("the children of reshard {} do not cover its parents", reshard.epoch));
            }
            parents.extend(indices);
        }
        parents.sort_unstable();
        if parents.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a shard is the parent of two reshards".into());
        }
        Ok(())
    }

    /// The map as it is stored: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`ShardMap::encode`] wrote and checks it.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<ShardMap, StoredFormatError> {
        let map: ShardMap = cbor::read_versioned(FORMAT, bytes)?;
        map.check().map_err(StoredFormatError::Damaged)?;
        Ok(map)
    }
}

impl ClosedShard {
    /// The entry as it is stored: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`ClosedShard::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<ClosedShard, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

/// A stored value that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredFormatError {
    /// It was written by a later Millrace.
    #[error(
        "the stored value has format {0}, which this version does not know: run the version that wrote it, or a later one"
    )]
    Newer(u8),
    /// It is not what this version writes.
    #[error("the stored value is damaged: {0}")]
    Damaged(String),
}

pub mod cbor {
    //! How values are laid out in KV: a version byte, then CBOR arrays (numbers of 128 bits as 16 bytes,
    //! big-endian).

    use minicbor::bytes::ByteArray;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decode, Decoder, Encode, Encoder};

    use super::StoredFormatError;
    use crate::hash::{HashKey, HashRange};
    use crate::id::{DataId, Lane, ShardId};

    /// A version byte, then the value.
    pub fn versioned<T: Encode<()>>(format: u8, value: &T) -> Vec<u8> {
        let mut bytes = vec![format];
        minicbor::encode(value, &mut bytes).expect("writing to memory does not fail");
        bytes
    }

    /// Reads what [`versioned`] wrote.
    ///
    /// # Errors
    /// When the version is above `format`, or the bytes are not a `T`.
    pub fn read_versioned<'b, T: Decode<'b, ()>>(
        format: u8,
        bytes: &'b [u8],
    ) -> Result<T, StoredFormatError> {
        let (&version, rest) =
            bytes.split_first().ok_or_else(|| StoredFormatError::Damaged("it is empty".into()))?;
        if version > format {
            return Err(StoredFormatError::Newer(version));
        }
        minicbor::decode(rest).map_err(|error| StoredFormatError::Damaged(error.to_string()))
    }

    /// A codec module for a type that minicbor does not know, by way of one that it does.
    macro_rules! codec {
        ($module:ident: $type:ty as $raw:ty, $pack:expr, $unpack:expr) => {
            pub(crate) mod $module {
                use super::*;

                pub(crate) fn encode<C, W: Write>(
                    value: &$type,
                    e: &mut Encoder<W>,
                    _: &mut C,
                ) -> Result<(), EncodeError<W::Error>> {
                    let pack: fn(&$type) -> $raw = $pack;
                    e.encode(pack(value))?;
                    Ok(())
                }

                pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<$type, DecodeError> {
                    let unpack: fn($raw) -> $type = $unpack;
                    d.decode::<$raw>().map(unpack)
                }
            }
        };
    }

    fn bytes(key: HashKey) -> ByteArray<16> {
        key.0.to_be_bytes().into()
    }

    fn key(bytes: ByteArray<16>) -> HashKey {
        HashKey(u128::from_be_bytes(bytes.into()))
    }

    pub(crate) mod data_id {
        //! A data id as text.
        use super::*;

        pub(crate) fn encode<C, W: Write>(
            id: &DataId,
            e: &mut Encoder<W>,
            _: &mut C,
        ) -> Result<(), EncodeError<W::Error>> {
            e.str(id.as_str())?;
            Ok(())
        }

        pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<DataId, DecodeError> {
            d.str()?.parse().map_err(|_| DecodeError::message("not a data id"))
        }
    }

    codec!(shard: ShardId as u64, |id| id.0, ShardId);
    codec!(optional_shard: Option<ShardId> as Option<u64>, |id| id.map(|id| id.0), |id| id.map(ShardId));
    codec!(shards: Vec<ShardId> as Vec<u64>, |ids| ids.iter().map(|id| id.0).collect(), |ids| {
        ids.into_iter().map(ShardId).collect()
    });
    codec!(lane: Lane as u16, |lane| lane.0, Lane);
    codec!(hash_key: HashKey as ByteArray<16>, |k| bytes(*k), key);
    codec!(range: HashRange as (ByteArray<16>, ByteArray<16>), |range| (bytes(range.start), bytes(range.end)), |(
        start,
        end,
    )| HashRange {
        start: key(start),
        end: key(end)
    });
}
