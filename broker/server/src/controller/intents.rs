//! Writing splits and merges into a shard map: what the controller decides, and what SplitShard asks for.

use std::time::Duration;

use millrace_core::map::StoredFormatError;
use millrace_core::plan::{Action, PlanError};
use millrace_core::{ClosedShard, DataId, Lane, Reshard, ShardMap, StreamEntry, keys};
use millrace_log::{Kv, KvError, LaneAddress, Log, LogError};

use super::lanes::new_lane;
use crate::broker::ControlError;
use crate::clock::Clock;

/// How often one call tries, with pauses that double from [`FIRST_PAUSE`].
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// A map that holds the intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The map as it is in KV.
    pub map: ShardMap,
    /// Its revision there.
    pub revision: u64,
}

/// Why intents were not written. Nothing has changed then, but for `Unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    /// The shards do not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The stream has no map: it is being made or removed.
    #[error("the stream of data {0} has no shard map yet, or no longer")]
    NoMap(DataId),
    /// The map can't be read.
    #[error("the shard map of data {0}: {1}")]
    Unreadable(DataId, StoredFormatError),
    /// No answer in time; it may have been done.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
}

impl From<IntentError> for ControlError {
    fn from(error: IntentError) -> ControlError {
        match error {
            IntentError::Plan(error) => ControlError::Plan(error),
            IntentError::NoMap(data) => ControlError::NotActive(data.to_string()),
            error @ (IntentError::Unreadable(..) | IntentError::Unavailable(_)) => {
                ControlError::Unavailable(error.to_string())
            }
        }
    }
}

impl From<KvError> for IntentError {
    fn from(error: KvError) -> IntentError {
        IntentError::Unavailable(error.to_string())
    }
}

impl From<LogError> for IntentError {
    fn from(error: LogError) -> IntentError {
        IntentError::Unavailable(error.to_string())
    }
}

/// Writes the intents of `actions` into the stream's map; all of them or none. The owners carry them out.
///
/// Each step may be the last one before a crash, and the call may be made again:
/// 1. lanes that the next map counts are made — one that no map names yet is empty, and is found or made by the
///    next call that needs it, or removed with the stream;
/// 2. the map is written by compare-and-set — after that the intent stands and the owners find it.
///
/// A write in doubt is settled by reading the map again: the reshards of each try are known by their epoch and
/// their children, which no other write can have given out in the same way unless it decided the same.
///
/// # Errors
/// See [`IntentError`].
pub async fn apply_actions(
    log: &dyn Log,
    kv: &dyn Kv,
    clock: &dyn Clock,
    entry: &StreamEntry,
    actions: &[Action],
) -> Result<Written, IntentError> {
    let data = &entry.data;
    let mut doubts: Vec<Vec<Reshard>> = Vec::new();
    let mut pause = FIRST_PAUSE;
    let mut why = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let (map, revision) = match read_map(kv, data).await {
            Ok(Some(found)) => found,
            Ok(None) => return Err(IntentError::NoMap(data.clone())),
            // Nothing is settled before the map is read.
            Err(IntentError::Unavailable(error)) => {
                why = error;
                continue;
            }
            Err(error) => return Err(error),
        };
        match landed(kv, data, &map, &doubts).await {
            Ok(true) => return Ok(Written { map, revision }),
            Ok(false) => {}
            Err(error) => {
                why = error.to_string();
                continue;
            }
        }
        #[cfg_attr(not(feature = "sabotage"), expect(unused_mut))]
        let mut next = map.plan(actions, clock.now_ms())?;
        #[cfg(feature = "sabotage")]
        crate::sabotage::spoil(&mut next);
        let made = make_lanes(log, entry, map.lanes, next.lanes).await;
        if let Err(error) = made {
            why = error.to_string();
            continue;
        }
        match kv.update(&keys::map(data), next.encode().into(), revision).await {
            Ok(revision) => return Ok(Written { map: next, revision }),
            // A conflict is a doubt too: a leader that was deposed may tell of one while the true one writes.
            Err(error) => {
                why = error.to_string();
                doubts.push(next.reshards[map.reshards.len()..].to_vec());
            }
        }
    }
    Err(IntentError::Unavailable(why))
}

/// A stream's map and its revision, from the leader.
///
/// # Errors
/// When there is no answer, or the map can't be read.
pub(super) async fn read_map(kv: &dyn Kv, data: &DataId) -> Result<Option<(ShardMap, u64)>, IntentError> {
    let Some(found) = kv.get(&keys::map(data)).await? else { return Ok(None) };
    match ShardMap::decode(&found.value) {
        Ok(map) => Ok(Some((map, found.revision))),
        Err(error) => Err(IntentError::Unreadable(data.clone(), error)),
    }
}

/// Makes the lanes `from .. to` of a stream, or finds them made.
pub(super) async fn make_lanes(
    log: &dyn Log,
    entry: &StreamEntry,
    from: u16,
    to: u16,
) -> Result<(), LogError> {
    let config = new_lane(&entry.config, to);
    for lane in (from..to).map(Lane) {
        log.ensure_lane(&LaneAddress { data: entry.data.clone(), lane }, &config).await?;
    }
    Ok(())
}

/// Whether one of the tries in doubt is in the map, or has been.
async fn landed(
    kv: &dyn Kv,
    data: &DataId,
    map: &ShardMap,
    doubts: &[Vec<Reshard>],
) -> Result<bool, KvError> {
    for tried in doubts {
        let Some(first) = tried.first() else { continue };
        // A write holds all of a try's reshards or none.
        if map.next_epoch > first.epoch && has(kv, data, map, first).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the map's history holds this reshard: unfinished, or with its children open, or closed since.
async fn has(kv: &dyn Kv, data: &DataId, map: &ShardMap, reshard: &Reshard) -> Result<bool, KvError> {
    let parents = |of: &Reshard| of.parents.iter().map(|parent| parent.id).collect::<Vec<_>>();
    if let Some(other) = map.reshards.iter().find(|other| other.epoch == reshard.epoch) {
        return Ok(other.children == reshard.children && parents(other) == parents(reshard));
    }
    for child in &reshard.children {
        let same = if let Some(open) = map.get(child.id) {
            open.epoch == reshard.epoch && open.start == child.start
        } else if let Some(found) = kv.get(&keys::closed(data, child.id)).await? {
            ClosedShard::decode(&found.value)
                .is_ok_and(|closed| closed.epoch == reshard.epoch && closed.range.start == child.start)
        } else {
            false
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
