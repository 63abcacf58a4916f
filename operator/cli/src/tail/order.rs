//! Which shards may be read by now: a child only when all of its parents that are being read have ended, so
//! that each key's records come in their order. Pure.

use std::collections::BTreeMap;

use millrace_core::ShardId;

use crate::lineage::Shard;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Reading { idle: bool },
    Ended,
}

/// The shards that are read, and how far each has come.
pub(super) struct Order {
    shards: BTreeMap<ShardId, (Vec<ShardId>, State)>,
}

impl Order {
    /// Begins with these shards.
    pub(super) fn new(shards: &[Shard]) -> Order {
        let known = |shard: &Shard| (shard.id, (shard.parents.clone(), State::Waiting));
        Order { shards: shards.iter().map(known).collect() }
    }

    /// Takes up the descendants of the shards it knows.
    pub(super) fn add(&mut self, shards: &[Shard]) {
        let mut new: Vec<&Shard> =
            shards.iter().filter(|shard| !self.shards.contains_key(&shard.id)).collect();
        // A child has a greater number than its parents.
        new.sort_by_key(|shard| shard.id);
        for shard in new {
            if shard.parents.iter().any(|parent| self.shards.contains_key(parent)) {
                self.shards.insert(shard.id, (shard.parents.clone(), State::Waiting));
            }
        }
    }

    /// The shards whose turn has come. They count as being read from now on.
    pub(super) fn start_ready(&mut self) -> Vec<ShardId> {
        let ended = |id: &ShardId| self.shards.get(id).is_none_or(|(_, state)| *state == State::Ended);
        let ready: Vec<ShardId> = self
            .shards
            .iter()
            .filter(|(_, (parents, state))| *state == State::Waiting && parents.iter().all(ended))
            .map(|(id, _)| *id)
            .collect();
        for id in &ready {
            self.set(*id, State::Reading { idle: false });
        }
        ready
    }

    /// A shard gave records.
    pub(super) fn busy(&mut self, shard: ShardId) {
        self.set(shard, State::Reading { idle: false });
    }

    /// A shard had nothing more just now.
    pub(super) fn idle(&mut self, shard: ShardId) {
        self.set(shard, State::Reading { idle: true });
    }

    /// A shard was read to its end.
    pub(super) fn ended(&mut self, shard: ShardId) {
        self.set(shard, State::Ended);
    }

    /// Whether nothing more was to be had from any shard when it was last asked.
    pub(super) fn all_idle(&self) -> bool {
        self.shards.values().all(|(_, state)| matches!(state, State::Ended | State::Reading { idle: true }))
    }

    fn set(&mut self, shard: ShardId, state: State) {
        if let Some((_, present)) = self.shards.get_mut(&shard) {
            *present = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::HashRange;

    fn shard(id: u64, parents: &[u64]) -> Shard {
        let parents = parents.iter().copied().map(ShardId).collect();
        Shard { id: ShardId(id), parents, range: HashRange::FULL, open: true }
    }

    #[test]
    fn a_child_waits_for_all_of_its_parents() {
        let mut order = Order::new(&[shard(0, &[]), shard(1, &[]), shard(2, &[0, 1])]);
        assert_eq!(order.start_ready(), [ShardId(0), ShardId(1)]);
        order.ended(ShardId(0));
        assert_eq!(order.start_ready(), []);
        order.ended(ShardId(1));
        assert_eq!(order.start_ready(), [ShardId(2)]);
        assert_eq!(order.start_ready(), [], "a shard is started once");
    }

    #[test]
    fn a_parent_that_is_not_read_is_not_waited_for() {
        let mut order = Order::new(&[shard(7, &[3])]);
        assert_eq!(order.start_ready(), [ShardId(7)]);
    }

    #[test]
    fn descendants_are_taken_up_and_strangers_are_not() {
        let mut order = Order::new(&[shard(5, &[])]);
        order.start_ready();
        order.ended(ShardId(5));
        order.add(&[shard(4, &[]), shard(8, &[6]), shard(6, &[5]), shard(7, &[5])]);
        assert_eq!(order.start_ready(), [ShardId(6), ShardId(7)]);
        order.ended(ShardId(6));
        assert_eq!(order.start_ready(), [ShardId(8)], "a child of a child that is known by now");
    }

    #[test]
    fn all_are_idle_only_when_none_waits_or_has_just_given_records() {
        let mut order = Order::new(&[shard(0, &[]), shard(1, &[0])]);
        order.start_ready();
        order.idle(ShardId(0));
        assert!(!order.all_idle(), "shard 1 waits");
        order.ended(ShardId(0));
        order.start_ready();
        assert!(!order.all_idle());
        order.idle(ShardId(1));
        assert!(order.all_idle());
        order.busy(ShardId(1));
        assert!(!order.all_idle());
    }
}
