//! Reshards as brokers carry them out: owners end the parents, and whoever then finds all parents ended swaps
//! the map.
//!
//! Every step is idempotent and may find its work done:
//! 1. the intent is in the map (written by the operator or by `SplitShard`);
//! 2. each parent's owner appends CLOSE — a crash before or after leaves either no CLOSE, and the next owner
//!    appends it, or one that the next owner finds as the shard's last message;
//! 3. the parent is marked in the map with its end — a crash before leaves the CLOSE to be found again;
//! 4. with the last mark, the closed shards' own entries are written — a crash after that leaves entries of
//!    shards that the map still names open, which counts;
//! 5. and in one compare-and-set the children take the parents' place.
//!
//! Nothing is ever rolled back.

use std::sync::Arc;

use millrace_core::{DataId, ShardId, keys};
use millrace_log::KvError;

use super::Inner;
use super::owner::OwnerContext;
use crate::sabotage::{self, Bug};

/// Marks a parent whose CLOSE is stored at `end`, and swaps the map if it was the last one. Done when the map
/// no longer waits for it.
///
/// # Errors
/// When the key-value store does not answer; the next look at unfinished reshards tries again.
pub(super) async fn finish(
    context: &OwnerContext,
    data: &DataId,
    shard: ShardId,
    end: u64,
) -> Result<(), KvError> {
    loop {
        let Some(known) = context.catalog.fresh_map(data).await? else { return Ok(()) };
        let map = &*known.map;
        #[cfg(feature = "sabotage")]
        let map = &sabotage::note_ends(map, end);
        let Some(closing) = map.close(shard, end, context.clock.now_ms()) else { return Ok(()) };
        for closed in closing.closed.iter().filter(|_| !sabotage::is(Bug::ForgetClosedShard)) {
            match context.kv.create(&keys::closed(data, closed.id), closed.encode().into()).await {
                // Somebody else is finishing the same reshard.
                Ok(_) | Err(KvError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        match context.kv.update(&keys::map(data), closing.map.encode().into(), known.revision).await {
            Ok(revision) => {
                context.catalog.wrote_map(data, closing.map, revision);
                return Ok(());
            }
            // Another change came first, or this one may have landed: look again.
            Err(KvError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Asks the owners of parents, as far as they live here, to end them: whenever a map or the membership changes,
/// and now and then in case a try has failed.
pub(super) async fn watch(broker: Arc<Inner>) {
    let mut maps = broker.context.catalog.changes();
    let mut members = broker.members.changes();
    let mut ticks = tokio::time::interval(broker.context.settings.reshards_every);
    loop {
        tokio::select! {
            biased;
            () = maps.changed() => {}
            () = members.changed() => {}
            _ = ticks.tick() => {}
        }
        for (data, map) in broker.context.catalog.resharding() {
            for reshard in &map.reshards {
                for parent in reshard.parents.iter().filter(|parent| parent.end.is_none()) {
                    if let Some(open) = map.get(parent.id)
                        && broker.members.is_mine(&data, parent.id)
                    {
                        broker.owned(&data, open.lane, parent.id).close();
                    }
                }
            }
        }
    }
}
