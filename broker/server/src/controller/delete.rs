//! Removing what a stream consists of: the map, the attributes, the lanes, the closed shards' entries, then the
//! stream's own.

use millrace_core::lane::MAX_LANES;
use millrace_core::{DataId, Lane, StreamEntry, keys};
use millrace_log::{KvError, LaneAddress};

use super::step::StepError;
use super::{Shared, TendedStream};

/// Removes a stream that is `Deleting`. The entry goes last and alone says that there is something to remove: a
/// crash at any step leaves it, and the next try does every step again.
pub(super) async fn delete(
    shared: &Shared,
    stream: &TendedStream,
    entry: &StreamEntry,
    revision: u64,
) -> Result<(), StepError> {
    remove_data(shared, &entry.data).await?;
    match shared.kv.delete(&stream.key, Some(revision)).await {
        Ok(()) => {
            tracing::info!(
                namespace = stream.namespace,
                stream = stream.name,
                "the stream and its data are gone"
            );
            Ok(())
        }
        // Changed meanwhile, which the watch tells.
        Err(KvError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a stream's map, attributes, lanes and closed shards. Each of these may be gone already.
///
/// The map goes first, so that owners stop and finish no reshard into what is being removed. The lanes are not
/// taken from it then: all that there can be are removed, which also finds one that was made for a map which was
/// never written.
pub(super) async fn remove_data(shared: &Shared, data: &DataId) -> Result<(), StepError> {
    shared.kv.delete(&keys::map(data), None).await?;
    shared.kv.delete(&keys::attributes(data), None).await?;
    for lane in (0..MAX_LANES).map(Lane) {
        shared.log.delete_lane(&LaneAddress { data: data.clone(), lane }).await?;
    }
    for closed in shared.kv.list(&keys::closed_of(data)).await? {
        shared.kv.delete(&closed.key, None).await?;
    }
    Ok(())
}
