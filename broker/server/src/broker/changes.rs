//! Counting changes, and waiting for the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
struct Count {
    count: AtomicU64,
    next: Notify,
}

/// Counts the changes of something. Those who wait are woken in the order in which they came to wait: tokio's
/// own watch channel wakes them in an order that no seed decides, and a simulation has to replay.
#[derive(Default)]
pub(crate) struct Changed(Arc<Count>);

impl Changed {
    /// Notes a change.
    pub(crate) fn note(&self) {
        self.0.count.fetch_add(1, Ordering::Release);
        self.0.next.notify_waiters();
    }

    /// The changes from now on.
    pub(crate) fn subscribe(&self) -> Changes {
        Changes { seen: self.0.count.load(Ordering::Acquire), count: self.0.clone() }
    }
}

/// Tells when something has changed.
pub struct Changes {
    count: Arc<Count>,
    seen: u64,
}

impl Changes {
    /// Returns once there is a change that came after this was made, and after this last returned. Several
    /// changes may count as one.
    pub async fn changed(&mut self) {
        loop {
            let next = self.count.next.notified();
            let count = self.count.count.load(Ordering::Acquire);
            if count != self.seen {
                self.seen = count;
                return;
            }
            next.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn changes_count_from_the_subscription_on_and_several_as_one() {
        let changed = Changed::default();
        changed.note();
        let mut changes = changed.subscribe();
        assert_eq!(changes.changed().now_or_never(), None);
        changed.note();
        changed.note();
        assert_eq!(changes.changed().now_or_never(), Some(()));
        assert_eq!(changes.changed().now_or_never(), None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let changed = Changed::default();
        let mut changes = changed.subscribe();
        let waiting = tokio::spawn(async move { changes.changed().await });
        tokio::task::yield_now().await;
        changed.note();
        waiting.await.expect("the task does not panic");
    }
}
