//! Millrace itself: the controller's own `decide()`, on reports as brokers make them.

use std::collections::HashMap;

use millrace_autoscaler::{Input, LoadHistory, Policy, decide};
use millrace_core::load::{CutPoint, DETAIL_ABOVE_PER_MILLE, HeavyKey, ShardLoad};
use millrace_core::plan::Action;
use millrace_core::{ShardId, StreamConfig};

use super::{Scaler, Seen};
use crate::run::TARGET;

/// The size of a record, in bytes: a shard's two targets are reached at about the same time.
const RECORD_BYTES: u64 = 1_024;

pub(super) struct Millrace {
    config: StreamConfig,
    history: LoadHistory,
    /// What a hot shard's reports say of where its load lies: drawn once for each shard and key set.
    sketches: HashMap<(ShardId, usize), (Vec<HeavyKey>, Vec<CutPoint>)>,
    next_look_s: u64,
}

impl Millrace {
    pub(super) fn new(config: StreamConfig) -> Millrace {
        Millrace { config, history: LoadHistory::new(), sketches: HashMap::new(), next_look_s: 0 }
    }

    fn reports(&mut self, seen: &Seen<'_>) -> Vec<ShardLoad> {
        let map = seen.map();
        let mut reports = Vec::with_capacity(map.open.len());
        for (index, (shard, carried)) in map.open.iter().zip(seen.carried()).enumerate() {
            let stored = carried.offered - carried.refused;
            let mut report = ShardLoad {
                shard: shard.id,
                bytes_per_s: (stored * RECORD_BYTES as f64).round() as u64,
                records_per_s: stored.round() as u64,
                throttled_per_s: carried.refused.round() as u64,
                read_bytes_per_s: 0,
                heavy: Vec::new(),
                cuts: Vec::new(),
            };
            let hot = report.throttled_per_s > 0 || report.per_mille(&TARGET) > DETAIL_ABOVE_PER_MILLE;
            if hot && seen.stream.share(index) > 0.0 {
                let sketch = self.sketches.entry((shard.id, seen.key_set));
                let seed = seen.seed ^ (shard.id.0 << 20);
                let sketch = sketch.or_insert_with(|| seen.keys.sketch(map.range(index), &TARGET, seed));
                (report.heavy, report.cuts) = sketch.clone();
            }
            reports.push(report);
        }
        reports
    }
}

impl Scaler for Millrace {
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action> {
        if self.sketches.len() > 10_000 {
            self.sketches.clear();
        }
        let reports = self.reports(seen);
        let now_ms = seen.now_s as i64 * 1_000;
        let map = seen.map();
        let start_ms = seen.start_s * 1_000;
        let policy = Policy { target: TARGET, ..Policy::of(&self.config, start_ms + now_ms) };
        self.history.observe(now_ms, map, &TARGET, policy.merge_after_s, &reports);
        let decision = decide(&Input { map, history: &self.history, policy: &policy, now_ms });
        let quiet_until_ms = self.history.quiet_until_ms(now_ms, policy.merge_after_s);
        let quiet_until_ms = quiet_until_ms.min(policy.floor.until_ms - start_ms);
        self.next_look_s = quiet_until_ms.unsigned_abs().div_ceil(1_000).max(seen.now_s + 1);
        decision.actions
    }

    fn next_look_s(&self, _: u64) -> u64 {
        self.next_look_s
    }
}
