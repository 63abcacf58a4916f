//! What a run costs: one number for shards that were open, reshards, and records that found no room.

/// c: what a reshard costs, in shard-hours. Its writers wait for some hundredths of a second, but each consumer has to
/// come to the parent's end, lease the children and start on them, and the closed shard is listed and looked after
/// until retention has taken it. One shard-hour is also the least that a shard costs where shards are billed by the
/// hour (Amazon Kinesis Data Streams pricing, provisioned mode).
pub const RESHARD_COST_SHARD_HOURS: f64 = 1.0;

/// p: what a throttled record costs, in shard-hours: a hundred times what it costs to carry it in a full shard of 1,000
/// records a second.
pub const THROTTLED_RECORD_COST_SHARD_HOURS: f64 = 100.0 / 3_600_000.0;

/// What a run costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Open shards, summed over time.
    pub shard_hours: f64,
    /// Splits and merges.
    pub reshards: f64,
    /// Records beyond what shards carry, but for what single keys have beyond it. Counted without the second's worth
    /// that a shard takes at once after it was calm, so that no policy's cost is below the oracle's.
    pub throttled_records: f64,
}

impl Cost {
    /// shard-hours + c × reshards + p × records.
    pub fn total(&self) -> f64 {
        self.shard_hours
            + RESHARD_COST_SHARD_HOURS * self.reshards
            + THROTTLED_RECORD_COST_SHARD_HOURS * self.throttled_records
    }
}
