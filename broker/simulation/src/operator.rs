//! Somebody who splits and merges all the time.

use std::sync::Arc;
use std::time::Duration;

use millrace_core::HashKey;
use millrace_core::plan::Action;
use millrace_log::memory::Dice;
use tokio::time::sleep;

use crate::world::{Phase, World};

/// More open shards than this are merged only.
const MOST_SHARDS: usize = 12;

/// Reshards a stream until the faults are over.
pub(crate) async fn reshard(world: Arc<World>, stream: usize, mut dice: Dice) {
    while world.phase() == Phase::Faults {
        sleep(Duration::from_millis(dice.between(&world.scenario.reshard_every_ms))).await;
        let mut choice = dice.fork();
        let asking = world.clone();
        let _ = world
            .ask(move |broker| async move {
                let Some(stream) = asking.stream_at(&broker, stream) else { return };
                let Some(actions) = stream.map.as_ref().and_then(|map| choose(map, &mut choice)) else {
                    return;
                };
                // A refusal, or no answer, is as good as anything: the next choice comes soon.
                let _ = broker.reshard(&stream, &actions).await;
            })
            .await;
    }
}

/// One split or merge of what there is, or two.
fn choose(map: &millrace_core::ShardMap, dice: &mut Dice) -> Option<Vec<Action>> {
    let count = if dice.chance(200) { 2 } else { 1 };
    let actions: Vec<Action> = (0..count).filter_map(|_| choose_one(map, dice)).collect();
    (!actions.is_empty()).then_some(actions)
}

fn choose_one(map: &millrace_core::ShardMap, dice: &mut Dice) -> Option<Action> {
    let index = dice.below(map.open.len() as u64) as usize;
    let shard = map.open[index].id;
    let split = map.open.len() == 1 || (map.open_after_reshards() < MOST_SHARDS && dice.chance(500));
    if split {
        let range = map.range(index);
        if range.width() == 0 {
            return None;
        }
        let mut cuts: Vec<HashKey> = (0..dice.between(&(1..=4)))
            .map(|_| {
                let number = u128::from(dice.bits()) << 64 | u128::from(dice.bits());
                HashKey(range.start.0 + 1 + number % range.width())
            })
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        return Some(Action::Split { shard, cuts });
    }
    let adjacent = map.open.get(index + 1)?.id;
    let (shard, adjacent) = if dice.chance(500) { (shard, adjacent) } else { (adjacent, shard) };
    Some(Action::Merge { shard, adjacent })
}
