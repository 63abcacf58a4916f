//! How long a broker waits and how much it holds.

use std::time::Duration;

/// A broker's intervals and bounds. The defaults are what production runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a broker says that it is alive, and reports its shards' load.
    pub beat_every: Duration,
    /// How long after its last beat a broker counts as alive.
    pub alive_for: Duration,
    /// How long an owner tries to settle one append before it answers that it does not know.
    pub settle_for: Duration,
    /// How long a put may take in all, with the reshards and changes of owner that it waits out.
    pub put_for: Duration,
    /// The first and the longest pause between two tries.
    pub backoff: (Duration, Duration),
    /// How often unfinished reshards are looked at, beside each time that something changes.
    pub reshards_every: Duration,
    /// The most that one shard's waiting records may hold, in bytes.
    pub queue_bytes: usize,
    /// The most that one shard's newest packs in memory may hold, in bytes.
    pub tail_bytes: usize,
    /// The most that all shards' newest packs in memory may hold, in bytes. Beyond it each keeps one.
    pub tails_bytes: usize,
    /// The most that cold packs shared by several readers may hold, in bytes.
    pub history_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            beat_every: Duration::from_secs(1),
            alive_for: Duration::from_secs(3),
            settle_for: Duration::from_secs(15),
            put_for: Duration::from_secs(25),
            backoff: (Duration::from_millis(5), Duration::from_millis(250)),
            reshards_every: Duration::from_secs(1),
            queue_bytes: 16 << 20,
            tail_bytes: 2 << 20,
            tails_bytes: 256 << 20,
            history_bytes: 64 << 20,
        }
    }
}

impl Settings {
    /// The pause before try number `attempt`, from 1.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let (first, longest) = self.backoff;
        first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(longest)
    }
}
