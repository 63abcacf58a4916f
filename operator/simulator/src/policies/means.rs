//! What shards carried on average since somebody last looked, as metrics of a minute tell it.

use std::collections::HashMap;

use millrace_core::ShardId;

use super::Seen;

#[derive(Debug, Default)]
pub(super) struct Means {
    /// Of each shard: records offered, and over how many seconds.
    sums: HashMap<ShardId, (f64, u64)>,
}

impl Means {
    pub(super) fn add(&mut self, seen: &Seen<'_>) {
        for (shard, carried) in seen.map().open.iter().zip(seen.carried()) {
            let (records, seconds) = self.sums.entry(shard.id).or_default();
            *records += carried.offered * seen.seconds as f64;
            *seconds += seen.seconds;
        }
    }

    /// Records a second of each open shard in the map's order, and begins anew.
    pub(super) fn take(&mut self, seen: &Seen<'_>) -> Vec<f64> {
        let sums = std::mem::take(&mut self.sums);
        let mean = |id: &ShardId| sums.get(id).map_or(0.0, |(records, seconds)| records / *seconds as f64);
        seen.map().open.iter().map(|shard| mean(&shard.id)).collect()
    }
}
