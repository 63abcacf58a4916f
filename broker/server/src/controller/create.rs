//! Making what a stream consists of: lanes, then the map, then `Active`.

use millrace_core::{ShardMap, StreamEntry, StreamState, keys};
use millrace_log::KvError;

use super::delete::remove_data;
use super::intents::{make_lanes, read_map};
use super::step::StepError;
use super::{Shared, TendedStream};

/// Takes a stream from `Creating` to `Active`. A crash after
/// 1. some of the lanes: they are empty, and are found made by the next try;
/// 2. the map: the next try finds it and makes no lane, since a lane that a map names may hold data;
/// 3. `Active`: nothing is left to do.
pub(super) async fn create(
    shared: &Shared,
    stream: &TendedStream,
    entry: &StreamEntry,
    revision: u64,
) -> Result<(), StepError> {
    let Shared { log, kv, clock, .. } = shared;
    let mut made_map = false;
    if read_map(&**kv, &entry.data).await?.is_none() {
        let map = ShardMap::new(entry.config.shards.max(1), clock.now_ms());
        make_lanes(&**log, entry, 0, map.lanes).await?;
        match kv.create(&keys::map(&entry.data), map.encode().into()).await {
            Ok(_) => made_map = true,
            // Another controller has made the same.
            Err(KvError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let active = StreamEntry { state: StreamState::Active, ..entry.clone() };
    match kv.update(&stream.key, active.encode().into(), revision).await {
        Ok(_) => {
            tracing::info!(
                namespace = stream.namespace,
                stream = stream.name,
                shards = entry.config.shards,
                "the stream is active"
            );
            Ok(())
        }
        Err(KvError::Conflict) => {
            // Somebody has changed the entry, which the watch tells. If that was a removal which passed the map
            // before this made it, nobody else would remove what was made here: nothing was ever stored in it.
            let now = kv.get(&stream.key).await?;
            let now = now.map(|found| StreamEntry::decode(&found.value)).transpose()?;
            let lives = now.is_some_and(|now| now.data == entry.data && now.state != StreamState::Deleting);
            if made_map && !lives {
                remove_data(shared, &entry.data).await?;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
