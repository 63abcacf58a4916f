//! What a stream's floor asks for at a time: when shards are made for a window, and which merges it makes pointless.

use millrace_core::floor::{Floor, FloorWindow, Span};

use crate::levels::LONGEST_WAIT;

/// How long before a window begins its shards are made, in milliseconds: so that they are there when it does. To the
/// most shards that a stream may have it takes 18 rounds from a single one, with 64 splits at a time (a test counts
/// them), and a round takes a second or two until the children are open.
pub const LEAD_MS: i64 = 60_000;

/// What a floor asks for at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorNow {
    /// The window that asks for the most shards, of those that are on or begin within [`LEAD_MS`].
    pub asks: Option<Asks>,
    /// The fewest shards that merges leave: the most that any window asks for which is on, or begins so soon that a
    /// merge would not repay itself and the split that undoes it. That is the longest wait before a merge.
    pub keep: u32,
    /// Until when (exclusive) it asks the same, in Unix milliseconds.
    pub until_ms: i64,
}

/// A window that asks for shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The window.
    pub window: FloorWindow,
    /// When it is over, in Unix milliseconds.
    pub until_ms: i64,
}

impl FloorNow {
    /// What a floor asks for at `now_ms` (Unix milliseconds), where neighbours are merged after `merge_after_s` at the
    /// earliest.
    pub fn at(floor: &Floor, now_ms: i64, merge_after_s: u32) -> FloorNow {
        let hold_ms = (i64::from(merge_after_s) * 1_000 * LONGEST_WAIT).max(LEAD_MS);
        let mut now = FloorNow::default();
        for window in &floor.0 {
            let Some(Span { start_ms, end_ms }) = window.next(now_ms) else { continue };
            let (hold_from_ms, grow_from_ms) = (start_ms - hold_ms, start_ms - LEAD_MS);
            if hold_from_ms <= now_ms {
                now.keep = now.keep.max(window.shards);
            }
            let asked = now.asks.as_ref().map_or(0, |asks| asks.window.shards);
            if grow_from_ms <= now_ms && window.shards > asked {
                now.asks = Some(Asks { window: window.clone(), until_ms: end_ms });
            }
            let changes = [hold_from_ms, grow_from_ms, end_ms].into_iter().filter(|at_ms| *at_ms > now_ms);
            now.until_ms = changes.fold(now.until_ms, i64::min);
        }
        now
    }
}

impl Default for FloorNow {
    /// What no floor asks for.
    fn default() -> FloorNow {
        FloorNow { asks: None, keep: 0, until_ms: i64::MAX }
    }
}
