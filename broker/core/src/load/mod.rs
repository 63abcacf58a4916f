//! What a shard carries: how much, and where in its hash range.
//!
//! A record's **cost** is the greater of its bytes and of the bytes that a record stands for where a shard's
//! two targets meet (target bytes / target records), so that a flood of tiny records counts as much as a few
//! large ones. How loaded a shard is follows from its exact counts alone; where the load lies is estimated by a
//! [`LoadSketch`] of at most 4 KiB.

mod heavy;
mod quantiles;
mod sketch;
#[cfg(test)]
mod tests;

use minicbor::{Decode, Encode};

use crate::hash::HashKey;
use crate::id::ShardId;
use crate::map::cbor;

pub use sketch::LoadSketch;

/// The most heavy keys that a report names.
pub const MAX_HEAVY_KEYS: usize = 8;

/// The most cut points that a report names.
pub const MAX_CUT_POINTS: usize = 16;

/// Above this part of its target, in thousandths, a shard reports where its load lies.
pub const DETAIL_ABOVE_PER_MILLE: u64 = 700;

/// What one shard shall carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// Records a second.
    pub records_per_s: u64,
}

impl Target {
    /// How loaded a shard with these rates is, in thousandths of the target: by bytes or by records, whichever
    /// is more.
    pub fn per_mille(&self, bytes_per_s: u64, records_per_s: u64) -> u64 {
        let part = |rate: u64, target: u64| {
            u64::try_from(u128::from(rate) * 1_000 / u128::from(target.max(1))).unwrap_or(u64::MAX)
        };
        part(bytes_per_s, self.bytes_per_s).max(part(records_per_s, self.records_per_s))
    }

    /// The bytes that a record costs at least.
    pub fn bytes_per_record(&self) -> u64 {
        self.bytes_per_s / self.records_per_s.max(1)
    }
}

/// A key that takes a large part of its shard's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HeavyKey {
    /// Where it lies.
    #[n(0)]
    #[cbor(with = "cbor::hash_key")]
    pub key: HashKey,
    /// At least this part of the shard's cost is its, in thousandths.
    #[n(1)]
    pub share_per_mille: u16,
}

/// A place in a shard's hash range, and how much of its load lies below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CutPoint {
    /// The place: a child cut here would start with it.
    #[n(0)]
    #[cbor(with = "cbor::hash_key")]
    pub at: HashKey,
    /// The part of the shard's cost on keys below `at`, in thousandths.
    #[n(1)]
    pub below_per_mille: u16,
}

/// What one shard carried, as its owner reports it: rates over the time since the last report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ShardLoad {
    /// The shard.
    #[n(0)]
    #[cbor(with = "cbor::shard")]
    pub shard: ShardId,
    /// Bytes stored a second (partition keys and data).
    #[n(1)]
    pub bytes_per_s: u64,
    /// Records stored a second.
    #[n(2)]
    pub records_per_s: u64,
    /// Records refused a second for the shard's limit.
    #[n(3)]
    pub throttled_per_s: u64,
    /// Bytes read a second.
    #[n(4)]
    pub read_bytes_per_s: u64,
    /// The heaviest keys, heaviest first, at most [`MAX_HEAVY_KEYS`]. Empty below
    /// [`DETAIL_ABOVE_PER_MILLE`] of the target, when nothing was throttled.
    #[n(5)]
    pub heavy: Vec<HeavyKey>,
    /// Places at quantiles of the load, rising in both fields, at most [`MAX_CUT_POINTS`]. Empty as `heavy` is.
    #[n(6)]
    pub cuts: Vec<CutPoint>,
}

impl ShardLoad {
    /// How loaded the shard is, in thousandths of the target.
    pub fn per_mille(&self, target: &Target) -> u64 {
        target.per_mille(self.bytes_per_s, self.records_per_s)
    }
}

/// What one shard carries between two reports. While it is calm that is a few counts; the sketch begins where a
/// window passes half the target, or at once where the last one was hot.
#[derive(Clone, Debug, Default)]
pub struct LoadWindow {
    bytes: u64,
    records: u64,
    throttled: u64,
    read_bytes: u64,
    /// When the window began, in Unix milliseconds; unknown before the first report.
    since_ms: Option<i64>,
    /// The target, if the last window was calm. Not before the first report: a new shard may be the child of a
    /// hot one.
    calm: Option<Target>,
    sketch: Option<Box<LoadSketch>>,
}

impl LoadWindow {
    /// Notes a stored record. On the path of each record: a few nanoseconds while the shard is calm and at high
    /// rates, some tens between half its target and a few thousand records a second.
    #[inline]
    pub fn record(&mut self, key: HashKey, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.records += 1;
        match (&mut self.sketch, &self.calm) {
            (Some(sketch), _) => sketch.record(key, bytes),
            (None, Some(target))
                if self.bytes <= target.bytes_per_s / 2 && self.records <= target.records_per_s / 2 => {}
            (None, calm) => {
                let sketch = self.sketch.insert(Box::default());
                if let Some(target) = calm {
                    sketch.reset(target);
                }
                sketch.record(key, bytes);
            }
        }
    }

    /// Notes records that were refused for the shard's limit.
    pub fn throttled(&mut self, records: u32) {
        self.throttled += u64::from(records);
    }

    /// Notes bytes that were read.
    pub fn read(&mut self, bytes: u64) {
        self.read_bytes += bytes;
    }

    /// What the shard carried since the last report, and begins the next window; nothing if it was idle. The
    /// first report counts as one second's.
    pub fn report(&mut self, shard: ShardId, target: &Target, now_ms: i64) -> Option<ShardLoad> {
        let elapsed_ms = self.since_ms.map_or(1_000, |since| now_ms.saturating_sub(since)).clamp(100, 60_000);
        self.since_ms = Some(now_ms);
        let per_s = |count: &mut u64| {
            let rate = u128::from(std::mem::take(count)) * 1_000 / elapsed_ms.unsigned_abs() as u128;
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        let mut load = ShardLoad {
            shard,
            bytes_per_s: per_s(&mut self.bytes),
            records_per_s: per_s(&mut self.records),
            throttled_per_s: per_s(&mut self.throttled),
            read_bytes_per_s: per_s(&mut self.read_bytes),
            heavy: Vec::new(),
            cuts: Vec::new(),
        };
        let hot = load.throttled_per_s > 0 || load.per_mille(target) > DETAIL_ABOVE_PER_MILLE;
        match &mut self.sketch {
            Some(sketch) if hot => {
                load.heavy = sketch.heavy_keys();
                load.cuts = sketch.cut_points();
                sketch.reset(target);
            }
            _ => self.sketch = None,
        }
        self.calm = (!hot).then_some(*target);
        let rates = [load.bytes_per_s, load.records_per_s, load.throttled_per_s, load.read_bytes_per_s];
        rates.iter().any(|rate| *rate > 0).then_some(load)
    }
}
