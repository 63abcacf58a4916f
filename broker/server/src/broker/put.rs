//! Appending what a request brings: each record to the shard that its hash key belongs to, wherever that is
//! owned, through changes of owner and reshards.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use millrace_core::{BrokerId, Record, SequenceNumber, ShardId, ShardMap};
use tokio::time::{Instant, timeout_at};

use super::members::Member;
use super::owned::{Incoming, Outcome};
use super::peers::{self, PeerError};
use super::{Inner, Placed, PutError, Stream};
use crate::sabotage::{self, Bug};

/// Records on their way to one broker: for each shard, which ones.
struct Delivery {
    owner: Member,
    shards: Vec<(ShardId, Vec<u32>)>,
}

impl Inner {
    /// See [`super::Broker::put`].
    pub(super) async fn put(
        self: &Arc<Self>,
        stream: &Stream,
        records: Vec<Record>,
    ) -> Vec<Result<Placed, PutError>> {
        let settings = &self.context.settings;
        let mut patience = settings.patience(settings.put_for);
        let incoming = Arc::new(Incoming::new(records));
        let mut results: Vec<Option<Result<Placed, PutError>>> = vec![None; incoming.records.len()];
        let mut pending: Vec<u32> = (0..incoming.records.len() as u32).collect();
        while !pending.is_empty() {
            // Taken before the map is, so that no change is missed.
            let mut changes = self.context.catalog.changes();
            let Some(known) = self.context.catalog.map(&stream.entry.data) else {
                let why = "the stream has no shard map: it is being deleted".to_owned();
                settle_rest(&mut results, &pending, PutError::Unavailable(why));
                break;
            };
            let deliveries = self.route(stream, &known.map, &incoming, &pending);
            pending.clear();
            let mut ended = false;
            let sent = deliveries
                .into_iter()
                .map(|delivery| self.deliver(stream, &incoming, delivery, patience.deadline));
            for (shards, outcomes) in join_all(sent).await {
                for ((shard, indices), outcomes) in shards.into_iter().zip(outcomes) {
                    // As `route` found it.
                    let Some(first) = indices.first() else { continue };
                    let epoch = known.map.open[known.map.route(incoming.keys[*first as usize])].epoch;
                    for (index, outcome) in indices.into_iter().zip(outcomes) {
                        let result = match outcome {
                            Outcome::Placed(position) => {
                                let sequence = SequenceNumber { epoch, position };
                                Some(Ok(Placed { shard, sequence }))
                            }
                            Outcome::Throttled => Some(Err(PutError::Throttled(shard))),
                            Outcome::Full => Some(Err(PutError::StorageFull(shard))),
                            Outcome::Unavailable(why) => Some(Err(PutError::Unavailable(why))),
                            // Not stored, and never will be: to be brought elsewhere.
                            Outcome::Ended | Outcome::NotOwner => {
                                ended |= outcome == Outcome::Ended;
                                None
                            }
                        };
                        match result {
                            Some(_) => results[index as usize] = result,
                            None => pending.push(index),
                        }
                    }
                }
            }
            if pending.is_empty() {
                break;
            }
            if self.context.catalog.stream_of(&stream.entry.data).is_none() {
                let why = "the stream has been deleted meanwhile".to_owned();
                settle_rest(&mut results, &pending, PutError::Unavailable(why));
                break;
            }
            pending.sort_unstable();
            let Some(pause) = patience.pause() else {
                let why = "the shard's owner or its children were not known in time".to_owned();
                settle_rest(&mut results, &pending, PutError::Unavailable(why));
                break;
            };
            // Children take over a few milliseconds after their parent's end: the map's change is awaited.
            let news = timeout_at(Instant::now() + pause, changes.changed()).await;
            if news.is_err() && ended {
                let _ = self.context.catalog.fresh_map(&stream.entry.data).await;
            }
        }
        let missing = || Err(PutError::Unavailable("the record was not brought anywhere".to_owned()));
        let results: Vec<_> = results.into_iter().map(|result| result.unwrap_or_else(missing)).collect();
        self.context.metrics.put(stream, &incoming.records, &results);
        results
    }

