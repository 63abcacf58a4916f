//! Kinesis' quotas on reading a shard, and on what may be done to a stream so many times in a while.
//!
//! Pure decisions on values that are given a time; [`ReadQuotas`] and [`CallQuota`] keep one for each shard or
//! stream. They live in one broker's memory: a caller who spreads its calls over several brokers gets as many
//! times the quota, and a restart forgets.

use std::collections::VecDeque;

use millrace_core::{DataId, ShardId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// `GetRecords` calls a second on one shard (Kinesis quotas: "GetRecords transactions per second per shard").
const READS_PER_S: f64 = 5.0;
/// Bytes a second read from one shard (Kinesis quotas: "data read rate per shard", 2 MiB).
const READ_BYTES_PER_S: f64 = (2 << 20) as f64;
/// Changes of one stream in a day (Kinesis API, `UpdateShardCount`, `UpdateStreamMode`, `StartStreamEncryption`).
pub(super) const SCALINGS_PER_DAY: usize = 10;
pub(super) const MODES_PER_DAY: usize = 2;
pub(super) const KEYS_PER_DAY: usize = 25;
pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// Requests with `DryRun` on one stream in a second, of all operations that know it (Kinesis developer guide).
pub(super) const DRY_RUNS_PER_S: usize = 1;
pub(super) const SECOND_MS: i64 = 1_000;
/// When so many are kept, those that hold nothing any more are dropped.
const PRUNE_ABOVE: usize = 10_000;

/// A token bucket that may fall into debt: whoever finds it above zero may take, and what was taken is
/// subtracted afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    per_s: f64,
    level: f64,
    at_ms: i64,
}

impl Bucket {
    /// A full bucket that holds what comes in in one second.
    pub(super) fn new(per_s: f64, now_ms: i64) -> Bucket {
        Bucket { per_s, level: per_s, at_ms: now_ms }
    }

    /// What it holds at `now_ms`. A clock that goes back adds nothing.
    fn refill(&mut self, now_ms: i64) -> f64 {
        let passed_ms = (now_ms - self.at_ms).max(0);
        self.level = (self.level + passed_ms as f64 * self.per_s / 1_000.0).min(self.per_s);
        self.at_ms = now_ms;
        self.level
    }

    pub(super) fn take(&mut self, amount: f64) {
        self.level -= amount;
    }

    /// How long until it has no debt.
    pub(super) fn debt_ms(&mut self, now_ms: i64) -> u64 {
        let level = self.refill(now_ms);
        (-level * 1_000.0 / self.per_s).max(0.0).ceil() as u64
    }
}

/// What one shard's readers may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadQuota {
    calls: Bucket,
    bytes: Bucket,
}

impl ReadQuota {
    pub(super) fn new(now_ms: i64) -> ReadQuota {
        ReadQuota { calls: Bucket::new(READS_PER_S, now_ms), bytes: Bucket::new(READ_BYTES_PER_S, now_ms) }
    }

    /// Whether a call may go on; counts it if so.
    pub(super) fn admit(&mut self, now_ms: i64) -> bool {
        let admitted = self.calls.refill(now_ms) >= 1.0 && self.bytes.refill(now_ms) > 0.0;
        if admitted {
            self.calls.take(1.0);
        }
        admitted
    }

    /// Counts what a call has read. 10 MiB stop the shard's readers for the 5 seconds that they are worth.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.bytes.take(bytes as f64);
    }

    /// Whether nothing would change if this were forgotten.
    fn is_full(&mut self, now_ms: i64) -> bool {
        self.calls.refill(now_ms) >= READS_PER_S && self.bytes.refill(now_ms) >= READ_BYTES_PER_S
    }
}

/// The read quotas of all shards that were read lately.
#[derive(Default)]
pub(super) struct ReadQuotas(Mutex<FxHashMap<(DataId, ShardId), ReadQuota>>);

