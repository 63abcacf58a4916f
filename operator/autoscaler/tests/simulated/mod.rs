//! A stream whose reshards are finished at once, under a load that a test gives.

use millrace_autoscaler::{Decision, FloorNow, Input, LoadHistory, Policy, decide};
use millrace_core::load::{LoadWindow, ShardLoad};
use millrace_core::plan::Action;
use millrace_core::{Floor, HashKey, ShardId, ShardMap, StreamConfig};

/// The size of a record, in bytes: 128 of them a second are a shard's target.
pub(crate) const RECORD_BYTES: u32 = 8_192;

/// The policy of tests: production's, but for a shorter wait before merges, and for children that are less full, so
/// that their number shows what load was planned for.
pub(crate) fn policy() -> Policy {
    Policy { merge_after_s: 20, fill_per_mille: 600, ..Policy::of(&StreamConfig::default(), 0) }
}

/// A stream and its load.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) map: ShardMap,
    pub(crate) history: LoadHistory,
    pub(crate) policy: Policy,
    pub(crate) now_ms: i64,
    pub(crate) floor: Floor,
    /// Keys and how many records each gets a second.
    pub(crate) keys: Vec<(HashKey, u32)>,
    sequence: u64,
}

impl World {
    pub(crate) fn new(map: ShardMap, policy: Policy, keys: Vec<(HashKey, u32)>) -> World {
        let now_ms = 1_700_000_000_000;
        let (history, floor) = (LoadHistory::new(), Floor::default());
        World { map, history, policy, now_ms, floor, keys, sequence: 0 }
    }

    /// What the owners report of one second in which records are `scale` times as large.
    pub(crate) fn loads(&self, scale: f64) -> Vec<ShardLoad> {
        let mut windows: Vec<LoadWindow> = vec![LoadWindow::default(); self.map.open.len()];
        let bytes = (f64::from(RECORD_BYTES) * scale) as u32;
        let most = self.keys.iter().map(|(_, count)| *count).max().unwrap_or(0);
        for round in 0..most {
            for (key, _) in self.keys.iter().filter(|(_, count)| *count > round) {
                windows[self.map.route(*key)].record(*key, bytes);
            }
        }
        let shards = windows.iter_mut().zip(&self.map.open);
        shards
            .filter_map(|(window, shard)| window.report(shard.id, &self.policy.target, self.now_ms))
            .collect()
    }

    /// One second: reports, decision, and the reshards finished.
    pub(crate) fn second(&mut self, scale: f64) -> Decision {
        self.now_ms += 1_000;
        let loads = self.loads(scale);
        let Policy { target, merge_after_s, .. } = self.policy;
        self.policy.floor = FloorNow::at(&self.floor, self.now_ms, merge_after_s);
        self.history.observe(self.now_ms, &self.map, &target, merge_after_s, &loads);
        let decision = self.decide();
        self.apply(&decision.actions);
        decision
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input { map: &self.map, history: &self.history, policy: &self.policy, now_ms: self.now_ms }
    }

    pub(crate) fn decide(&self) -> Decision {
        decide(&self.input())
    }

    /// Plans and finishes reshards.
    pub(crate) fn apply(&mut self, actions: &[Action]) {
        self.map = self.map.plan(actions, self.now_ms).expect("what is decided can be planned");
        while let Some(parent) =
            self.map.reshards.first().map(|reshard| {
                reshard.parents.iter().find(|parent| parent.end.is_none()).expect("unfinished").id
            })
        {
            self.sequence += 1;
            self.map = self.map.close(parent, self.sequence, self.now_ms).expect("a parent is closed").map;
        }
        self.map.check().expect("the map holds together");
    }

    /// Of each shard: its load, and what its heaviest key has of it, in thousandths of the target.
    // Not every test looks at them.
    #[allow(dead_code)]
    pub(crate) fn shard_loads(&self) -> Vec<(ShardId, u64, u64)> {
        let mut loads: Vec<(ShardId, u64, u64)> =
            self.map.open.iter().map(|shard| (shard.id, 0, 0)).collect();
        for (key, count) in &self.keys {
            let (_, all, heaviest) = &mut loads[self.map.route(*key)];
            let load = u64::from(*count) * u64::from(RECORD_BYTES) * 1_000 / self.policy.target.bytes_per_s;
            *all += load;
            *heaviest = load.max(*heaviest);
        }
        loads
    }
}
