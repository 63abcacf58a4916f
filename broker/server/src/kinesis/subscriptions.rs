//! Who reads which shard by subscription: one at a time for each consumer and shard (Kinesis API,
//! `SubscribeToShard`).
//!
//! Kept in one broker's memory, as quotas are: of two subscriptions through two brokers neither takes the other's
//! place.

use millrace_core::{DataId, ShardId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio_util::sync::CancellationToken;

/// For how long nobody else may take a subscription's place, in milliseconds.
const HELD_MS: i64 = 5_000;
/// When so many are kept, those that mean nothing any more are dropped.
const PRUNE_ABOVE: usize = 10_000;

/// A shard, and a consumer's name and time of registration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seat {
    pub(super) data: DataId,
    pub(super) shard: ShardId,
    pub(super) consumer: String,
    pub(super) registered_ms: i64,
}

struct Taken {
    since_ms: i64,
    over: CancellationToken,
}

/// The latest subscription of each consumer and shard.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<FxHashMap<Seat, Taken>>);

/// A seat that is taken. Whoever takes it next is told by `over`.
pub(super) struct Sitting {
    pub(super) over: CancellationToken,
}

impl Drop for Sitting {
    /// Nobody sits there any more.
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Subscriptions {
    /// Takes the seat from whoever has it; `None` if that one has come within the last five seconds.
    pub(super) fn take(&self, seat: Seat, now_ms: i64) -> Option<Sitting> {
        let mut seats = self.0.lock();
        if seats.len() >= PRUNE_ABOVE {
            seats.retain(|_, taken| !taken.over.is_cancelled() || is_held(taken, now_ms));
        }
        if let Some(taken) = seats.get(&seat) {
            if is_held(taken, now_ms) {
                return None;
            }
            taken.over.cancel();
        }
        let over = CancellationToken::new();
        seats.insert(seat, Taken { since_ms: now_ms, over: over.clone() });
        Some(Sitting { over })
    }
}

fn is_held(taken: &Taken, now_ms: i64) -> bool {
    (0..HELD_MS).contains(&now_ms.saturating_sub(taken.since_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(shard: u64) -> Seat {
        Seat { data: DataId::from_random(1), shard: ShardId(shard), consumer: "c".into(), registered_ms: 1 }
    }

    #[test]
    fn a_seat_is_taken_over_after_five_seconds_and_not_before() {
        let subscriptions = Subscriptions::default();
        let first = subscriptions.take(seat(1), 1_000).unwrap();
        assert!(subscriptions.take(seat(1), 5_999).is_none());
        assert!(subscriptions.take(seat(2), 1_000).is_some(), "another shard is another seat");
        assert!(!first.over.is_cancelled());
        let second = subscriptions.take(seat(1), 6_000).unwrap();
        assert!(first.over.is_cancelled() && !second.over.is_cancelled());
        drop(first);
        assert!(!second.over.is_cancelled());
        drop(second);
        assert!(subscriptions.take(seat(1), 6_001).is_none(), "also one that has left holds it");
    }

    #[test]
    fn seats_that_were_left_are_forgotten() {
        let subscriptions = Subscriptions::default();
        for shard in 0..2 * PRUNE_ABOVE as u64 {
            assert!(subscriptions.take(seat(shard), shard as i64 * 1_000).is_some());
        }
        assert!(subscriptions.0.lock().len() <= PRUNE_ABOVE);
    }
}
