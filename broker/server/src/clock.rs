//! Where a broker takes the time of day and its random numbers from, so that a simulation can give them.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day and randomness. Time-outs and intervals use tokio's clock, which a simulation pauses.
pub trait Clock: Send + Sync + 'static {
    /// The time of day in Unix milliseconds.
    fn now_ms(&self) -> i64;
    /// 64 random bits.
    fn random(&self) -> u64;
}

/// The operating system's clock and randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}
