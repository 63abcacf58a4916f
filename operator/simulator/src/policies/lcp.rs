//! Lazy capacity provisioning (Lin, Wierman, Andrew, Thereska: Dynamic Right-Sizing for Power-Proportional Data Centers,
//! INFOCOM 2011; for whole numbers of servers: Albers, Quedenfeld: Optimal Algorithms for Right-Sizing Data Centers,
//! SPAA 2018). Of the load so far, the cheapest course is found twice: once when only growth costs, once when only
//! shrinking does. The number of shards stays between where these two courses end, and moves no further than it must.

use millrace_core::plan::Action;

use super::means::Means;
use super::{Scaler, Seen, count, next_multiple};
use crate::cost::{RESHARD_COST_SHARD_HOURS, THROTTLED_RECORD_COST_SHARD_HOURS};
use crate::run::TARGET;

/// `lcp`
#[derive(Clone, Debug, PartialEq)]
pub struct Lcp {
    /// How long a step is, in seconds.
    pub every_s: u64,
    /// What one more or less shard costs, in shard-hours.
    pub switching_cost_shard_hours: f64,
    /// What part of its target a shard is thought to carry before records find no room.
    pub fill: f64,
}

impl Default for Lcp {
    fn default() -> Self {
        Lcp { every_s: 60, switching_cost_shard_hours: RESHARD_COST_SHARD_HOURS, fill: 1.0 }
    }
}

const MOST_SHARDS: usize = 128;

pub(super) struct State {
    policy: Lcp,
    means: Means,
    /// The cost of being at `index + 1` shards now, when growth costs, and when shrinking costs.
    growing: Vec<f64>,
    shrinking: Vec<f64>,
}

impl State {
    pub(super) fn new(policy: Lcp) -> State {
        let free = vec![0.0; MOST_SHARDS];
        State { policy, means: Means::default(), growing: free.clone(), shrinking: free }
    }

    /// One step further, with this load. Between which numbers of shards the lazy one stays.
    fn bounds(&mut self, load: f64) -> (usize, usize) {
        let each = self.policy.switching_cost_shard_hours;
        let hours = self.policy.every_s as f64 / 3_600.0;
        let room = self.policy.fill * TARGET.records_per_s as f64;
        let run = |shards: usize| {
            let excess = (load - shards as f64 * room).max(0.0);
            shards as f64 * hours + excess * self.policy.every_s as f64 * THROTTLED_RECORD_COST_SHARD_HOURS
        };
        for index in 1..MOST_SHARDS {
            self.growing[index] = self.growing[index].min(self.growing[index - 1] + each);
            let down = MOST_SHARDS - 1 - index;
            self.shrinking[down] = self.shrinking[down].min(self.shrinking[down + 1] + each);
        }
        // Where the other direction is free, nobody stays above (or below) for longer than it pays.
        for index in 1..MOST_SHARDS {
            let down = MOST_SHARDS - 1 - index;
            self.growing[down] = self.growing[down].min(self.growing[down + 1]);
            self.shrinking[index] = self.shrinking[index].min(self.shrinking[index - 1]);
        }
        for index in 0..MOST_SHARDS {
            self.growing[index] += run(index + 1);
            self.shrinking[index] += run(index + 1);
        }
        let low = (0..MOST_SHARDS).min_by(|a, b| self.growing[*a].total_cmp(&self.growing[*b]));
        let high = (0..MOST_SHARDS).rev().min_by(|a, b| self.shrinking[*a].total_cmp(&self.shrinking[*b]));
        (low.unwrap_or(0) + 1, high.unwrap_or(0) + 1)
    }
}

impl Scaler for State {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        self.means.add(seen);
        if !seen.now_s.is_multiple_of(self.policy.every_s) {
            return Vec::new();
        }
        let loads = self.means.take(seen);
        let (low, high) = self.bounds(loads.iter().sum());
        let open = seen.map().open.len();
        count::go_to(seen.map(), &loads, open.max(low).min(high.max(low)))
    }

    fn next_look_s(&self, now_s: u64) -> u64 {
        next_multiple(now_s, self.policy.every_s)
    }
}
