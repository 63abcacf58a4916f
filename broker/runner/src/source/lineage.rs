//! Which shards are read when: children once their parents are drained, so that each key's records stay in order across
//! splits and merges.

use std::collections::BTreeMap;

use millrace_core::ShardId;

use super::SourceShard;
use crate::batch::{Checkpoint, OpenWindow};

/// The shards to be read now: those that are not done, and all of whose parents are, or have gone.
pub fn readable<'a>(
    shards: &'a [SourceShard],
    checkpoints: &BTreeMap<ShardId, Checkpoint>,
) -> Vec<&'a SourceShard> {
    let is_done = |shard: ShardId| checkpoints.get(&shard).is_some_and(|checkpoint| checkpoint.ended);
    let is_there = |shard: ShardId| shards.iter().any(|other| other.id == shard);
    let drained = |parent: &ShardId| is_done(*parent) || !is_there(*parent);
    shards.iter().filter(|shard| !is_done(shard.id) && shard.parents.iter().all(drained)).collect()
}

/// The child that goes on with a shard's open tumbling window, if there is one that does. The first child is the heir
/// of the parent that was named first.
pub fn heir(shard: &SourceShard, shards: &[SourceShard]) -> Option<ShardId> {
    let first = shards.iter().find(|other| Some(&other.id) == shard.children.first())?;
    (first.parents.first() == Some(&shard.id)).then_some(first.id)
}

/// The open tumbling window that a shard begins with.
pub fn inherited(
    shard: &SourceShard,
    shards: &[SourceShard],
    checkpoints: &BTreeMap<ShardId, Checkpoint>,
) -> Option<OpenWindow> {
    let parent = shards.iter().find(|other| Some(&other.id) == shard.parents.first())?;
    if heir(parent, shards) != Some(shard.id) {
        return None;
    }
    checkpoints.get(&parent.id).filter(|checkpoint| checkpoint.ended)?.window.clone()
}

/// What of a source's checkpoints is of no use any more: those of shards that are not there.
pub fn forgettable(shards: &[SourceShard], checkpoints: &BTreeMap<ShardId, Checkpoint>) -> Vec<ShardId> {
    let is_there = |shard: &ShardId| shards.iter().any(|other| other.id == *shard);
    checkpoints.keys().copied().filter(|shard| !is_there(shard)).collect()
}
