//! Log, key-value store and heartbeats in memory, behind a network that loses, delays and reorders.
//!
//! [`MemoryCluster`] is the truth: what JetStream has on disk. [`MemoryCluster::connect`] gives one client's
//! view of it, a [`MemoryClient`], which implements [`crate::Log`], [`crate::Kv`] and [`crate::Heartbeats`].
//! Between the two lies a network whose [`Faults`] a seed decides. A client can be cut off, paused, and
//! crashed; what it has sent may still take effect then.
//!
//! Time is tokio's, so that a test can pause it; nothing here starts a thread, reads the wall clock or draws a
//! number but from its seed. Two runs with one seed are the same run, if the rest of the program keeps to that.

mod client;
mod dice;
mod lane;
mod network;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use client::MemoryClient;
pub use dice::Dice;
pub use network::Faults;

use crate::{KvEntry, LaneAddress, Message, ReadLimits, ShardAddress};
use lane::LaneData;
use network::{Fate, Link};
use store::Store;

/// How long a beat is remembered.
const BEAT_MEMORY_MS: i64 = 10_000;

/// Something that happened to the truth.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// When, in Unix milliseconds of the cluster's clock.
    pub at_ms: i64,
    /// Whose request it was.
    pub client: Arc<str>,
    /// What it did.
    pub change: Change,
}

/// What a request did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A message was stored.
    Appended {
        /// Where.
        shard: ShardAddress,
        /// The last sequence that the client expected.
        expected: u64,
        /// The message's sequence.
        sequence: u64,
        /// The pack.
        payload: Bytes,
    },
    /// An append was refused, since the last sequence was another or the lane was full.
    Refused {
        /// Where.
        shard: ShardAddress,
        /// The last sequence that the client expected.
        expected: u64,
    },
    /// A value was written to KV.
    Written {
        /// Where.
        key: String,
        /// Its revision.
        revision: u64,
        /// What.
        value: Bytes,
    },
    /// A value was removed from KV.
    Removed {
        /// Where it lay.
        key: String,
    },
    /// A write to KV was refused, since the revision was another.
    Conflict {
        /// Where.
        key: String,
    },
    /// A lane was made, changed or removed.
    Lane {
        /// Which.
        lane: LaneAddress,
    },
    /// Something was read.
    Asked,
}

/// What happens to the client that makes a certain call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blow {
    /// It crashes before the call takes effect; the call never does.
    CrashBefore,
    /// It crashes once the call has taken effect.
    CrashAfter,
    /// The call never takes effect, and its outcome is unknown.
    LoseRequest,
    /// The call takes effect, and its outcome is unknown.
    LoseReply,
}

type Observer = Box<dyn FnMut(&Event) + Send>;

struct State {
    lanes: BTreeMap<LaneAddress, LaneData>,
    kv: Store,
    beats: Store,
    faults: Faults,
    dice: Dice,
    observer: Option<Observer>,
    calls: u64,
    blows: BTreeMap<u64, Blow>,
}

struct Inner {
    started: Instant,
    started_ms: i64,
    state: Mutex<State>,
    kv_changed: Notify,
    beats_changed: Notify,
}

/// The truth that all clients share.
#[derive(Clone)]
pub struct MemoryCluster {
    inner: Arc<Inner>,
}

impl fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCluster").field("now_ms", &self.now_ms()).finish_non_exhaustive()
    }
}

impl MemoryCluster {
    /// An empty cluster whose clock stands at `now_ms` (Unix milliseconds) now, and a network with `faults`
    /// that `seed` decides.
    pub fn new(seed: u64, now_ms: i64, faults: Faults) -> MemoryCluster {
        let state = State {
            lanes: BTreeMap::new(),
            kv: Store::default(),
            beats: Store::default(),
            faults,
            dice: Dice::new(seed),
            observer: None,
            calls: 0,
            blows: BTreeMap::new(),
        };
        let inner = Inner {
            started: Instant::now(),
            started_ms: now_ms,
            state: Mutex::new(state),
            kv_changed: Notify::new(),
            beats_changed: Notify::new(),
        };
        MemoryCluster { inner: Arc::new(inner) }
    }

    /// A new connection. Several may have one name.
    pub fn connect(&self, name: &str) -> MemoryClient {
        MemoryClient::new(self.clone(), Link::new(name))
    }

    /// The cluster's clock, in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.inner.started_ms + self.inner.started.elapsed().as_millis() as i64
    }

    /// From now on the network does this. Requests that are under way already are not changed.
    pub fn set_faults(&self, faults: Faults) {
        self.inner.state.lock().faults = faults;
    }

    /// Tells every change of the truth to `observer`, right when it happens. It must not call the cluster.
    pub fn observe(&self, observer: impl FnMut(&Event) + Send + 'static) {
        self.inner.state.lock().observer = Some(Box::new(observer));
    }

    /// Strikes the clients that make certain calls. All calls of [`crate::Log`] and [`crate::Kv`] by all
    /// clients are counted together, from 0 at the start; watches and beats are not.
    pub fn plan_blows(&self, blows: impl IntoIterator<Item = (u64, Blow)>) {
        self.inner.state.lock().blows.extend(blows);
    }

    /// How many calls were counted until now.
    pub fn calls(&self) -> u64 {
        self.inner.state.lock().calls
    }

    /// What a lane stores at this moment, without any network; nothing if there is no such lane.
    pub fn stored(&self, lane: &LaneAddress) -> Vec<Message> {
        let everything = ReadLimits { messages: u32::MAX, bytes: u32::MAX };
        self.with_lane(lane, |lane, now_ms| lane.read_all(0, everything, now_ms)).unwrap_or_default()
    }

    /// The last stored message of a shard at this moment, without any network.
    pub fn last_stored(&self, shard: &ShardAddress) -> Option<Message> {
        self.with_lane(&shard.lane(), |lane, _| lane.last_of(shard.shard)).flatten()
    }

    /// What lies in KV under a key at this moment, without any network.
    pub fn value(&self, key: &str) -> Option<KvEntry> {
        self.inner.state.lock().kv.get(key)
    }

    /// What lies in KV under a prefix at this moment, without any network.
    pub fn values(&self, prefix: &str) -> Vec<KvEntry> {
        self.inner.state.lock().kv.list(prefix)
    }

    fn with_lane<T>(&self, lane: &LaneAddress, ask: impl FnOnce(&LaneData, i64) -> T) -> Option<T> {
        let now_ms = self.now_ms();
        let mut state = self.inner.state.lock();
        let lane = state.lane(lane, now_ms)?;
        Some(ask(lane, now_ms))
    }

    /// What becomes of the next request of `link`, and whether something strikes the client.
    fn fate(&self, counted: bool) -> (Fate, Option<Blow>) {
        let State { faults, dice, calls, blows, .. } = &mut *self.inner.state.lock();
        let blow = if counted {
            *calls += 1;
            blows.remove(&(*calls - 1))
        } else {
            None
        };
        (faults.fate(dice), blow)
    }
}

impl State {
    /// The lane without what has expired.
    fn lane(&mut self, lane: &LaneAddress, now_ms: i64) -> Option<&mut LaneData> {
        let lane = self.lanes.get_mut(lane)?;
        lane.expire(now_ms);
        Some(lane)
    }

    fn tell(&mut self, at_ms: i64, client: &Arc<str>, change: Change) {
        if let Some(observer) = &mut self.observer {
            observer(&Event { at_ms, client: client.clone(), change });
        }
    }
}
