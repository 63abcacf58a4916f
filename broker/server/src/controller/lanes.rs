//! How a stream's lanes are kept: which part of its quota each may store.

use millrace_core::StreamConfig;
use millrace_log::LaneConfig;

/// A lane that no map names yet: the stream's retention, and an equal part of its quota among `lanes`.
pub(crate) fn new_lane(config: &StreamConfig, lanes: u16) -> LaneConfig {
    let lanes = u64::from(lanes.max(1));
    LaneConfig { max_age_s: config.retention_s, max_bytes: (config.quota_bytes / lanes).max(1) }
}

/// The most that each lane may store: what it stores now, and an equal part of what the quota leaves. So the
/// lanes together stay within the quota, and none is full while there is room: were the quota divided evenly, a
/// second lane would halve what the first may store, which may hold more already and would refuse every append.
pub(super) fn lane_limits(quota_bytes: u64, stored_bytes: &[u64]) -> Vec<u64> {
    let room = quota_bytes.saturating_sub(stored_bytes.iter().sum());
    let part = room / (stored_bytes.len() as u64).max(1);
    stored_bytes.iter().map(|stored| (stored + part).max(1)).collect()
}

/// Whether `wanted` is so far from `kept` that the log is worth a write: by an eighth of a lane's even part.
pub(super) fn differs(kept: u64, wanted: u64, quota_bytes: u64, lanes: u16) -> bool {
    kept.abs_diff(wanted) > quota_bytes / u64::from(lanes.max(1)) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_what_is_left_of_the_quota_and_never_more_than_that() {
        assert_eq!(lane_limits(1_000, &[700]), [1_000]);
        assert_eq!(lane_limits(1_000, &[700, 0]), [850, 150]);
        assert_eq!(lane_limits(1_000, &[700, 100, 80]), [740, 140, 120]);
    }

    #[test]
    fn lanes_above_the_quota_may_keep_what_they_have() {
        assert_eq!(lane_limits(1_000, &[900, 300]), [900, 300]);
        assert_eq!(lane_limits(0, &[0, 5]), [1, 5]);
    }
}
