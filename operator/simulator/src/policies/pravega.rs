//! Pravega's stream autoscaling, as its documentation ("Elastic Streams: Auto Scaling") and its source describe it
//! (pravega/pravega: `AutoScaleProcessor`, `SegmentAggregates`): rates of each segment are averaged exponentially over
//! 2, 5, 10 and 20 minutes and looked at every two minutes. A segment older than ten minutes is cut in equal parts, as
//! many as its rate is targets, when the 2-minute rate is above five targets, the 5-minute rate above two or the
//! 10-minute rate above one; two neighbours are merged when both are older than 20 minutes and their 20-minute rates
//! below half a target.

use std::collections::HashMap;

use millrace_core::plan::Action;
use millrace_core::{ShardId, ShardMap};

use super::{Scaler, Seen, next_multiple};
use crate::run::TARGET;

/// `pravega`
#[derive(Clone, Debug, PartialEq)]
pub struct Pravega {
    /// A segment's target rate, as a part of what a shard shall carry.
    pub target: f64,
    /// No segment is cut before this age, in seconds; merged before twice that.
    pub cooldown_s: u64,
    /// By what all times of averaging, and the time between looks, are multiplied.
    pub pace: f64,
}

impl Default for Pravega {
    fn default() -> Self {
        Pravega { target: 1.0, cooldown_s: 600, pace: 1.0 }
    }
}

const AVERAGED_OVER_S: [f64; 4] = [120.0, 300.0, 600.0, 1_200.0];
const ABOVE_TARGETS: [f64; 3] = [5.0, 2.0, 1.0];
const LOOK_EVERY_S: f64 = 120.0;

struct Segment {
    opened_s: u64,
    rates: [f64; 4],
}

pub(super) struct State {
    policy: Pravega,
    segments: HashMap<ShardId, Segment>,
}

impl State {
    pub(super) fn new(policy: Pravega) -> State {
        State { policy, segments: HashMap::new() }
    }

    fn look_every_s(&self) -> u64 {
        ((LOOK_EVERY_S * self.policy.pace) as u64).max(1)
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let map = seen.map();
        self.segments.retain(|id, _| map.open.iter().any(|shard| shard.id == *id));
        for (shard, carried) in map.open.iter().zip(seen.carried()) {
            let opened_s = seen.now_s - seen.seconds;
            let segment = self.segments.entry(shard.id).or_insert(Segment { opened_s, rates: [0.0; 4] });
            for (rate, over_s) in segment.rates.iter_mut().zip(AVERAGED_OVER_S) {
                let kept = (-(seen.seconds as f64) / (over_s * self.policy.pace)).exp();
                *rate = carried.offered + (*rate - carried.offered) * kept;
            }
        }
    }

    /// Into how many parts a segment is to be cut, if it is.
    fn parts(&self, map: &ShardMap, index: usize, now_s: u64) -> Option<u32> {
        let segment = self.segments.get(&map.open[index].id)?;
        let target = self.policy.target * TARGET.records_per_s as f64;
        let hot = segment.rates.iter().zip(ABOVE_TARGETS).any(|(rate, targets)| *rate > targets * target);
        let rate = segment.rates[..3].iter().copied().fold(0.0, f64::max);
        (hot && now_s - segment.opened_s > self.policy.cooldown_s).then_some((rate / target).max(2.0) as u32)
    }

    fn is_cold(&self, map: &ShardMap, index: usize, now_s: u64) -> bool {
        let target = self.policy.target * TARGET.records_per_s as f64;
        self.segments.get(&map.open[index].id).is_some_and(|segment| {
            now_s - segment.opened_s > 2 * self.policy.cooldown_s
                && segment.rates[..3].iter().all(|rate| *rate < target)
                && segment.rates[3] < target / 2.0
        })
    }
}

impl Scaler for State {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        self.observe(seen);
        if !seen.now_s.is_multiple_of(self.look_every_s()) {
            return Vec::new();
        }
        let map = seen.map();
        let mut actions = Vec::new();
        let mut index = 0;
        while index < map.open.len() {
            let shard = map.open[index].id;
            if let Some(parts) = self.parts(map, index, seen.now_s) {
                let cuts = map.range(index).divide(parts).split_off(1);
                if !cuts.is_empty() {
                    actions.push(Action::Split { shard, cuts });
                }
            } else if index + 1 < map.open.len()
                && (index..=index + 1).all(|i| self.is_cold(map, i, seen.now_s))
            {
                actions.push(Action::Merge { shard, adjacent: map.open[index + 1].id });
                index += 1;
            }
            index += 1;
        }
        actions
    }

    fn next_look_s(&self, now_s: u64) -> u64 {
        next_multiple(now_s, self.look_every_s())
    }
}
