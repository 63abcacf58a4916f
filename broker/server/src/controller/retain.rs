//! Keeping lanes as they are configured, and forgetting closed shards that retention has taken.

use millrace_core::{ClosedShard, Lane, ShardMap, StreamEntry, keys};
use millrace_log::{KvError, LaneAddress, LogError};

use super::Shared;
use super::lanes::lane_config;
use super::step::StepError;

/// Gives each lane that the map names the stream's retention and its part of the quota. A lane that is not there
/// has lost its data, and is never made anew. Doing it twice changes nothing.
pub(super) async fn keep_lanes(
    shared: &Shared,
    entry: &StreamEntry,
    map: &ShardMap,
) -> Result<(), StepError> {
    let lanes = (0..map.lanes).map(Lane).map(|lane| LaneAddress { data: entry.data.clone(), lane });
    let lanes: Vec<LaneAddress> = lanes.collect();
    for lane in &lanes {
        match shared.log.lane_state(lane).await {
            Ok(_) => {}
            Err(LogError::NoLane) => {
                let stream = lane.lane.stream_name(&lane.data);
                return Err(StepError::DataLost { lane: lane.lane, stream });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let config = lane_config(&entry.config, map.lanes);
    for lane in &lanes {
        shared.log.ensure_lane(lane, &config).await?;
    }
    Ok(())
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
