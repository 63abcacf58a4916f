//! Kinesis on demand, as Amazon's Developer Guide describes it ("Choose the right mode to stream in"): a stream begins
//! with four shards' worth, has room for twice the highest rate of the last 30 days, and follows a rate that rises by
//! no more than double within 15 minutes; above that it throttles. Shards are cut in equal parts; no key is isolated.

use std::collections::VecDeque;

use millrace_core::plan::Action;

use super::means::Means;
use super::{Scaler, Seen, count, next_multiple};
use crate::run::TARGET;

/// `kinesis-on-demand`
#[derive(Clone, Debug, PartialEq)]
pub struct KinesisOnDemand {
    /// For what multiple of the highest rate there is room.
    pub headroom: f64,
    /// How far back the highest rate is looked for, in seconds.
    pub window_s: u64,
    /// How often the number of shards may be doubled, in seconds.
    pub every_s: u64,
}

impl Default for KinesisOnDemand {
    fn default() -> Self {
        KinesisOnDemand { headroom: 2.0, window_s: 30 * 86_400, every_s: 900 }
    }
}

/// Rates are means of a minute.
const MINUTE_S: u64 = 60;
const FEWEST_SHARDS: usize = 4;

pub(super) struct State {
    policy: KinesisOnDemand,
    means: Means,
    /// Rates that none later exceeds, with their time: falling.
    peaks: VecDeque<(u64, f64)>,
    loads: Vec<f64>,
}

impl State {
    pub(super) fn new(policy: KinesisOnDemand) -> State {
        State { policy, means: Means::default(), peaks: VecDeque::new(), loads: Vec::new() }
    }
}

impl Scaler for State {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        self.means.add(seen);
        if !seen.now_s.is_multiple_of(MINUTE_S) {
            return Vec::new();
        }
        self.loads = self.means.take(seen);
        let all: f64 = self.loads.iter().sum();
        while self.peaks.back().is_some_and(|(_, rate)| *rate <= all) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((seen.now_s, all));
        while self.peaks.front().is_some_and(|(at_s, _)| at_s + self.policy.window_s < seen.now_s) {
            self.peaks.pop_front();
        }
        if !seen.now_s.is_multiple_of(self.policy.every_s) {
            return Vec::new();
        }
        let open = seen.map().open.len();
        let peak = self.peaks.front().map_or(0.0, |(_, rate)| *rate);
        let wanted = (peak * self.policy.headroom / TARGET.records_per_s as f64).ceil() as usize;
        let count = wanted.clamp(FEWEST_SHARDS, open * 2);
        count::go_to(seen.map(), &self.loads, count)
    }

    fn next_look_s(&self, now_s: u64) -> u64 {
        next_multiple(now_s, MINUTE_S)
    }
}
