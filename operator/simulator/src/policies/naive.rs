//! Two thresholds, as in the README of awslabs/amazon-kinesis-scaling-utils (`scaleThresholdPct`, `scaleAfterMins`,
//! `coolOffMins`) and in most alarms on CloudWatch's metrics of a minute: a shard above 80 % of its target is cut in
//! halves, two neighbours that are below 40 % together are merged.

use std::collections::HashMap;

use millrace_core::ShardId;
use millrace_core::plan::Action;

use super::means::Means;
use super::{Scaler, Seen, next_multiple};
use crate::run::TARGET;

/// `naive`
#[derive(Clone, Debug, PartialEq)]
pub struct Naive {
    /// A shard above this part of its target is cut.
    pub high: f64,
    /// Neighbours that are below this part of one target together are merged.
    pub low: f64,
    /// How often it looks, in seconds.
    pub every_s: u64,
    /// How many looks in a row neighbours have to be below `low`.
    pub low_looks: u32,
}

impl Default for Naive {
    fn default() -> Self {
        Naive { high: 0.8, low: 0.4, every_s: 60, low_looks: 1 }
    }
}

pub(super) struct State {
    policy: Naive,
    means: Means,
    /// How often neighbours were low in a row.
    low: HashMap<(ShardId, ShardId), u32>,
}

impl State {
    pub(super) fn new(policy: Naive) -> State {
        State { policy, means: Means::default(), low: HashMap::new() }
    }
}

impl Scaler for State {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        self.means.add(seen);
        if !seen.now_s.is_multiple_of(self.policy.every_s) {
            return Vec::new();
        }
        let target = TARGET.records_per_s as f64;
        let means = self.means.take(seen);
        let map = seen.map();
        let mut actions = Vec::new();
        for (index, mean) in means.iter().enumerate() {
            let cuts = map.range(index).divide(2).split_off(1);
            if *mean > self.policy.high * target && !cuts.is_empty() {
                actions.push(Action::Split { shard: map.open[index].id, cuts });
            }
        }
        let mut low = HashMap::new();
        let mut index = 0;
        while index + 1 < means.len() {
            let pair = (map.open[index].id, map.open[index + 1].id);
            if means[index] + means[index + 1] < self.policy.low * target {
                let looks = self.low.get(&pair).copied().unwrap_or(0) + 1;
                low.insert(pair, looks);
                if looks >= self.policy.low_looks {
                    actions.push(Action::Merge { shard: pair.0, adjacent: pair.1 });
                    index += 1;
                }
            }
            index += 1;
        }
        self.low = low;
        actions
    }

    fn next_look_s(&self, now_s: u64) -> u64 {
        next_multiple(now_s, self.policy.every_s)
    }
}
