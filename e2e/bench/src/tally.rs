//! Counting acknowledgements and their latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::kinesis::PutOutcome;
use crate::load::Outcome;

/// The longest latency that is told apart, in microseconds.
const MAX_US: u64 = 120_000_000;

/// When a load runs. What happens while it warms up is not counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    /// The warm-up is over.
    pub(crate) from: Instant,
    /// No further request is sent.
    pub(crate) until: Instant,
}

impl Window {
    /// A window that starts now. Its first tenth, at most a second, is warm-up, and comes on top.
    pub(crate) fn starting_now(length: Duration) -> Window {
        let start = Instant::now();
        let from = start + (length / 10).min(Duration::from_secs(1));
        Window { start, from, until: from + length }
    }

    /// Whether further requests are sent.
    pub(crate) fn is_open(&self) -> bool {
        Instant::now() < self.until
    }
}

/// What one connection has seen, or all of them together.
pub(crate) struct Tally {
    window: Window,
    latencies_us: Histogram<u64>,
    /// Records acknowledged within the window.
    counted: u64,
    /// Records acknowledged at any time.
    total: u64,
    last: Instant,
    throttled: u64,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    pub(crate) fn new(window: Window) -> Tally {
        Tally {
            window,
            latencies_us: Histogram::new_with_bounds(1, MAX_US, 3).expect("these bounds are valid"),
            counted: 0,
            total: 0,
            last: window.start,
            throttled: 0,
            errors: 0,
            first_error: None,
        }
    }

    /// Counts records that were acknowledged now, in one request that was sent at `sent`.
    pub(crate) fn acknowledged(&mut self, sent: Instant, records: u64) {
        self.acknowledged_at(sent, Instant::now(), records);
    }

    /// The same for what happened at `at`.
    pub(crate) fn acknowledged_at(&mut self, sent: Instant, at: Instant, records: u64) {
        self.total += records;
        self.last = self.last.max(at);
        if at >= self.window.from && at <= self.window.until {
            self.counted += records;
            let took_us = at.saturating_duration_since(sent).as_micros();
            self.latencies_us.saturating_record(u64::try_from(took_us).unwrap_or(MAX_US));
        }
    }

    /// Counts a request's records by what became of them.
    pub(crate) fn put(&mut self, sent: Instant, outcome: PutOutcome) {
        if outcome.acknowledged > 0 {
            self.acknowledged(sent, outcome.acknowledged);
        }
        self.throttled += outcome.throttled;
        self.errors += outcome.failed;
        self.first_error = self.first_error.take().or(outcome.error);
    }

    /// Counts a request that got no answer.
    pub(crate) fn failed(&mut self, error: impl std::fmt::Display) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }

    /// Adds what another has seen.
    pub(crate) fn add(&mut self, other: Tally) {
        self.latencies_us.add(other.latencies_us).expect("both have the same bounds");
        self.counted += other.counted;
        self.total += other.total;
        self.last = self.last.max(other.last);
        self.throttled += other.throttled;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// The figures: `records_per_s`, `records`, `p50_ms`, `p99_ms`, `max_ms`.
    pub(crate) fn outcome(self) -> Outcome {
        // A load that has written all it may ends before its time.
        let end = self.last.min(self.window.until);
        let (count, length) = match self.counted {
            0 => (self.total, self.last.saturating_duration_since(self.window.start)),
            counted => (counted, end.saturating_duration_since(self.window.from)),
        };
        let mut outcome = Outcome {
            throttled: self.throttled,
            errors: self.errors,
            first_error: self.first_error,
            ..Outcome::default()
        };
        let milliseconds = |us: u64| us as f64 / 1_000.0;
        outcome.set("records_per_s", count as f64 / length.as_secs_f64().max(1e-6));
        outcome.set("records", self.total as f64);
        outcome.set("p50_ms", milliseconds(self.latencies_us.value_at_quantile(0.5)));
        outcome.set("p99_ms", milliseconds(self.latencies_us.value_at_quantile(0.99)));
        outcome.set("max_ms", milliseconds(self.latencies_us.max()));
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past_warm_up() -> Window {
        let start = Instant::now();
        Window { start, from: start, until: start + Duration::from_secs(60) }
    }

    #[test]
    fn what_all_connections_saw_is_added_up() {
        let window = past_warm_up();
        let mut all = Tally::new(window);
        for _ in 0..2 {
            let mut one = Tally::new(window);
            one.acknowledged(window.start, 500);
            one.put(
                window.start,
                PutOutcome { acknowledged: 1, throttled: 2, failed: 3, error: Some("x".into()) },
            );
            all.add(one);
        }
        let outcome = all.outcome();
        assert_eq!((outcome.get("records").unwrap(), outcome.throttled, outcome.errors), (1_002.0, 4, 6));
        assert_eq!(outcome.first_error.as_deref(), Some("x"));
        assert!(outcome.get("records_per_s").unwrap() > 0.0);
    }

    #[test]
    fn the_warm_up_is_not_counted() {
        let start = Instant::now();
        let from = start + Duration::from_secs(3_600);
        let mut tally = Tally::new(Window { start, from, until: from });
        tally.acknowledged(start, 7);
        assert_eq!((tally.counted, tally.total, tally.latencies_us.len()), (0, 7, 0));
        // A load that was over before it was warm still has a rate.
        assert!(tally.outcome().get("records_per_s").unwrap() > 0.0);
    }
}
