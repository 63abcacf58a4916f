//! Which brokers are alive, and which of them owns a shard.
//!
//! Ownership is for speed: two brokers that disagree about it hinder but never harm each other, since every
//! append is conditional.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millrace_core::{BrokerId, DataId, ShardId};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::changes::{Changed, Changes};

/// A broker that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The run of its process.
    pub id: BrokerId,
    /// Where other brokers reach it.
    pub address: String,
}

/// The brokers that this one believes alive, itself among them until it stops.
pub(crate) struct Members {
    me: Member,
    alive_for: Duration,
    state: RwLock<BTreeMap<BrokerId, (String, Instant)>>,
    leaving: AtomicBool,
    changed: Changed,
}

impl Members {
    pub(crate) fn new(me: Member, alive_for: Duration) -> Members {
        Members {
            me,
            alive_for,
            state: RwLock::default(),
            leaving: AtomicBool::new(false),
            changed: Changed::default(),
        }
    }

    /// Notes a beat.
    pub(crate) fn seen(&self, id: BrokerId, address: &str) {
        let mut state = self.state.write();
        let known = state.insert(id, (address.to_owned(), Instant::now()));
        // One that was silent for too long was given up, even if `expire` has not come by in between: its shards
        // have moved, and now they move back.
        if known.is_none_or(|(before, at)| before != address || at.elapsed() >= self.alive_for) {
            self.changed.note();
        }
    }

    /// Notes that a broker has stopped.
    pub(crate) fn gone(&self, id: BrokerId) {
        if self.state.write().remove(&id).is_some() {
            self.changed.note();
        }
    }

    /// Forgets brokers that have not beaten for too long.
    pub(crate) fn expire(&self) {
        let mut state = self.state.write();
        let before = state.len();
        state.retain(|_, (_, at)| at.elapsed() < self.alive_for);
        if state.len() != before {
            self.changed.note();
        }
    }

    /// From now on this broker owns nothing.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.changed.note();
    }

    /// Whether this broker is about to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Counts the changes of who is alive.
    pub(crate) fn changes(&self) -> Changes {
        self.changed.subscribe()
    }

    /// Who owns a shard now: the live broker with the highest weight for it (rendezvous hashing, Thaler and
    /// Ravishankar 1998), so that a change of members moves only the shards that it must. `None` when this
    /// broker is leaving and knows of no other.
    pub(crate) fn owner(&self, data: &DataId, shard: ShardId) -> Option<Member> {
        let key = fnv1a(data.as_str().as_bytes()) ^ mix(shard.0);
        let weight = |id: BrokerId| (mix(id.0 ^ key), id);
        let state = self.state.read();
        let others = state.iter().filter(|(id, (_, at))| **id != self.me.id && at.elapsed() < self.alive_for);
        let best = others.max_by_key(|(id, _)| weight(**id));
        let mine = (!self.is_leaving()).then(|| weight(self.me.id));
        match best {
            Some((id, (address, _))) if mine.is_none_or(|mine| weight(*id) > mine) => {
                Some(Member { id: *id, address: address.clone() })
            }
            _ => mine.map(|_| self.me.clone()),
        }
    }

    /// How many other brokers are alive.
    pub(crate) fn peers(&self) -> usize {
        let state = self.state.read();
        state.iter().filter(|(id, (_, at))| **id != self.me.id && at.elapsed() < self.alive_for).count()
    }

    /// Whether this broker owns the shard, as far as it knows.
    pub(crate) fn is_mine(&self, data: &DataId, shard: ShardId) -> bool {
        self.owner(data, shard).is_some_and(|owner| owner.id == self.me.id)
    }

    /// This broker.
    pub(crate) fn me(&self) -> &Member {
        &self.me
    }
}

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finalizer of SplitMix64. All brokers must agree on this function.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(me: u64, others: &[u64]) -> Members {
        let me = Member { id: BrokerId(me), address: format!("b{me}") };
        let members = Members::new(me, Duration::from_secs(3));
        for other in others {
            members.seen(BrokerId(*other), &format!("b{other}"));
        }
        members
    }

    #[tokio::test(start_paused = true)]
    async fn brokers_with_the_same_view_agree_and_share_shards_evenly() {
        let views = [members(1, &[2, 3]), members(2, &[1, 3]), members(3, &[1, 2])];
        let data = DataId::from_random(5);
        let mut counts = BTreeMap::new();
        for shard in (0..3_000).map(ShardId) {
            let owners: Vec<_> = views.iter().map(|view| view.owner(&data, shard)).collect();
            assert!(owners.iter().all(|owner| *owner == owners[0]));
            *counts.entry(owners[0].clone().map(|owner| owner.id)).or_insert(0) += 1;
        }
        assert!(counts.values().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_gone_loses_its_shards_and_only_those_move() {
        let view = members(1, &[2, 3]);
        let data = DataId::from_random(5);
        let before: Vec<_> = (0..300).map(|n| view.owner(&data, ShardId(n)).unwrap().id).collect();
        view.gone(BrokerId(3));
        for (n, owner) in before.iter().enumerate() {
            let now = view.owner(&data, ShardId(n as u64)).unwrap().id;
            assert!(now == *owner || *owner == BrokerId(3));
        }
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!((0..300).all(|n| view.is_mine(&data, ShardId(n))));
        view.leave();
        assert_eq!(view.owner(&data, ShardId(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_comes_back_before_it_is_forgotten_is_a_change() {
        let view = members(1, &[2]);
        let mut changes = view.changes();
        let mut changed = async || tokio::time::timeout(Duration::ZERO, changes.changed()).await.is_ok();
        changed().await;
        view.seen(BrokerId(2), "b2");
        assert!(!changed().await, "it was never away");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!((0..300).all(|n| view.is_mine(&DataId::from_random(5), ShardId(n))));
        view.seen(BrokerId(2), "b2");
        assert!(changed().await, "its shards move back");
    }
}
