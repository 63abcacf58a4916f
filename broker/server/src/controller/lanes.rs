//! How a stream's lanes are kept.

use millrace_core::StreamConfig;
use millrace_log::LaneConfig;

/// How each of a stream's `lanes` is kept: for its retention, and with an equal part of its quota. Where a lane
/// holds more than its part when lanes are added, nothing is removed: it refuses appends until it holds less.
pub(crate) fn lane_config(config: &StreamConfig, lanes: u16) -> LaneConfig {
    let lanes = u64::from(lanes.max(1));
    LaneConfig { max_age_s: config.retention_s, max_bytes: (config.quota_bytes / lanes).max(1) }
}
