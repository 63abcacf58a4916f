//! The network between a client and the cluster, and what can go wrong on it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::dice::Dice;

/// How often the network does what. Times are in milliseconds of tokio's clock, chances in thousandths.
#[derive(Clone, Debug)]
pub struct Faults {
    /// After this time a client takes a request for unanswered.
    pub time_out_ms: u64,
    /// How long a request or a reply is under way.
    pub delay_ms: RangeInclusive<u64>,
    /// How many of them take longer.
    pub slow_per_mille: u32,
    /// How long those take.
    pub slow_ms: RangeInclusive<u64>,
    /// Requests that never arrive.
    pub lost_request_per_mille: u32,
    /// Requests that take effect and whose replies never arrive.
    pub lost_reply_per_mille: u32,
    /// Requests that arrive after the client has given them up.
    pub late_per_mille: u32,
    /// How long after the time-out those arrive.
    pub late_ms: RangeInclusive<u64>,
    /// Requests whose connection breaks before there is an answer: the client takes them for unanswered early,
    /// and they take effect all the same.
    pub broken_off_per_mille: u32,
    /// Appends and writes that a deposed leader, which does not know that it is one, refuses for what it has
    /// stored, while the true leader carries them out.
    pub deposed_per_mille: u32,
    /// Reads answered by a replica that lags, of those that may be.
    pub lag_per_mille: u32,
    /// How far that replica is behind.
    pub lag_ms: RangeInclusive<u64>,
    /// How long a watcher waits for news.
    pub watch_delay_ms: RangeInclusive<u64>,
    /// News after which a watcher is told everything again, as after a reconnect.
    pub retold_per_mille: u32,
    /// Requests made while the client is cut off that are lost; the others wait until it is not.
    pub lost_when_cut_per_mille: u32,
}

impl Faults {
    /// A network without delays or faults.
    pub fn none() -> Faults {
        Faults {
            time_out_ms: 5_000,
            delay_ms: 0..=0,
            slow_per_mille: 0,
            slow_ms: 0..=0,
            lost_request_per_mille: 0,
            lost_reply_per_mille: 0,
            late_per_mille: 0,
            late_ms: 0..=0,
            broken_off_per_mille: 0,
            deposed_per_mille: 0,
            lag_per_mille: 0,
            lag_ms: 0..=0,
            watch_delay_ms: 0..=0,
            retold_per_mille: 0,
            lost_when_cut_per_mille: 500,
        }
    }

    fn one_way(&self, dice: &mut Dice) -> Duration {
        let range = if dice.chance(self.slow_per_mille) { &self.slow_ms } else { &self.delay_ms };
        Duration::from_millis(dice.between(range))
    }

    /// What becomes of one request.
    pub(super) fn fate(&self, dice: &mut Dice) -> Fate {
        let time_out = Duration::from_millis(self.time_out_ms);
        let late = dice.chance(self.late_per_mille);
        let late = late.then(|| time_out + Duration::from_millis(dice.between(&self.late_ms)));
        let there = late.unwrap_or_else(|| self.one_way(dice));
        let broken_off = dice.chance(self.broken_off_per_mille);
        Fate {
            time_out: if broken_off { there.min(time_out) / 2 } else { time_out },
            there,
            lost: dice.chance(self.lost_request_per_mille),
            lost_when_cut: dice.chance(self.lost_when_cut_per_mille),
            reply_lost: dice.chance(self.lost_reply_per_mille),
            deposed: dice.chance(self.deposed_per_mille),
            back: self.one_way(dice),
            lag_ms: if dice.chance(self.lag_per_mille) { dice.between(&self.lag_ms) as i64 } else { 0 },
        }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) time_out: Duration,
    pub(super) lost: bool,
    pub(super) lost_when_cut: bool,
    pub(super) there: Duration,
    pub(super) reply_lost: bool,
    pub(super) deposed: bool,
    pub(super) back: Duration,
    pub(super) lag_ms: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct LinkState {
    crashed: bool,
    paused: bool,
    cut: bool,
    /// How often the connection was lost and made anew.
    reconnects: u64,
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: Arc<str>,
    state: Mutex<LinkState>,
    changed: Notify,
}

impl Link {
    pub(super) fn new(name: &str) -> Arc<Link> {
        Arc::new(Link { name: name.into(), state: Mutex::default(), changed: Notify::new() })
    }

    fn change(&self, change: impl FnOnce(&mut LinkState)) {
        change(&mut self.state.lock());
        self.changed.notify_waiters();
    }

    pub(super) fn crash(&self) {
        self.change(|state| state.crashed = true);
    }

    pub(super) fn pause(&self, paused: bool) {
        self.change(|state| state.paused = paused);
    }

    pub(super) fn cut(&self, cut: bool) {
        self.change(|state| {
            state.reconnects += u64::from(state.cut && !cut);
            state.cut = cut;
        });
    }

    pub(super) fn is_crashed(&self) -> bool {
        self.state.lock().crashed
    }

    pub(super) fn is_cut(&self) -> bool {
        self.state.lock().cut
    }

    pub(super) fn is_running(&self) -> bool {
        let state = *self.state.lock();
        !(state.crashed || state.paused)
    }

    pub(super) fn is_open(&self) -> bool {
        let state = *self.state.lock();
        !(state.crashed || state.paused || state.cut)
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.state.lock().reconnects
    }

    /// Returns when the state is one that `good` accepts.
    async fn until(&self, good: impl Fn(&LinkState) -> bool) {
        loop {
            let changed = self.changed.notified();
            if good(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Returns when something can come in or go out. Never, once the client has crashed.
    pub(super) async fn open(&self) {
        self.until(|state| !(state.crashed || state.paused || state.cut)).await;
    }

    /// Returns once the connection was made anew more than `reconnects` times.
    pub(super) async fn reconnected(&self, reconnects: u64) {
        self.until(|state| state.reconnects > reconnects).await;
    }

    /// Returns when the client is neither paused nor crashed.
    pub(super) async fn running(&self) {
        self.until(|state| !(state.crashed || state.paused)).await;
    }

    pub(super) async fn crashed(&self) {
        self.until(|state| state.crashed).await;
    }
}
