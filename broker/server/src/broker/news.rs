//! Waiting at a shard's end: a reader who has read everything hears of the next message from the shard's owner, who
//! keeps the question until there is one. Nobody asks the log.

use std::sync::Arc;
use std::time::Duration;

use millrace_core::{DataId, Lane, Position, ShardId};
use millrace_log::ShardAddress;
use tokio::time::{Instant, sleep, timeout};

use super::owned::{OwnedShard, Stop};
use super::tail::TailView;
use super::{Broker, Inner, peers};

/// How long an owner keeps a question from another broker before it says that there is nothing yet: well within what
/// brokers give each other for an answer.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// How many questions a broker has waiting at other brokers at once. Those beyond it wait for their turn.
pub const NEWS_ASKED_AT_ONCE: usize = 8_192;

impl OwnedShard {
    /// Returns once there is a message that a reader at `from` has not read. A CLOSE at which it stands is none: what
    /// follows that, the map says.
    pub(super) async fn await_beyond(&self, from: u64) -> Result<TailView, Stop> {
        loop {
            // Taken before the look, so that nothing is missed.
            let mut news = self.news.subscribe();
            let view = self.tail(from, 0).await?;
            if is_beyond(&view, from) {
                return Ok(view);
            }
            tokio::select! {
                () = news.changed() => {}
                () = self.gone() => return Err(Stop::NotOwner),
            }
        }
    }

    /// The same for another broker, within [`KEPT_FOR`]. Tells where the shard ends either way.
    pub(super) async fn tail_beyond(&self, from: u64, max_bytes: usize, wait: Duration) -> Option<TailView> {
        if !wait.is_zero() {
            // Without news the answer says so.
            let _ = timeout(wait.min(KEPT_FOR), self.await_beyond(from)).await;
        }
        self.tail(from, max_bytes).await.ok()
    }
}

fn is_beyond(view: &TailView, from: u64) -> bool {
    view.last >= from && !(view.closed && view.last == from)
}

impl Broker {
    /// Returns when a reader who has read an open shard up to `from` may find something new: a record, or that the
    /// shard has ended. May return without.
    pub async fn await_news(&self, data: &DataId, shard: ShardId, from: Position) {
        self.inner.await_news(data, shard, from).await;
    }
}

impl Inner {
    /// See [`Broker::await_news`].
    async fn await_news(self: &Arc<Self>, data: &DataId, shard: ShardId, from: Position) {
        let mut changes = self.context.catalog.changes();
        let Some(lane) = self.open_in(data, shard) else { return };
        let address = ShardAddress { data: data.clone(), lane, shard };
        let news = self.news(&address, from.pack.max(1));
        tokio::pin!(news);
        loop {
            tokio::select! {
                () = &mut news => return,
                () = changes.changed() => {
                    if self.open_in(data, shard).is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// The lane of a shard that the map names open.
    fn open_in(&self, data: &DataId, shard: ShardId) -> Option<Lane> {
        self.context.catalog.map(data)?.map.get(shard).map(|open| open.lane)
    }

    /// Returns once the shard's owner, wherever it is, has a message that a reader at `from` has not read.
    async fn news(self: &Arc<Self>, address: &ShardAddress, from: u64) {
        let pause = self.context.settings.backoff.1;
        loop {
            let asked = Instant::now();
            let beyond = match self.members.owner(&address.data, address.shard) {
                Some(owner) if owner.id != self.members.me().id => {
                    let _turn = self.news_turns.acquire().await;
                    let request = peers::news_request(&address.data, address.shard, from, KEPT_FOR);
                    let answer = self.peers.ask(&owner, request).await.ok();
                    let view = answer.and_then(|answer| peers::read_tail_answer(answer).ok().flatten());
                    view.is_some_and(|view| is_beyond(&view, from))
                }
                _ => {
                    let owned = self.owned(&address.data, address.lane, address.shard);
                    owned.await_beyond(from).await.is_ok()
                }
            };
            if beyond {
                return;
            }
            // An owner that can't tell, or is about to be another one, answers at once.
            if asked.elapsed() < KEPT_FOR {
                sleep(pause).await;
            }
        }
    }
}
