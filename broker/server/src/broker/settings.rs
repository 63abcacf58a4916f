//! How long a broker waits and how much it holds.

use std::time::Duration;

use tokio::time::Instant;

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
    /// Tries that end after `wait` from now.
    pub(crate) fn patience(&self, wait: Duration) -> Patience {
        let (pause, longest) = self.backoff;
        Patience { pause: pause.max(Duration::from_millis(1)), longest, deadline: Instant::now() + wait }
    }
}

/// How long something is tried, and the pauses between, which double up to the longest.
#[derive(Debug)]
pub(crate) struct Patience {
    pause: Duration,
    longest: Duration,
    /// When the last try has to be over.
    pub(crate) deadline: Instant,
}

impl Patience {
    /// How long to wait before the next try; `None` when there is no time for one.
    pub(crate) fn pause(&mut self) -> Option<Duration> {
        let pause = self.pause.min(self.longest);
        self.pause = pause.saturating_mul(2);
        (Instant::now() + pause <= self.deadline).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_end_at_the_deadline() {
        let mut patience = Settings::default().patience(Duration::from_millis(600));
        let mut pauses = Vec::new();
        while let Some(pause) = patience.pause() {
            pauses.push(pause.as_millis());
            tokio::time::advance(pause).await;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 250]);
    }
}
