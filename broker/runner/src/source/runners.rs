//! Which runners of a source are alive, and which of them reads a shard.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use millrace_core::ShardId;
use millrace_core::id::escape_name;
use millrace_log::{Heartbeats, KvEvent};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How often a runner says that it is alive.
pub const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How long a runner that is silent is taken for alive. What it read is taken over then.
pub const ALIVE_FOR: Duration = Duration::from_millis(2_500);
/// A runner whose beats were not taken for so long begins nothing: others are about to take it for dead.
const SURE_FOR: Duration = Duration::from_millis(1_500);

/// One run of one runner's process: random, new at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerId(pub u64);

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The runners of one source that this one takes for alive. It beats until it is dropped or stopped.
#[derive(Debug)]
pub struct Runners {
    me: RunnerId,
    prefix: String,
    state: Arc<Mutex<State>>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug)]
struct State {
    /// When each was heard last, and whether it is about to stop.
    heard: BTreeMap<RunnerId, (Instant, bool)>,
    /// From then on silence means death: before that this one may just not have heard yet.
    listening_since: Instant,
    beaten: Option<Instant>,
    leaving: bool,
}

impl Drop for Runners {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Runners {
    /// Begins to beat and to listen as a runner of a source.
    pub fn start(heartbeats: Arc<dyn Heartbeats>, source: &str, me: RunnerId) -> Runners {
        let prefix = format!("runner.{}.", escape_name(source));
        let state = Arc::new(Mutex::new(State {
            heard: BTreeMap::new(),
            listening_since: Instant::now(),
            beaten: None,
            leaving: false,
        }));
        let beating = tokio::spawn(beat(heartbeats.clone(), format!("{prefix}{me}"), state.clone()));
        let listening = tokio::spawn(listen(heartbeats, prefix.clone(), state.clone()));
        Runners { me, prefix, state, tasks: [beating.abort_handle(), listening.abort_handle()] }
    }

    /// This runner.
    pub fn me(&self) -> RunnerId {
        self.me
    }

    /// Whether another runner may still be at work. One that was never heard may be, until it would have been.
    pub fn may_live(&self, runner: RunnerId) -> bool {
        if runner == self.me {
            return true;
        }
        let state = self.state.lock();
        let heard = state.heard.get(&runner).map_or(state.listening_since, |(at, _)| *at);
        heard.elapsed() < ALIVE_FOR
    }

    /// Whether this runner may begin something: the others take it for alive for as long as that takes to be seen.
    pub fn is_sure(&self) -> bool {
        let state = self.state.lock();
        !state.leaving && state.beaten.is_some_and(|at| at.elapsed() < SURE_FOR)
    }

    /// Whether this is the runner that should read a shard: of those alive, and not about to stop, the one with the highest weight for it
    /// (rendezvous hashing), so that a change of runners moves only the shards that it must.
    pub fn should_read(&self, shard: ShardId) -> bool {
        let state = self.state.lock();
        let weight = |runner: RunnerId| (mix(runner.0 ^ mix(shard.0)), runner);
        let stays = |(at, leaving): &(Instant, bool)| !leaving && at.elapsed() < ALIVE_FOR;
        let others = state.heard.iter().filter(|(runner, heard)| **runner != self.me && stays(heard));
        let best = others.map(|(runner, _)| weight(*runner)).max();
        !state.leaving && best.is_none_or(|best| weight(self.me) > best)
    }

    /// From now on others read what this one read. It goes on to beat, for as long as its last batches take.
    pub async fn leave(&self, heartbeats: &dyn Heartbeats) {
        self.state.lock().leaving = true;
        let key = format!("{}{}", self.prefix, self.me);
        if let Err(error) = heartbeats.beat(&key, Bytes::from_static(LEAVING)).await {
            tracing::info!(%error, "the other runners will miss this one's beats instead of being told");
        }
    }
}

/// What a beat says of one who is about to stop. Others say nothing.
const LEAVING: &[u8] = b"leaving";

async fn beat(heartbeats: Arc<dyn Heartbeats>, key: String, state: Arc<Mutex<State>>) {
    let mut turns = tokio::time::interval(BEAT_EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let leaving = state.lock().leaving;
        // It counts from before it was sent: others may have heard it at once.
        let sent = Instant::now();
        let said = if leaving { Bytes::from_static(LEAVING) } else { Bytes::new() };
        match heartbeats.beat(&key, said).await {
            Ok(()) => state.lock().beaten = Some(sent),
            Err(error) => tracing::warn!(%error, "a runner's beat was not taken"),
        }
    }
}

async fn listen(heartbeats: Arc<dyn Heartbeats>, prefix: String, state: Arc<Mutex<State>>) {
    let mut beats = heartbeats.watch_beats();
    while let Some(event) = beats.next().await {
        let KvEvent::Put(entry) = event else { continue };
        let id = entry.key.strip_prefix(&prefix).and_then(|id| u64::from_str_radix(id, 16).ok());
        let Some(runner) = id.map(RunnerId) else { continue };
        state.lock().heard.insert(runner, (Instant::now(), entry.value == LEAVING));
    }
}

/// The finalizer of SplitMix64. All runners must agree on this function.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
