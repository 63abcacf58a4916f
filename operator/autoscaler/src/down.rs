//! Fewer shards: where load has stayed away, and down to the most that is asked for.

use millrace_core::plan::Action;
use millrace_core::{ShardId, ShardMap};

use crate::history::{Idle, ShardHistory};
use crate::{Draft, Finding, Input, Policy};

/// Two neighbours that could be merged.
struct Pair {
    /// The left one's index in the map.
    left: usize,
    /// What both together carried at most, in thousandths of the target …
    peak_per_mille: u32,
    /// … in this time, in seconds.
    for_s: u32,
}

/// Two neighbours that will be merged, if load stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) shard: ShardId,
    pub(crate) adjacent: ShardId,
    pub(crate) idle: Idle,
}

/// Merges neighbours that together have stayed far below one target for long, the coldest first.
pub(crate) fn merge_idle(input: &Input<'_>, draft: &mut Draft) {
    let policy = input.policy;
    let idle: Vec<Pair> = pairs(input, draft, |a, b| {
        let (wait_ms, peak_per_mille) = input.history.idle(a, b, input.now_ms, policy.merge_after_s)?;
        (peak_per_mille < policy.merge_below_per_mille).then_some(((wait_ms / 1_000) as u32, peak_per_mille))
    });
    for pair in idle {
        if is_at_min(input, draft) || draft.reshards_left == 0 {
            break;
        }
        let [shard, adjacent] = [pair.left, pair.left + 1].map(|index| &input.map.open[index]);
        if !draft.is_free(shard) || !draft.is_free(adjacent) {
            continue;
        }
        draft.decision.findings.push(Finding::Merge {
            shard: shard.id,
            adjacent: adjacent.id,
            peak_per_mille: pair.peak_per_mille,
            below_per_mille: policy.merge_below_per_mille,
            for_s: pair.for_s,
        });
        draft.act(Action::Merge { shard: shard.id, adjacent: adjacent.id });
    }
}

/// Whether there may be no fewer shards.
pub(crate) fn is_at_min(input: &Input<'_>, draft: &Draft) -> bool {
    draft.shards <= input.policy.least_kept()
}

/// Which neighbours [`merge_idle`] merges next, if load stays as it is and there may be fewer shards.
pub(crate) fn next_due(input: &Input<'_>, draft: &Draft) -> Option<Due> {
    let Policy { merge_after_s, merge_below_per_mille, .. } = *input.policy;
    let mut soonest_ms = i64::MAX;
    let due = neighbours(input, draft, |a, b| {
        let found =
            input.history.idle_from([a, b], input.now_ms, merge_after_s, merge_below_per_mille, soonest_ms);
        soonest_ms = found.map_or(soonest_ms, |idle| idle.at_ms);
        found
    });
    let (left, idle) = due.min_by_key(|(left, idle)| (idle.at_ms, idle.peak_per_mille, *left))?;
    let [shard, adjacent] = [left, left + 1].map(|index| input.map.open[index].id);
    Some(Due { shard, adjacent, idle })
}

/// Merges the coldest neighbours while there are more shards than the most that is asked for, whatever they carry.
pub(crate) fn return_to_max(input: &Input<'_>, draft: &mut Draft) {
    let max_shards = input.policy.max_shards;
    let shards = draft.shards;
    if shards <= max_shards {
        return;
    }
    let mut reshards = 0;
    for pair in pairs(input, draft, |a, b| Some((0, input.history.peak(a, b)))) {
        if draft.shards <= max_shards || draft.reshards_left == 0 {
            break;
        }
        let [shard, adjacent] = [pair.left, pair.left + 1].map(|index| &input.map.open[index]);
        if draft.is_free(shard) && draft.is_free(adjacent) {
            draft.act(Action::Merge { shard: shard.id, adjacent: adjacent.id });
            reshards += 1;
        }
    }
    let min_shards = input.policy.min_shards;
    draft.decision.findings.push(Finding::OutOfBounds { shards, min_shards, max_shards, reshards });
}

/// Free neighbours, the coldest first: those of which `peak` knows how much they carried together, and for how long.
fn pairs(
    input: &Input<'_>,
    draft: &Draft,
    peak: impl FnMut(&ShardHistory, &ShardHistory) -> Option<(u32, u32)>,
) -> Vec<Pair> {
    let known = neighbours(input, draft, peak);
    let mut pairs: Vec<Pair> =
        known.map(|(left, (for_s, peak_per_mille))| Pair { left, peak_per_mille, for_s }).collect();
    pairs.sort_by_key(|pair| (pair.peak_per_mille, pair.left));
    pairs
}

/// Free neighbours of which `tell` has something to say, by the index of the left one.
fn neighbours<'a, T>(
    input: &Input<'a>,
    draft: &'a Draft,
    mut tell: impl FnMut(&ShardHistory, &ShardHistory) -> Option<T> + 'a,
) -> impl Iterator<Item = (usize, T)> {
    let Input { map: ShardMap { open, .. }, history, .. } = *input;
    (0..open.len().saturating_sub(1))
        .filter(|left| draft.is_free(&open[*left]) && draft.is_free(&open[left + 1]))
        .filter_map(move |left| {
            let [a, b] = [left, left + 1].map(|index| history.get(index, open[index].id));
            Some((left, tell(a?, b?)?))
        })
}
