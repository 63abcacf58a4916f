//! More shards without an overload: up to the least that is asked for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use millrace_core::HashKey;
use millrace_core::plan::Action;

use crate::profile::Profile;
use crate::{Draft, Finding, Input};

/// The whole of a stream's load, and of its hash space, where shards are weighed.
const WHOLE: u64 = 1_000_000_000;

/// Splits shards until there are as many as the least that is asked for: by the bounds, or by the floor.
pub(crate) fn reach_least(input: &Input<'_>, draft: &mut Draft) {
    let policy = input.policy;
    let (shards, least) = (draft.shards, policy.least());
    if shards >= least {
        return;
    }
    let mut splits = share_out(input, draft, least - shards);
    splits.truncate(draft.reshards_left as usize);
    let reshards = splits.len() as u32;
    for (index, parts) in splits {
        draft.act(Action::Split { shard: input.map.open[index].id, cuts: cuts(input, index, parts) });
    }
    let (min_shards, max_shards) = (policy.min_shards, policy.max_shards);
    draft.decision.findings.push(match &policy.floor.asks {
        Some(asks) if least > min_shards => {
            let (window, until_ms) = (asks.window.clone(), asks.until_ms);
            Finding::Floor { shards, least, window, until_ms, reshards }
        }
        _ => Finding::OutOfBounds { shards, min_shards, max_shards, reshards },
    });
}

/// Into how many parts which shards are split (by their index in the map, the heaviest first), so that there are
/// `missing` more. Each further part goes to the shard whose parts are the heaviest as yet (highest averages, D'Hondt).
/// A shard weighs what it has of the load and what it has of the hash space, half and half: what is to come may lie
/// where load lies now, or anywhere.
fn share_out(input: &Input<'_>, draft: &Draft, mut missing: u32) -> Vec<(usize, u32)> {
    let open = &input.map.open;
    let load = |index: usize| {
        input.history.get(index, open[index].id).map_or(0, |shard| u64::from(shard.now_per_mille))
    };
    let free = (0..open.len()).filter(|index| draft.is_free(&open[*index]));
    let divisible: Vec<usize> = free.filter(|index| input.map.range(*index).width() > 0).collect();
    let all = divisible.iter().map(|index| load(*index)).sum::<u64>().max(1);
    let weigh = |index: usize| {
        let width = input.map.range(index).width() / (u128::MAX / u128::from(WHOLE));
        load(index) * WHOLE / all + width as u64
    };
    let mut splits: Vec<(u64, usize, u32)> =
        divisible.iter().map(|index| (weigh(*index), *index, 1)).collect();
    let mut heaviest: BinaryHeap<(u64, Reverse<usize>)> =
        splits.iter().enumerate().map(|(place, (weight, ..))| (*weight, Reverse(place))).collect();
    while missing > 0
        && let Some((_, Reverse(place))) = heaviest.pop()
    {
        let (weight, index, parts) = &mut splits[place];
        *parts += 1;
        missing -= 1;
        let most =
            u128::from(input.policy.max_children).min(input.map.range(*index).width().saturating_add(1));
        if u128::from(*parts) < most {
            heaviest.push((*weight / u64::from(*parts), Reverse(place)));
        }
    }
    splits.retain(|(.., parts)| *parts > 1);
    splits.sort_by_key(|(weight, index, _)| (Reverse(*weight), *index));
    splits.into_iter().map(|(_, index, parts)| (index, parts)).collect()
}

/// Where to cut a shard into so many parts: by its load, if it is known where that lies, else by width.
fn cuts(input: &Input<'_>, index: usize, parts: u32) -> Vec<HashKey> {
    let range = input.map.range(index);
    let shard = input.history.get(index, input.map.open[index].id);
    let latest = shard.and_then(|shard| shard.latest.as_deref());
    let by_load = latest.map(|load| Profile::new(range, load).divide(parts)).filter(|cuts| !cuts.is_empty());
    by_load.unwrap_or_else(|| range.divide(parts).split_off(1))
}
