//! What the autoscaler aims at.

use millrace_core::load::Target;
use millrace_core::map::MAX_OPEN_SHARDS;
use millrace_core::{CapacityMode, StreamConfig};

use crate::floor::FloorNow;

/// What the autoscaler aims at, for one stream at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Who decides how many shards there are.
    pub mode: CapacityMode,
    /// Provisioned: how many shards there shall be.
    pub shards: u32,
    /// Provisioned: whether that number was asked for and is not reached yet.
    pub rescale: bool,
    /// OnDemand: the fewest shards that are left.
    pub min_shards: u32,
    /// OnDemand: the most shards that are made.
    pub max_shards: u32,
    /// OnDemand: what the floor asks for at this time.
    pub floor: FloorNow,
    /// What one shard shall carry.
    pub target: Target,
    /// A shard above its target for so long is split, in seconds; one that throttles, at once.
    pub split_after_s: u32,
    /// What a child of a split is to carry, in thousandths of the target. Between this and 1,000 lies the room
    /// for growth and noise while the next split is under way.
    pub fill_per_mille: u32,
    /// Two neighbours are merged if they stay below this together, in thousandths of the target. As far below what
    /// a split is at as noise reaches, since it is their highest second that counts.
    pub merge_below_per_mille: u32,
    /// … for so long at least, in seconds; and for up to twelve times as long, as load has taught. No longer, since by
    /// then the idle shard has cost about what the two reshards do that keeping it saves.
    pub merge_after_s: u32,
    /// The most children of one split.
    pub max_children: u32,
    /// The most reshards under way at a time, in OnDemand.
    pub max_reshards: u32,
}

impl Policy {
    /// The policy that a stream's configuration asks for at `now_ms` (Unix milliseconds); what that leaves open is as
    /// production runs.
    pub fn of(config: &StreamConfig, now_ms: i64) -> Policy {
        let most = MAX_OPEN_SHARDS as u32;
        let min_shards = config.min_shards.clamp(1, most);
        Policy {
            mode: config.mode,
            shards: config.shards.clamp(1, most),
            rescale: config.rescale,
            min_shards,
            max_shards: config.max_shards.clamp(min_shards, most),
            floor: FloorNow::at(&config.floor, now_ms, config.merge_after_s),
            target: Target {
                bytes_per_s: config.target_bytes_per_s.max(1),
                records_per_s: config.target_records_per_s.max(1),
            },
            split_after_s: 2,
            fill_per_mille: 800,
            merge_below_per_mille: 650,
            merge_after_s: config.merge_after_s,
            max_children: 32,
            max_reshards: 64,
        }
    }

    /// The fewest shards there are to be: by the bounds or by the floor.
    pub(crate) fn least(&self) -> u32 {
        self.at_least(self.floor.asks.as_ref().map_or(0, |asks| asks.window.shards))
    }

    /// The fewest shards that merges leave.
    pub(crate) fn least_kept(&self) -> u32 {
        self.at_least(self.floor.keep)
    }

    fn at_least(&self, floor: u32) -> u32 {
        self.min_shards.max(floor.min(self.max_shards))
    }
}