    /// Which broker gets which records.
    fn route(&self, stream: &Stream, map: &ShardMap, incoming: &Incoming, pending: &[u32]) -> Vec<Delivery> {
        let mut shards: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for index in pending {
            shards.entry(map.route(incoming.keys[*index as usize])).or_default().push(*index);
        }
        let mut deliveries: BTreeMap<BrokerId, Delivery> = BTreeMap::new();
        for (index, records) in shards {
            let shard = map.open[index].id;
            let owner = self.members.owner(&stream.entry.data, shard);
            let owner = owner.unwrap_or_else(|| self.members.me().clone());
            let delivery =
                deliveries.entry(owner.id).or_insert_with(|| Delivery { owner, shards: Vec::new() });
            delivery.shards.push((shard, records));
        }
        deliveries.into_values().collect()
    }

    async fn deliver(
        self: &Arc<Self>,
        stream: &Stream,
        incoming: &Arc<Incoming>,
        delivery: Delivery,
        deadline: Instant,
    ) -> (Vec<(ShardId, Vec<u32>)>, Vec<Vec<Outcome>>) {
        let Delivery { owner, shards } = delivery;
        let outcomes = if owner.id == self.members.me().id {
            let appends = shards
                .iter()
                .map(|(shard, indices)| self.append_here(stream, *shard, incoming.clone(), indices.clone()));
            join_all(appends).await
        } else {
            self.append_there(stream, incoming, &owner, &shards, deadline).await
        };
        (shards, outcomes)
    }

    /// Appends to a shard as its owner.
    pub(super) async fn append_here(
        self: &Arc<Self>,
        stream: &Stream,
        shard: ShardId,
        incoming: Arc<Incoming>,
        indices: Vec<u32>,
    ) -> Vec<Outcome> {
        let data = &stream.entry.data;
        let lane = self.context.catalog.map(data).and_then(|known| known.map.get(shard).map(|s| s.lane));
        let Some(lane) = lane else { return vec![Outcome::Ended; indices.len()] };
        if !self.members.is_mine(data, shard) {
            return vec![Outcome::NotOwner; indices.len()];
        }
        let owned = self.owned(data, lane, shard);
        owned.append(&stream.entry.config, self.context.settings.queue_bytes, incoming, indices).await
    }

    async fn append_there(
        &self,
        stream: &Stream,
        incoming: &Incoming,
        owner: &Member,
        shards: &[(ShardId, Vec<u32>)],
        deadline: Instant,
    ) -> Vec<Vec<Outcome>> {
        let every = |outcome: Outcome| {
            shards.iter().map(|(_, indices)| vec![outcome.clone(); indices.len()]).collect::<Vec<_>>()
        };
        self.context.metrics.forwarded(shards.iter().map(|(_, indices)| indices.len()).sum());
        let request = peers::append_request(self.context.me, &stream.entry.data, shards, incoming);
        let answer = match timeout_at(deadline, self.peers.ask(owner, request)).await {
            Ok(Ok(answer)) => peers::read_append_answer(&answer),
            Ok(Err(PeerError::Unreachable(_))) => return every(Outcome::NotOwner),
            Ok(Err(PeerError::Unknown(..))) if sabotage::is(Bug::TrustPeerSilence) => {
                return every(Outcome::NotOwner);
            }
            Ok(Err(error @ PeerError::Unknown(..))) => return every(Outcome::Unavailable(error.to_string())),
            Err(_) => return every(Outcome::Unavailable(format!("broker {} did not answer", owner.id))),
        };
        let fits = |answer: &Vec<Vec<Outcome>>| {
            answer.len() == shards.len()
                && answer.iter().zip(shards).all(|(outcomes, (_, indices))| outcomes.len() == indices.len())
        };
        match answer {
            Ok(answer) if fits(&answer) => answer,
            Ok(_) => every(Outcome::Unavailable(format!("broker {} answered something else", owner.id))),
            Err(error) => every(Outcome::Unavailable(error.to_string())),
        }
    }
}

fn settle_rest(results: &mut [Option<Result<Placed, PutError>>], pending: &[u32], error: PutError) {
    for index in pending {
        results[*index as usize] = Some(Err(error.clone()));
    }
}
