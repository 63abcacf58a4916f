//! Whether a broker can serve now.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A broker whose beats the log has not taken for this long can't append either. Far above what a change of the
/// log's leader takes, so that readiness does not flap with it.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(10);

/// When the log last took a beat of this broker.
pub(super) struct Heard {
    began: Instant,
    at: Mutex<Option<Instant>>,
}

impl Heard {
    /// A broker that begins now.
    pub(super) fn new() -> Heard {
        Heard { began: Instant::now(), at: Mutex::new(None) }
    }

    /// Notes a beat that was sent at `sent` and has been taken.
    pub(super) fn note(&self, sent: Instant) {
        *self.at.lock() = Some(sent);
    }

    /// How long ago that was; `None` before the first one.
    pub(super) fn since(&self) -> Option<Duration> {
        self.at.lock().map(|at| at.elapsed())
    }

    /// How long ago that was, or the broker's beginning.
    pub(super) fn age(&self) -> Duration {
        self.since().unwrap_or_else(|| self.began.elapsed())
    }
}

/// Whether a broker can serve whose last beat was taken `since` ago.
pub(super) fn ready(leaving: bool, since: Option<Duration>) -> Result<(), String> {
    match since {
        _ if leaving => Err("the broker is stopping".to_owned()),
        None => Err("the broker is starting: the log has not taken its first heartbeat".to_owned()),
        Some(since) if since > SILENT_FOR => Err(format!(
            "the log has taken no heartbeat of this broker for {} s: look at its nats-servers, and at the way to them",
            since.as_secs()
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_broker_is_ready_while_its_beats_are_taken_and_for_ten_seconds_more() {
        let heard = Heard::new();
        assert!(ready(false, heard.since()).unwrap_err().contains("starting"));
        heard.note(Instant::now());
        assert_eq!(ready(false, heard.since()), Ok(()));
        tokio::time::advance(SILENT_FOR).await;
        assert_eq!(ready(false, heard.since()), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ready(false, heard.since()).unwrap_err().contains("for 11 s"));
        heard.note(Instant::now());
        assert_eq!(ready(false, heard.since()), Ok(()));
        assert!(ready(true, heard.since()).unwrap_err().contains("stopping"));
    }
}
