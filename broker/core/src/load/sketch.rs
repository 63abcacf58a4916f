//! Where a shard's load lies, in bounded memory and a few nanoseconds a record.

use super::heavy::HeavyKeys;
use super::quantiles::Quantiles;
use super::{CutPoint, HeavyKey, MAX_CUT_POINTS, MAX_HEAVY_KEYS, Target};
use crate::hash::HashKey;

/// How many sample points a window has at most; half as many at least, once it has had that many records.
const MAX_POINTS: u64 = 2_048;
/// A key is named as heavy from this part of the load on.
const HEAVY_PER_MILLE: u64 = 20;

/// How load spreads over hash keys: its quantiles and its heaviest keys, in less than 4 KiB.
///
/// The records' costs, laid end to end, are cut into strata of equal cost (the quantum); one random point in each
/// stratum samples the record that covers it. So a record without a point costs a subtraction, one that is worth
/// many quanta counts fully, and no order of records can evade the points. The quantum starts at one record and
/// doubles as the window fills, so that there are 1,024 to 2,048 points. They
/// feed a KLL sketch (`quantiles`) and SpaceSaving (`heavy`).
///
/// Error of a rank, as a part of the window's load: stratified sampling with m ≥ 1,024 points has a standard
/// deviation of at most sqrt(1/4m) = 1.6 %, less while the quantum is one record; KLL with this many slots and at
/// most 2,048 units adds less than 1 %. Together below 4 % with a probability of 99 %, for any distribution and
/// order of keys. A key above 1/24 of the load is always found, and a share is understated by at most that
/// (typically by far less), beside the sampling.
///
/// The points are drawn by a xorshift generator (Marsaglia 2003) of fixed seed: the same records give the same
/// sketch.
#[derive(Clone, Debug)]
pub struct LoadSketch {
    /// What a record costs at least.
    min_cost: u64,
    /// The cost between two strata.
    quantum: u64,
    /// Where the current stratum's point lies in it, below `quantum`.
    point: u64,
    /// The cost that passes before the next point.
    ahead: u64,
    /// All costs of the window.
    total: u64,
    random: u64,
    quantiles: Quantiles,
    heavy: HeavyKeys,
}

impl Default for LoadSketch {
    /// For targets of Kinesis' proportion, 1 MiB and 1,000 records.
    fn default() -> Self {
        let mut sketch = LoadSketch {
            min_cost: (1 << 20) / 1_000,
            quantum: (1 << 20) / 1_000,
            point: 0,
            ahead: 0,
            total: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            quantiles: Quantiles::default(),
            heavy: HeavyKeys::default(),
        };
        sketch.begin_stratum();
        sketch
    }
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A random number below `bound`.
fn below(state: &mut u64, bound: u64) -> u64 {
    ((u128::from(xorshift(state)) * u128::from(bound)) >> 64) as u64
}

impl LoadSketch {
    /// Notes a record.
    #[inline]
    pub fn record(&mut self, key: HashKey, bytes: u32) {
        let cost = u64::from(bytes).max(self.min_cost);
        self.total += cost;
        if cost <= self.ahead {
            self.ahead -= cost;
        } else {
            self.sample(key, cost);
        }
    }

    /// Notes a record that covers at least one point.
    fn sample(&mut self, key: HashKey, cost: u64) {
        while self.total >= MAX_POINTS * self.quantum {
            self.quantum *= 2;
            let random = &mut self.random;
            self.quantiles.double_unit(&mut || xorshift(random));
            self.begin_stratum();
        }
        if cost <= self.ahead {
            self.ahead -= cost;
            return;
        }
        // As if each point lay in its stratum where the last one did …
        let mut points = 1 + (cost - 1 - self.ahead) / self.quantum;
        let ahead = self.ahead + points * self.quantum - cost;
        // … but the next stratum's is drawn, and lies in this record too if that has passed it.
        let mut point = below(&mut self.random, self.quantum);
        self.ahead = if ahead + point >= self.point {
            ahead + point - self.point
        } else {
            points += 1;
            point = below(&mut self.random, self.quantum);
            ahead + self.quantum + point - self.point
        };
        self.point = point;
        self.heavy.add(key, points * self.quantum);
        let random = &mut self.random;
        self.quantiles.add(key, points as u32, &mut || xorshift(random));
    }

    fn begin_stratum(&mut self) {
        self.point = below(&mut self.random, self.quantum);
        self.ahead = self.point;
    }

    /// The cost of all records, in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Forgets all records and begins again, with the proportion of this target.
    pub fn reset(&mut self, target: &Target) {
        // Within these bounds no record is worth more than 2^26 points, nor does a sum overflow.
        self.min_cost = target.bytes_per_record().clamp(64, 1 << 20);
        self.quantum = self.min_cost;
        self.total = 0;
        self.quantiles.clear();
        self.heavy.clear();
        self.begin_stratum();
    }

    /// Adds what `other` noted.
    pub fn merge(&mut self, other: &LoadSketch) {
        let mut other = other.clone();
        let total = self.total + other.total;
        let quantum = self.quantum.max(other.quantum);
        for sketch in [&mut *self, &mut other] {
            // Quanta that are no power-of-two multiples of each other (different targets) end within a factor of
            // two, and the shares within the error of that.
            while sketch.quantum < quantum || total >= MAX_POINTS * sketch.quantum {
                sketch.quantum *= 2;
                let random = &mut sketch.random;
                sketch.quantiles.double_unit(&mut || xorshift(random));
            }
        }
        let random = &mut self.random;
        self.quantiles.merge(&other.quantiles, &mut || xorshift(random));
        self.heavy.merge(&other.heavy);
        self.total = total;
        self.begin_stratum();
    }

    /// The part of the load on keys below `key`, in thousandths.
    pub fn below_per_mille(&self, key: HashKey) -> u16 {
        let items = self.quantiles.sorted();
        let all: u64 = items.iter().map(|(_, weight)| weight).sum();
        let less: u64 = items.iter().take_while(|(at, _)| *at < key).map(|(_, weight)| weight).sum();
        per_mille(less, all)
    }

    /// The heaviest keys, heaviest first, with the share that each has at least.
    pub fn heavy_keys(&self) -> Vec<HeavyKey> {
        let sure = self.heavy.sure().into_iter().take(MAX_HEAVY_KEYS);
        let heavy = sure.take_while(|(_, weight)| weight * 1_000 >= HEAVY_PER_MILLE * self.total);
        heavy.map(|(key, weight)| HeavyKey { key, share_per_mille: per_mille(weight, self.total) }).collect()
    }

    /// Places that part the load into about equal pieces, with the load below each.
    pub fn cut_points(&self) -> Vec<CutPoint> {
        let items = self.quantiles.sorted();
        let all: u64 = items.iter().map(|(_, weight)| weight).sum();
        let pieces = MAX_CUT_POINTS as u64 + 1;
        let mut cuts = Vec::with_capacity(MAX_CUT_POINTS);
        let (mut less, mut next) = (0, 1);
        for (key, weight) in items {
            // This key holds the quantile `next` if the load up to and with it reaches that far.
            if (less + weight) * pieces > next * all && next < pieces {
                cuts.push(CutPoint { at: key, below_per_mille: per_mille(less, all) });
                next = (less + weight) * pieces / all + 1;
            }
            less += weight;
        }
        cuts
    }
}

fn per_mille(part: u64, all: u64) -> u16 {
    (part * 1_000 / all.max(1)).min(1_000) as u16
}
