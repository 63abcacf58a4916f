//! Pulsar's scalable topics, as proposal PIP-483 (apache/pulsar: pip/pip-483.md) describes them: once a minute, at most
//! one action. The busiest segment above its threshold is cut at its midpoint, at most once a minute; otherwise the
//! coldest two neighbours that were below a tenth of that threshold for five minutes are merged, at most once in five
//! minutes. No more than 64 segments, and no merge of what has ten merges behind it.

use std::collections::HashMap;

use millrace_core::ShardId;
use millrace_core::plan::Action;

use super::means::Means;
use super::{Scaler, Seen, next_multiple};
use crate::run::TARGET;

/// `pulsar-pip483`
#[derive(Clone, Debug, PartialEq)]
pub struct PulsarPip483 {
    /// A segment is cut above this part of what a shard shall carry.
    pub split_above: f64,
    /// Both neighbours are below this part when they are merged.
    pub merge_below: f64,
    /// How often it looks, and the least time between splits, in seconds.
    pub every_s: u64,
    /// The least time between merges, and for how long neighbours have to be cold, in seconds.
    pub merge_cooldown_s: u64,
    /// The most merges in a segment's lineage.
    pub max_merges: u32,
}

impl Default for PulsarPip483 {
    fn default() -> Self {
        PulsarPip483 {
            split_above: 1.0,
            merge_below: 0.1,
            every_s: 60,
            merge_cooldown_s: 300,
            max_merges: 10,
        }
    }
}

const MOST_SEGMENTS: usize = 64;

pub(super) struct State {
    policy: PulsarPip483,
    means: Means,
    merged_s: Option<u64>,
    /// Since when each segment is cold.
    cold_since_s: HashMap<ShardId, u64>,
    /// How many merges each segment has behind it.
    merges: HashMap<ShardId, u32>,
}

impl State {
    pub(super) fn new(policy: PulsarPip483) -> State {
        State {
            policy,
            means: Means::default(),
            merged_s: None,
            cold_since_s: HashMap::new(),
            merges: HashMap::new(),
        }
    }

    fn observe(&mut self, seen: &Seen<'_>, means: &[f64]) {
        let below = self.policy.merge_below * TARGET.records_per_s as f64;
        let (mut cold, mut merges) = (HashMap::new(), HashMap::new());
        for (shard, mean) in seen.map().open.iter().zip(means) {
            if *mean < below {
                let since_s = self.cold_since_s.get(&shard.id).copied().unwrap_or(seen.now_s);
                cold.insert(shard.id, since_s);
            }
            let inherited = || {
                let most = shard.parents.iter().filter_map(|id| self.merges.get(&id)).max().copied();
                most.unwrap_or(0) + u32::from(shard.parents.adjacent.is_some())
            };
            merges.insert(shard.id, self.merges.get(&shard.id).copied().unwrap_or_else(inherited));
        }
        (self.cold_since_s, self.merges) = (cold, merges);
    }

    fn may_merge(&self, shard: ShardId, now_s: u64) -> bool {
        let cold = self.cold_since_s.get(&shard).is_some_and(|s| now_s - s >= self.policy.merge_cooldown_s);
        cold && self.merges.get(&shard).is_none_or(|merges| *merges < self.policy.max_merges)
    }
}

impl Scaler for State {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        self.means.add(seen);
        if !seen.now_s.is_multiple_of(self.policy.every_s) {
            return Vec::new();
        }
        let means = self.means.take(seen);
        self.observe(seen, &means);
        let (map, now_s) = (seen.map(), seen.now_s);
        let above = self.policy.split_above * TARGET.records_per_s as f64;
        let busiest = (0..means.len()).max_by(|a, b| means[*a].total_cmp(&means[*b]));
        if let Some(index) = busiest.filter(|index| means[*index] > above && map.open.len() < MOST_SEGMENTS) {
            let cuts = map.range(index).divide(2).split_off(1);
            if !cuts.is_empty() {
                return vec![Action::Split { shard: map.open[index].id, cuts }];
            }
        }
        if self.merged_s.is_some_and(|at| now_s - at < self.policy.merge_cooldown_s) {
            return Vec::new();
        }
        let pairs = (0..map.open.len().saturating_sub(1))
            .filter(|left| [*left, left + 1].iter().all(|index| self.may_merge(map.open[*index].id, now_s)));
        let sum = |left: &usize| means[*left] + means[left + 1];
        let Some(left) = pairs.min_by(|a, b| sum(a).total_cmp(&sum(b))) else { return Vec::new() };
        self.merged_s = Some(now_s);
        vec![Action::Merge { shard: map.open[left].id, adjacent: map.open[left + 1].id }]
    }

    fn next_look_s(&self, now_s: u64) -> u64 {
        next_multiple(now_s, self.policy.every_s)
    }
}
