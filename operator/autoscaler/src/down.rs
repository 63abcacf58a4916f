//! Fewer shards: where load has stayed away, and down to the most that is asked for.

use millrace_core::plan::Action;

use crate::{Draft, Finding, Input};

/// Two neighbours that could be merged.
struct Pair {
    /// The left one's index in the map.
    left: usize,
    /// What both together carried at most, in thousandths of the target.
    peak_per_mille: u32,
}

/// Merges neighbours that together have stayed far below one target for long, the coldest first.
pub(crate) fn merge_idle(input: &Input<'_>, draft: &mut Draft) {
    let policy = input.policy;
    let wait_ms = i64::from(policy.merge_after_s) * 1_000;
    let known = |pair: &Pair| {
        [pair.left, pair.left + 1].iter().all(|index| {
            let history = input.history.get(input.map.open[*index].id);
            history.is_some_and(|history| input.now_ms - history.since_ms >= wait_ms)
        })
    };
    let idle: Vec<Pair> = pairs(input, draft)
        .into_iter()
        .filter(|pair| pair.peak_per_mille < policy.merge_below_per_mille && known(pair))
        .collect();
    for pair in idle {
        if draft.shards <= policy.min_shards || draft.reshards_left == 0 {
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
            for_s: policy.merge_after_s,
        });
        draft.act(Action::Merge { shard: shard.id, adjacent: adjacent.id });
    }
}

/// Merges the coldest neighbours while there are more shards than the most that is asked for, whatever they carry.
pub(crate) fn return_to_max(input: &Input<'_>, draft: &mut Draft) {
    let max_shards = input.policy.max_shards;
    let shards = draft.shards;
    if shards <= max_shards {
        return;
    }
    let mut reshards = 0;
    for pair in pairs(input, draft) {
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

/// All free neighbours, the coldest first.
fn pairs(input: &Input<'_>, draft: &Draft) -> Vec<Pair> {
    let open = &input.map.open;
    let mut pairs: Vec<Pair> = (0..open.len().saturating_sub(1))
        .filter(|left| draft.is_free(&open[*left]) && draft.is_free(&open[left + 1]))
        .filter_map(|left| {
            let [a, b] = [left, left + 1].map(|index| input.history.get(open[index].id));
            Some(Pair { left, peak_per_mille: a?.peak_with(b?) })
        })
        .collect();
    pairs.sort_by_key(|pair| (pair.peak_per_mille, pair.left));
    pairs
}
