//! Watches: changes of a store as one client comes to see them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};

use super::network::Link;
use super::{BEAT_MEMORY_MS, MemoryCluster, State};
use crate::KvEvent;

/// Which store is watched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Kv,
    Beats,
}

struct Watch {
    cluster: MemoryCluster,
    link: Arc<Link>,
    source: Source,
    prefix: String,
    /// Everything up to this revision was told.
    told: u64,
    current_told: bool,
    reconnects: u64,
    queue: VecDeque<KvEvent>,
}

/// Tells what is there, then [`KvEvent::Current`], then every change.
pub(super) fn watch(
    cluster: MemoryCluster,
    link: Arc<Link>,
    source: Source,
    prefix: String,
) -> BoxStream<'static, KvEvent> {
    let reconnects = link.reconnects();
    let queue = VecDeque::new();
    let watch = Watch { cluster, link, source, prefix, told: 0, current_told: false, reconnects, queue };
    stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) }).boxed()
}

impl Watch {
    /// What is to be told next, in order (of each key only the latest change), and the revision that this is
    /// up to.
    fn news(&self) -> (Vec<KvEvent>, u64) {
        let now_ms = self.cluster.now_ms();
        let State { kv, beats, .. } = &mut *self.cluster.inner.state.lock();
        let store = match self.source {
            Source::Kv => kv,
            Source::Beats => {
                beats.expire(now_ms - BEAT_MEMORY_MS);
                beats
            }
        };
        let mut news = store.changes(&self.prefix, self.told);
        if !self.current_told {
            news.retain(|event| matches!(event, KvEvent::Put(_)));
        }
        (news, store.revision())
    }

    /// How long these news are under way, and whether the connection is made anew meanwhile.
    fn fate(&self) -> (Duration, bool) {
        let State { faults, dice, .. } = &mut *self.cluster.inner.state.lock();
        let delay = Duration::from_millis(dice.between(&faults.watch_delay_ms));
        (delay, dice.chance(faults.retold_per_mille))
    }

    async fn next(&mut self) -> KvEvent {
        loop {
            // The store's own notification is awaited from before the look at the store on.
            let cluster = self.cluster.clone();
            let changed = match self.source {
                Source::Kv => cluster.inner.kv_changed.notified(),
                Source::Beats => cluster.inner.beats_changed.notified(),
            };
            self.link.open().await;
            if self.reconnects != self.link.reconnects() {
                self.reconnects = self.link.reconnects();
                self.queue.clear();
                self.told = 0;
            }
            if let Some(event) = self.queue.pop_front() {
                return event;
            }
            if self.news().0.is_empty() && self.current_told {
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = self.link.reconnected(self.reconnects) => {}
                }
                continue;
            }
            let (delay, retold) = self.fate();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if !self.link.is_open() || self.reconnects != self.link.reconnects() {
                continue;
            }
            if retold {
                self.told = 0;
            }
            let (news, revision) = self.news();
            self.queue.extend(news);
            self.told = revision;
            if !self.current_told {
                self.current_told = true;
                self.queue.push_back(KvEvent::Current);
            }
        }
    }
}
