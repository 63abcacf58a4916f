//! Which lane a new shard is stored in.
//!
//! A lane carries about 8 MB/s of small packs: few lanes share fsyncs, but whoever reads one shard from a wide
//! lane reads past all the others. So there is one lane for each eight open shards, up to sixteen.

use crate::id::Lane;
use crate::map::ShardMap;

/// How many open shards share a lane before another is due.
pub const SHARDS_PER_LANE: usize = 8;

/// The most lanes that a stream has. Beyond 128 shards lanes grow wider instead: each is a JetStream stream,
/// and what a server can carry of those is bounded.
pub const MAX_LANES: u16 = 16;

impl ShardMap {
    /// Lanes for `count` shards about to be made: first those that are due by then, else the one that the
    /// fewest shards use. Counts new lanes in [`ShardMap::lanes`]: they have to exist before the map is
    /// written.
    pub(crate) fn assign_lanes(&mut self, count: usize) -> Vec<Lane> {
        let children = self.reshards.iter().flat_map(|r| r.children.iter().map(|child| child.lane));
        let mut used = vec![0_usize; usize::from(MAX_LANES)];
        for lane in self.open.iter().map(|shard| shard.lane).chain(children) {
            used[usize::from(lane.0)] += 1;
        }
        let due = (self.open.len() + count).div_ceil(SHARDS_PER_LANE).clamp(1, usize::from(MAX_LANES));
        self.lanes = self.lanes.max(due as u16);
        (0..count)
            .map(|_| {
                let lanes = 0..self.lanes;
                let lane = lanes.min_by_key(|lane| used[usize::from(*lane)]).unwrap_or(0);
                used[usize::from(lane)] += 1;
                Lane(lane)
            })
            .collect()
    }
}
