//! What a run is judged by.

use serde::Serialize;

use crate::cost::Cost;
use crate::keys::Keys;
use crate::stream::{LIMIT_OVER_TARGET, Stream};

/// The figures of a run. Each is as its field says, and their names are those of the JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The part of all offered records that was refused.
    pub throttled_fraction: f64,
    /// The same, without what single keys alone had beyond one shard's limit: no split helps there.
    pub avoidable_throttled_fraction: f64,
    /// Open shards, summed over time.
    pub shard_hours: f64,
    /// The same as a multiple of the oracle's.
    pub shard_hours_over_oracle: f64,
    /// Splits (into however many) and merges (of two).
    pub reshards_per_day: f64,
    /// Splits that left a child with nine tenths of the load or more, and merges whose child was split again within
    /// ten minutes.
    pub futile_reshards: u32,
    /// Seconds in which a shard was offered more than its target, but for what a single key has beyond it.
    pub overload_seconds: u64,
    /// How long such times lasted: the 95th percentile, in seconds.
    pub recovery_p95_seconds: f64,
    /// How many closed shards, kept by a retention of 24 h, lay one behind the other before an open one, at most.
    pub max_lineage_depth: u32,
}

/// What exceeds the target by less than this part of it is no overload yet …
pub(crate) const TOLERANCE: f64 = 0.01;

/// … nor is this part of it beside a key that exceeds the target alone.
const TOLERANCE_BESIDE_KEY: f64 = 0.1;

/// Adds up a run.
pub(crate) struct Meter {
    target: f64,
    offered: f64,
    refused: f64,
    avoidable: f64,
    overload_s: u64,
    episode_s: u64,
    episodes_s: Vec<u64>,
    cost: Cost,
    futile: u32,
    seconds: u64,
}

impl Meter {
    pub(crate) fn new(target: f64) -> Meter {
        Meter {
            target,
            offered: 0.0,
            refused: 0.0,
            avoidable: 0.0,
            overload_s: 0,
            episode_s: 0,
            episodes_s: Vec::new(),
            cost: Cost::default(),
            futile: 0,
            seconds: 0,
        }
    }

    /// `seconds` like the one that the stream has carried last.
    pub(crate) fn add(&mut self, stream: &Stream, keys: &Keys, records_per_s: f64, seconds: u64) {
        let n = seconds as f64;
        let beyond = |most: f64| {
            let mut beyond = vec![0.0; stream.carried().len()];
            for (key, more) in keys.above(records_per_s, most) {
                beyond[stream.route(key)] += more;
            }
            beyond
        };
        let of_keys = beyond(self.target);
        let of_keys_refused = beyond(self.target * LIMIT_OVER_TARGET);
        let (mut overloaded, mut excess) = (false, 0.0);
        for (index, carried) in stream.carried().iter().enumerate() {
            self.offered += carried.offered * n;
            self.refused += carried.refused * n;
            self.avoidable += (carried.refused - of_keys_refused[index]).max(0.0) * n;
            let over = (carried.offered - self.target - of_keys[index]).max(0.0);
            excess += over;
            let tolerance = if of_keys[index] > 0.0 { TOLERANCE_BESIDE_KEY } else { TOLERANCE };
            overloaded |= over > self.target * tolerance;
        }
        if overloaded {
            self.overload_s += seconds;
            self.episode_s += seconds;
        } else {
            self.end_episode();
        }
        self.cost.shard_hours += stream.carried().len() as f64 * n / 3_600.0;
        self.cost.throttled_records += excess * n;
        self.seconds += seconds;
    }

    fn end_episode(&mut self) {
        if self.episode_s > 0 {
            self.episodes_s.push(std::mem::take(&mut self.episode_s));
        }
    }

    pub(crate) fn reshards(&mut self, begun: u32) {
        self.cost.reshards += f64::from(begun);
    }

    /// Reshards that have turned out to be of no use.
    pub(crate) fn futile(&mut self, reshards: u32) {
        self.futile += reshards;
    }

    /// The figures, and what the run cost.
    pub(crate) fn finish(mut self, max_lineage_depth: u32, oracle_shard_hours: f64) -> (Figures, Cost) {
        self.end_episode();
        let recovery = percentile(&mut self.episodes_s, 0.95);
        let offered = self.offered.max(f64::MIN_POSITIVE);
        let figures = Figures {
            throttled_fraction: self.refused / offered,
            avoidable_throttled_fraction: self.avoidable / offered,
            shard_hours: self.cost.shard_hours,
            shard_hours_over_oracle: self.cost.shard_hours / oracle_shard_hours,
            reshards_per_day: self.cost.reshards * 86_400.0 / self.seconds.max(1) as f64,
            futile_reshards: self.futile,
            overload_seconds: self.overload_s,
            recovery_p95_seconds: recovery as f64,
            max_lineage_depth,
        };
        (figures, self.cost)
    }
}

/// The least value that this part of all does not exceed; 0 of none.
pub(crate) fn percentile(values: &mut [u64], part: f64) -> u64 {
    values.sort_unstable();
    let rank = (values.len() as f64 * part).ceil() as usize;
    rank.checked_sub(1).map_or(0, |index| values[index])
}
