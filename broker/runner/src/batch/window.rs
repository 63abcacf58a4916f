//! Tumbling windows: their state goes from invocation to invocation, and from a shard to its heir.

use std::sync::Arc;

use super::action::WindowBatch;

/// The largest state that is carried on, in bytes. A window whose state is larger ends early.
pub const MAX_STATE_BYTES: usize = 1 << 20;
/// How long a window is kept open after its end by a reader that finds nothing more, in milliseconds: a record may be on
/// its way. One that comes later opens the window again.
const GRACE_MS: i64 = 1_000;
/// The state that a window begins with.
const EMPTY: &str = "{}";

/// A window that has begun, and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenWindow {
    /// Its first millisecond, in Unix time.
    pub start_ms: i64,
    /// What the function answered last, a JSON object.
    pub state: Arc<str>,
}

/// The windows of one shard.
#[derive(Debug)]
pub(super) struct Windows {
    length_ms: i64,
    open: Option<OpenWindow>,
}

impl Windows {
    pub(super) fn new(length_ms: i64, open: Option<OpenWindow>) -> Windows {
        Windows { length_ms, open }
    }

    /// The first millisecond of the window in which a record lies that arrived then.
    pub(super) fn start_of(&self, arrival_ms: i64) -> i64 {
        arrival_ms.div_euclid(self.length_ms) * self.length_ms
    }

    pub(super) fn open(&self) -> Option<&OpenWindow> {
        self.open.as_ref()
    }

    /// How large the state is that the next batch carries, in bytes.
    pub(super) fn state_bytes(&self) -> usize {
        self.open.as_ref().map_or(EMPTY.len(), |open| open.state.len())
    }

    /// Whether the open window's state is too large to be carried on.
    pub(super) fn is_overfull(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.state.len() > MAX_STATE_BYTES)
    }

    /// The window of a batch that begins with a record that arrived then.
    pub(super) fn of(&self, arrival_ms: i64) -> WindowBatch {
        let fresh = || OpenWindow { start_ms: self.start_of(arrival_ms), state: EMPTY.into() };
        self.batch(self.open.clone().unwrap_or_else(fresh), false, false)
    }

    /// The last invocation of the open window, if it is due: before a record that arrived at `next_ms`, or, where there
    /// is none, once everything was read that arrived before `until_ms`.
    pub(super) fn ending(&self, next_ms: Option<i64>, until_ms: Option<i64>) -> Option<WindowBatch> {
        let open = self.open.as_ref()?;
        let over = match next_ms {
            Some(next_ms) => self.start_of(next_ms) != open.start_ms,
            None => until_ms.is_some_and(|until_ms| until_ms >= open.start_ms + self.length_ms + GRACE_MS),
        };
        let early = !over && self.is_overfull();
        (over || early).then(|| self.batch(open.clone(), true, early))
    }

    /// The last invocation of the open window of a shard that ends without an heir at `now_ms`.
    pub(super) fn cut_off(&self, now_ms: i64) -> Option<WindowBatch> {
        let open = self.open.as_ref()?;
        Some(self.batch(open.clone(), true, now_ms < open.start_ms + self.length_ms))
    }

    /// The function answered with this state to a batch that begins with a record that arrived then.
    pub(super) fn answered(&mut self, arrival_ms: i64, state: Box<str>) {
        self.open = Some(OpenWindow { start_ms: self.start_of(arrival_ms), state: state.into() });
    }

    /// The last invocation is done.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn batch(&self, open: OpenWindow, is_final: bool, terminated_early: bool) -> WindowBatch {
        let OpenWindow { start_ms, state } = open;
        WindowBatch { start_ms, end_ms: start_ms + self.length_ms, state, is_final, terminated_early }
    }
}
