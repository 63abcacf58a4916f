//! Splits and merges without end, as a user's tool would ask for them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use millrace_log::memory::Dice;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::kinesis::{CallError, Kinesis, Shard, shard_id};

/// Below so many open shards none is merged, and from so many on none is split.
const FEWEST: usize = 3;
const MOST: usize = 12;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Split { shard: u64, at: u128 },
    Merge { shard: u64, adjacent: u64 },
}

/// Asks for one change after another until it is told to stop. Returns the parents of all reshards that were
/// acknowledged to have begun.
pub(crate) async fn reshard(
    kinesis: Kinesis,
    brokers: Vec<SocketAddr>,
    mut dice: Dice,
    stop: CancellationToken,
) -> anyhow::Result<Vec<Vec<u64>>> {
    let mut begun = Vec::new();
    while !stop.is_cancelled() {
        let broker = *dice.pick(&brokers);
        let pause = match step(&kinesis, broker, &mut dice).await {
            Ok(parents) => {
                begun.push(parents);
                Duration::from_millis(dice.below(500))
            }
            Err(error) if error.passes() || is_refusal(&error) => Duration::from_millis(100),
            Err(error) => bail!("a reshard at {broker}: {error}"),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(begun)
}

/// Whether the API may say so: another change is under way, or has just been done.
fn is_refusal(error: &CallError) -> bool {
    let CallError::Refused { name, .. } = error else { return false };
    matches!(name.as_str(), "ResourceInUseException" | "InvalidArgumentException")
}

async fn step(kinesis: &Kinesis, broker: SocketAddr, dice: &mut Dice) -> Result<Vec<u64>, CallError> {
    let mut open = kinesis.shards(broker, "AT_LATEST").await?;
    open.sort_unstable_by_key(|shard| shard.range);
    match choose(&open, dice) {
        Change::Split { shard, at } => {
            let input = json!({"ShardToSplit": shard_id(shard), "NewStartingHashKey": at.to_string()});
            kinesis.ask::<Value>(broker, "SplitShard", input).await?;
            Ok(vec![shard])
        }
        Change::Merge { shard, adjacent } => {
            let input = json!({"ShardToMerge": shard_id(shard), "AdjacentShardToMerge": shard_id(adjacent)});
            kinesis.ask::<Value>(broker, "MergeShards", input).await?;
            Ok(vec![shard, adjacent])
        }
    }
}

/// `open`: in the order of their ranges.
fn choose(open: &[Shard], dice: &mut Dice) -> Change {
    let splits = open.len() < FEWEST || (open.len() < MOST && dice.chance(500));
    if splits {
        // The widest of three, so that ranges do not grow too narrow to be split.
        let drawn = (0..3).map(|_| dice.pick(open)).max_by_key(|shard| shard.range.1 - shard.range.0);
        let shard = drawn.expect("three were drawn");
        let width = shard.range.1 - shard.range.0;
        let at = shard.range.0 + width / 16 * u128::from(dice.between(&(1..=15)));
        return Change::Split { shard: shard.id, at };
    }
    let at = dice.below(open.len() as u64 - 1) as usize;
    Change::Merge { shard: open[at].id, adjacent: open[at + 1].id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_shards_are_split_and_many_are_merged() {
        let open = |count: u128| -> Vec<Shard> {
            let shard = |n: u128| Shard {
                id: n as u64,
                parents: Vec::new(),
                range: (n << 100, ((n + 1) << 100) - 1),
                starts: 0,
                ends: None,
            };
            (0..count).map(shard).collect()
        };
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            let Change::Split { shard, at } = choose(&open(2), &mut dice) else { panic!("two are merged") };
            assert!(at > u128::from(shard) << 100 && at < u128::from(shard + 1) << 100);
            let Change::Merge { shard, adjacent } = choose(&open(12), &mut dice) else { panic!("split") };
            assert_eq!(adjacent, shard + 1);
            assert!(adjacent < 12);
        }
    }
}
