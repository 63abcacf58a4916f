//! How a stream's shards came from each other: pure.

#[cfg(test)]
mod tests;
mod tree;

pub use tree::draw;

use anyhow::Context;
use millrace_core::{HashKey, HashRange, ShardId};

use crate::client::ApiShard;

/// A shard, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number.
    pub id: ShardId,
    /// What it was made from: none, one (a split) or two (a merge), in the API's order.
    pub parents: Vec<ShardId>,
    /// Its part of the hash space.
    pub range: HashRange,
    /// Whether it takes records.
    pub open: bool,
}

impl TryFrom<ApiShard> for Shard {
    type Error = anyhow::Error;

    fn try_from(shard: ApiShard) -> anyhow::Result<Shard> {
        let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
        let parents = parents.into_iter().flatten().map(|id| read_id(id)).collect::<anyhow::Result<_>>()?;
        let key = |text: &str| text.parse::<HashKey>().with_context(|| format!("the service wrote {text:?}"));
        Ok(Shard {
            id: read_id(&shard.shard_id)?,
            parents,
            range: HashRange {
                start: key(&shard.hash_key_range.starting_hash_key)?,
                end: key(&shard.hash_key_range.ending_hash_key)?,
            },
            open: shard.sequence_number_range.ending_sequence_number.is_none(),
        })
    }
}

/// The shards of an answer.
///
/// # Errors
/// When one of them is not as the API says.
pub fn read(shards: Vec<ApiShard>) -> anyhow::Result<Vec<Shard>> {
    shards.into_iter().map(Shard::try_from).collect()
}

/// The shard that somebody means by `shardId-000000000007`, `shardId-7` or `7`.
///
/// # Errors
/// When the text ends in no number.
pub fn read_id(text: &str) -> anyhow::Result<ShardId> {
    let digits = text.strip_prefix("shardId-").unwrap_or(text);
    let number = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    let number = number.and_then(|digits| digits.parse().ok());
    number
        .map(ShardId)
        .with_context(|| format!("{text:?} is no shard: write shardId-000000000007, or just 7"))
}
