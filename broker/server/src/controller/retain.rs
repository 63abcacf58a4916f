//! Keeping lanes as they are configured, and forgetting closed shards that retention has taken.

use millrace_core::{ClosedShard, Lane, ShardMap, StreamConfig, StreamEntry, keys};
use millrace_log::{KvError, LaneAddress, LaneConfig, LogError};

use super::Shared;
use super::lanes::{differs, lane_limits};
use super::step::StepError;

/// How a stream's lanes were last put into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptLanes {
    retention_s: u64,
    quota_bytes: u64,
    max_bytes: Vec<u64>,
}

impl KeptLanes {
    /// Whether the lanes are as the stream's configuration and map ask for.
    pub(super) fn are_of(&self, config: &StreamConfig, lanes: u16) -> bool {
        let asked = (config.retention_s, config.quota_bytes, usize::from(lanes));
        (self.retention_s, self.quota_bytes, self.max_bytes.len()) == asked
    }
}

/// Gives each lane that the map names the stream's retention and its part of the quota. A lane that is not there
/// has lost its data, and is never made anew. Doing it twice changes nothing, and lanes that are nearly right
/// (`kept`) are left as they are.
pub(super) async fn keep_lanes(
    shared: &Shared,
    entry: &StreamEntry,
    map: &ShardMap,
    kept: Option<&KeptLanes>,
) -> Result<KeptLanes, StepError> {
    let StreamConfig { retention_s, quota_bytes, .. } = entry.config;
    let lanes = (0..map.lanes).map(Lane).map(|lane| LaneAddress { data: entry.data.clone(), lane });
    let lanes: Vec<LaneAddress> = lanes.collect();
    let mut stored_bytes = Vec::with_capacity(lanes.len());
    for lane in &lanes {
        match shared.log.lane_state(lane).await {
            Ok(state) => stored_bytes.push(state.bytes),
            Err(LogError::NoLane) => {
                let stream = lane.lane.stream_name(&lane.data);
                return Err(StepError::DataLost { lane: lane.lane, stream });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut max_bytes = lane_limits(quota_bytes, &stored_bytes);
    let kept = kept.filter(|kept| kept.are_of(&entry.config, map.lanes));
    for (index, lane) in lanes.iter().enumerate() {
        match kept.map(|kept| kept.max_bytes[index]) {
            Some(before) if !differs(before, max_bytes[index], quota_bytes, map.lanes) => {
                max_bytes[index] = before;
            }
            _ => {
                let config = LaneConfig { max_age_s: retention_s, max_bytes: max_bytes[index] };
                shared.log.ensure_lane(lane, &config).await?;
            }
        }
    }
    Ok(KeptLanes { retention_s, quota_bytes, max_bytes })
}

/// Removes the entries of closed shards whose retention has passed and whose last message is gone from its lane.
/// An entry that was removed in vain would be missed by readers, so both must hold; one that is left is found by
/// the next sweep.
pub(super) async fn forget_closed(shared: &Shared, entry: &StreamEntry) -> Result<(), StepError> {
    let now_ms = shared.clock.now_ms();
    let retention_ms = i64::try_from(entry.config.retention_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    for found in shared.kv.list(&keys::closed_of(&entry.data)).await? {
        let closed = ClosedShard::decode(&found.value)?;
        if closed.closed_ms.saturating_add(retention_ms) >= now_ms {
            continue;
        }
        let lane = LaneAddress { data: entry.data.clone(), lane: closed.lane };
        if shared.log.lane_state(&lane).await?.first <= closed.end {
            continue;
        }
        match shared.kv.delete(&found.key, Some(found.revision)).await {
            Ok(()) | Err(KvError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
