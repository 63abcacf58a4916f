//! More shards: where load is.

use millrace_core::plan::Action;
use millrace_core::{OpenShard, ShardId};

use crate::history::ShardHistory;
use crate::profile::{Cuts, Profile};
use crate::{Draft, Finding, Input, Seen};

/// Reports that a new shard is given before it is split: the first covers a part of a second only.
const GRACE_REPORTS: u32 = 2;

/// Where a shard throttles, its load may be a burst shorter than the second that is reported: it counts as
/// overloaded from this part of the target on, in thousandths.
const BURST_PER_MILLE: u32 = 700;

/// How much load is left beside a key that is too hot for any shard, in thousandths of the target: it takes a shard of
/// its own to part them. Less where records are refused, since then the key takes the others' room.
const BESIDE_PER_MILLE: u32 = 100;
const BESIDE_THROTTLED_PER_MILLE: u32 = 20;

/// A shard that is above its target.
struct Overloaded<'a> {
    index: usize,
    shard: &'a OpenShard,
    history: &'a ShardHistory,
    per_mille: u32,
    for_s: u32,
    /// For how many seconds more before it is split, if its load stays as it is.
    wait_s: u32,
}

/// A shard that is above its target, and on which nothing is decided as yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) shard: ShardId,
    pub(crate) per_mille: u32,
    /// For how many seconds it is above its target.
    pub(crate) for_s: u32,
    /// In how many seconds it is split, if its load stays as it is; 0 where no cut of it would help.
    pub(crate) wait_s: u32,
}

/// Splits shards that are above their target, the hottest first.
pub(crate) fn split_overloaded(input: &Input<'_>, draft: &mut Draft) {
    let mut overloaded: Vec<Overloaded<'_>> = input
        .map
        .open
        .iter()
        .enumerate()
        .filter(|(_, shard)| draft.is_free(shard))
        .filter_map(|(index, shard)| overload(input, index, shard))
        .filter(|over| over.wait_s == 0)
        .collect();
    overloaded.sort_by_key(|over| (std::cmp::Reverse(over.per_mille), over.shard.id));
    for over in overloaded {
        split(input, draft, &over);
    }
}

/// The shard above its target on which [`split_overloaded`] decides next; of those that it has not `decided` on.
pub(crate) fn next_watched(
    input: &Input<'_>,
    draft: &Draft,
    decided: impl Fn(ShardId) -> bool,
) -> Option<Waiting> {
    let shards = input.map.open.iter().enumerate();
    let over = shards.filter_map(|(index, shard)| overload(input, index, shard));
    // A burst that is over by the next second does not wait for it.
    let lasts = |over: &Overloaded<'_>| over.wait_s == 0 || over.history.now_per_mille >= BURST_PER_MILLE;
    over.filter(|over| lasts(over) && draft.is_free(over.shard) && !decided(over.shard.id))
        .min_by_key(|over| (over.wait_s == 0, over.wait_s, std::cmp::Reverse(over.per_mille), over.shard.id))
        .map(|Overloaded { shard, per_mille, for_s, wait_s, .. }| Waiting {
            shard: shard.id,
            per_mille,
            for_s,
            wait_s,
        })
}

/// How far a shard is above its target, and for how long it stays so before something is done about it.
fn overload<'a>(input: &Input<'a>, index: usize, shard: &'a OpenShard) -> Option<Overloaded<'a>> {
    let history = input.history.get(index, shard.id)?;
    // The first report above the target covers a second already.
    let for_s = history.over_since_ms.map_or(0, |since| 1 + ((input.now_ms - since).max(0) / 1_000) as u32);
    let bursts = history.throttles() && history.plan_per_mille() >= BURST_PER_MILLE;
    if for_s == 0 && !bursts {
        return None;
    }
    let wait_s = if bursts { 0 } else { input.policy.split_after_s.saturating_sub(for_s) };
    Some(Overloaded {
        index,
        shard,
        history,
        per_mille: history.plan_per_mille().max(1_001),
        for_s: for_s.max(1),
        wait_s: wait_s.max(GRACE_REPORTS.saturating_sub(history.seen)),
    })
}

fn split(input: &Input<'_>, draft: &mut Draft, over: &Overloaded<'_>) {
    let policy = input.policy;
    let shard = over.shard.id;
    let seen = Seen::new(over.history.latest.as_deref(), over.per_mille, policy.target);
    let range = input.map.range(over.index);
    let Some(latest) = &over.history.latest else { return };
    let hot_key = |key, key_per_mille| Finding::HotKey { shard, key, seen: seen.clone(), key_per_mille };
    if range.width() == 0 {
        draft.decision.findings.push(hot_key(range.start, over.per_mille));
        return;
    }
    let profile = Profile::new(range, latest);
    let beside = if over.history.throttles() { BESIDE_THROTTLED_PER_MILLE } else { BESIDE_PER_MILLE };
    // Where load grows, children get room for what is still to come: otherwise all of them are split again soon.
    let grown_per_mille = 1_000 + input.history.growth_per_mille();
    let fill_per_mille = (u64::from(policy.fill_per_mille) * 1_000 / grown_per_mille) as u32;
    let wanted = profile.cuts(over.per_mille, fill_per_mille, beside, policy.max_children);
    if wanted.at.is_empty() {
        if let Some((key, load)) = wanted.hot.first() {
            draft.decision.findings.push(hot_key(*key, *load));
        }
        return;
    }
    let room = policy.max_shards.saturating_sub(draft.shards);
    if room == 0 {
        let max_shards = policy.max_shards;
        draft.decision.findings.push(Finding::AtMax { shard, seen, max_shards });
        return;
    }
    if draft.reshards_left == 0 {
        return;
    }
    let cuts = match wanted.at.len() <= room as usize {
        true => wanted,
        false => profile.cuts(over.per_mille, fill_per_mille, beside, room.saturating_add(1)),
    };
    let Cuts { at, hot, heaviest_per_mille } = cuts;
    if at.is_empty() {
        return;
    }
    draft.decision.findings.push(Finding::Split {
        shard,
        seen,
        for_s: over.for_s,
        children: at.len() as u32 + 1,
        expected_per_mille: heaviest_per_mille,
        isolated: hot.into_iter().map(|(key, _)| key).collect(),
    });
    draft.act(Action::Split { shard, cuts: at });
}
