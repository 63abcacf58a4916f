//! What a shard takes in a second: a token bucket for bytes and one for records.

use millrace_core::{CapacityMode, Limits, StreamConfig};
use tokio::time::Instant;

/// Kinesis' own limits of a shard in provisioned mode.
const KINESIS_BYTES_PER_S: f64 = (1 << 20) as f64;
const KINESIS_RECORDS_PER_S: f64 = 1_000.0;

/// The rates that a shard is held to; `None` for none.
pub(crate) fn write_rates(config: &StreamConfig) -> Option<(f64, f64)> {
    match (config.limits, config.mode) {
        (Limits::None, _) => None,
        (Limits::Kinesis, CapacityMode::Provisioned) => Some((KINESIS_BYTES_PER_S, KINESIS_RECORDS_PER_S)),
        // Throttling starts at twice the target: up to there the autoscaler has time to act.
        (Limits::Kinesis, CapacityMode::OnDemand) => {
            Some((2.0 * config.target_bytes_per_s as f64, 2.0 * config.target_records_per_s as f64))
        }
    }
}

/// Tokens of one shard. Holds up to a second's worth; a record larger than that passes a full bucket and is
/// paid for afterwards.
#[derive(Debug)]
pub(crate) struct WriteLimit {
    bytes: f64,
    records: f64,
    at: Instant,
}

impl WriteLimit {
    pub(crate) fn full(rates: (f64, f64), now: Instant) -> WriteLimit {
        WriteLimit { bytes: rates.0, records: rates.1, at: now }
    }

    /// Whether a record of this size may pass at this moment; takes its tokens if so.
    pub(crate) fn take(&mut self, rates: (f64, f64), bytes: usize, now: Instant) -> bool {
        let passed_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.bytes = (self.bytes + passed_s * rates.0).min(rates.0);
        self.records = (self.records + passed_s * rates.1).min(rates.1);
        self.at = now;
        let cost = bytes as f64;
        // Tokens that are missing for want of precision are none.
        let passes = self.records >= 0.999 && self.bytes + 0.5 >= cost.min(rates.0);
        if passes {
            self.bytes -= cost;
            self.records -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_of_records_passes_at_once_and_then_as_many_as_time_allows() {
        let start = Instant::now();
        let rates = (1_000.0, 10.0);
        let mut limit = WriteLimit::full(rates, start);
        assert_eq!((0..20).filter(|_| limit.take(rates, 50, start)).count(), 10);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..20).filter(|_| limit.take(rates, 50, later)).count(), 5);
    }

    #[test]
    fn bytes_are_limited_as_records_are() {
        let start = Instant::now();
        let rates = (1_000.0, 100.0);
        let mut limit = WriteLimit::full(rates, start);
        assert_eq!((0..20).filter(|_| limit.take(rates, 300, start)).count(), 3);
    }

    #[test]
    fn a_record_larger_than_a_second_passes_a_full_bucket_and_delays_what_follows() {
        let start = Instant::now();
        let rates = (1_000.0, 100.0);
        let mut limit = WriteLimit::full(rates, start);
        assert!(limit.take(rates, 3_000, start));
        assert!(!limit.take(rates, 1, start + Duration::from_secs(1)));
        assert!(limit.take(rates, 1, start + Duration::from_millis(2_100)));
    }
}