impl ReadQuotas {
    /// Whether a call on this shard may go on; counts it if so.
    pub(super) fn admit(&self, data: &DataId, shard: ShardId, now_ms: i64) -> bool {
        let mut quotas = self.0.lock();
        if quotas.len() >= PRUNE_ABOVE {
            quotas.retain(|_, quota| !quota.is_full(now_ms));
        }
        quotas.entry((data.clone(), shard)).or_insert_with(|| ReadQuota::new(now_ms)).admit(now_ms)
    }

    /// Counts what a call has read.
    pub(super) fn charge(&self, data: &DataId, shard: ShardId, bytes: usize) {
        if let Some(quota) = self.0.lock().get_mut(&(data.clone(), shard)) {
            quota.charge(bytes);
        }
    }
}

/// When something was done to streams that may be done to each only so many times in a while.
pub(super) struct CallQuota {
    most: usize,
    within_ms: i64,
    calls: Mutex<FxHashMap<DataId, VecDeque<i64>>>,
}

impl CallQuota {
    pub(super) fn new(most: usize, within_ms: i64) -> CallQuota {
        CallQuota { most, within_ms, calls: Mutex::default() }
    }

    /// Whether it may be done to the stream; counts it if so.
    pub(super) fn admit(&self, data: &DataId, now_ms: i64) -> bool {
        let since_ms = now_ms - self.within_ms;
        let mut calls = self.calls.lock();
        if calls.len() >= PRUNE_ABOVE {
            calls.retain(|_, times| times.back().is_some_and(|time| *time > since_ms));
        }
        let times = calls.entry(data.clone()).or_default();
        while times.front().is_some_and(|time| *time <= since_ms) {
            times.pop_front();
        }
        let admitted = times.len() < self.most;
        if admitted {
            times.push_back(now_ms);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn a_shard_is_read_five_times_a_second() {
        let mut quota = ReadQuota::new(NOW);
        let admitted = (0..10).filter(|_| quota.admit(NOW)).count();
        assert_eq!(admitted, 5);
        assert!(!quota.admit(NOW + 199));
        assert!(quota.admit(NOW + 200));
        assert!(!quota.admit(NOW + 200));
    }

    #[test]
    fn ten_mebibytes_stop_a_shards_readers_for_as_long_as_they_are_worth() {
        let mut quota = ReadQuota::new(NOW);
        assert!(quota.admit(NOW));
        quota.charge(10 << 20);
        // 2 MiB were there, so 8 MiB have to come in: 4 seconds.
        assert!(!quota.admit(NOW + 4_000));
        assert!(quota.admit(NOW + 4_001));
    }

    #[test]
    fn a_debt_is_paid_by_what_comes_in() {
        let mut bucket = Bucket::new(1_000.0, NOW);
        bucket.take(1_000.0);
        assert_eq!(bucket.debt_ms(NOW), 0);
        bucket.take(500.0);
        assert_eq!((bucket.debt_ms(NOW), bucket.debt_ms(NOW + 500)), (500, 0));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut quota = ReadQuota::new(NOW);
        while quota.admit(NOW) {}
        assert!(!quota.admit(NOW - 10_000));
        assert!(!quota.admit(NOW - 9_900));
    }

    #[test]
    fn shards_have_quotas_of_their_own_and_old_ones_are_forgotten() {
        let quotas = ReadQuotas::default();
        let data = DataId::from_random(1);
        for shard in 0..2 * PRUNE_ABOVE as u64 {
            assert!(quotas.admit(&data, ShardId(shard), NOW + shard as i64 * 1_000));
        }
        assert!(quotas.0.lock().len() <= PRUNE_ABOVE);
    }

    #[test]
    fn a_stream_changes_so_many_times_in_any_day() {
        let (scalings, data) = (CallQuota::new(SCALINGS_PER_DAY, DAY_MS), DataId::from_random(1));
        for change in 0..10 {
            assert!(scalings.admit(&data, NOW + change));
        }
        assert!(!scalings.admit(&data, NOW + DAY_MS - 1));
        assert!(scalings.admit(&data, NOW + DAY_MS));
        assert!(!scalings.admit(&data, NOW + DAY_MS));
        assert!(scalings.admit(&DataId::from_random(2), NOW));
    }
}
