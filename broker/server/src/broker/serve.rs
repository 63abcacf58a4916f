//! Answering other brokers.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use millrace_core::map::StoredFormatError;

use super::Inner;
use super::owned::{Incoming, Outcome};
use super::peers::{self, AppendGroup, PeerRequest};

/// Answers one request. What it asks for is done here or not at all: nothing is passed on a second time.
pub(super) async fn serve(broker: &Arc<Inner>, request: Bytes) -> Result<Bytes, StoredFormatError> {
    match peers::read_request(request)? {
        PeerRequest::Append(groups) => {
            let outcomes = join_all(groups.into_iter().map(|group| append(broker, group))).await;
            Ok(peers::append_answer(outcomes))
        }
        PeerRequest::Tail { data, shard, from, max_bytes, wait } => {
            let known = broker.context.catalog.map(&data);
            let lane = known.and_then(|known| known.map.get(shard).map(|open| open.lane));
            let view = match lane {
                Some(lane) if broker.members.is_mine(&data, shard) => {
                    let owned = broker.owned(&data, lane, shard);
                    owned.tail_beyond(from, max_bytes as usize, wait).await
                }
                _ => None,
            };
            Ok(peers::tail_answer(view.as_ref()))
        }
    }
}

async fn append(broker: &Arc<Inner>, group: AppendGroup) -> Vec<Outcome> {
    let AppendGroup { data, shard, records } = group;
    let indices: Vec<u32> = (0..records.len() as u32).collect();
    match broker.context.catalog.stream_of(&data) {
        Some(stream) => {
            let incoming = Arc::new(Incoming::new(records));
            broker.append_here(&stream, shard, incoming, indices).await
        }
        None => vec![Outcome::NotOwner; indices.len()],
    }
}
