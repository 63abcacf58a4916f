//! Reading a shard: what is new from its owner's memory, what is old from the log, and the end from the map.

use std::sync::Arc;

use bytes::Bytes;
use millrace_core::pack::{Pack, PackError, PackKind};
use millrace_core::{ClosedShard, DataId, Position, SequenceNumber, ShardId, ShardMap, keys};
use millrace_log::{KvError, LogError, ShardAddress};
use tokio::time::timeout_at;

use super::owned::Stop;
use super::peers;
use super::tail::TailView;
use super::{Inner, ReadBatch, ReadError, Shard, Stream};
use crate::sabotage::{self, Bug};

/// How far the log's clock and a broker's may be apart.
const CLOCK_SLACK_MS: i64 = 10_000;
/// The most that one read takes from the log, in bytes.
const READ_BYTES: usize = 10 << 20;

/// What a read wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: Position,
    pub(super) not_before_ms: Option<i64>,
    pub(super) max_records: usize,
    pub(super) max_bytes: usize,
}

/// The end of a shard, as far as it is known.
struct End {
    /// The sequence of the last message.
    last: u64,
    last_arrival_ms: i64,
    /// The entry of the closed shard, if it has ended.
    closed: Option<ClosedShard>,
    /// Whether the last message is a CLOSE and the map does not name the children yet.
    waits: bool,
}

impl From<LogError> for ReadError {
    fn from(error: LogError) -> ReadError {
        ReadError::Unavailable(error.to_string())
    }
}

impl From<KvError> for ReadError {
    fn from(error: KvError) -> ReadError {
        ReadError::Unavailable(error.to_string())
    }
}

impl From<PackError> for ReadError {
    fn from(error: PackError) -> ReadError {
        ReadError::Damaged(error.to_string())
    }
}

impl Inner {
    /// See [`super::Broker::read`].
    pub(super) async fn read(
        self: &Arc<Self>,
        stream: &Stream,
        shard: ShardId,
        wanted: Wanted,
    ) -> Result<ReadBatch, ReadError> {
        let found = self.find_shard(&stream.entry.data, shard).await?;
        let address = ShardAddress { data: stream.entry.data.clone(), lane: found.lane(), shard };
        let epoch = found.epoch();
        let from = wanted.from.pack.max(1);
        let (end, mut packs, mut next) = match found {
            Shard::Closed(closed) => {
                let end = End { last: closed.end, last_arrival_ms: 0, closed: Some(closed), waits: false };
                (end, Vec::new(), from)
            }
            Shard::Open { .. } => {
                let view = self.tail(&address, from, wanted.max_bytes.min(READ_BYTES)).await?;
                let (last, last_arrival_ms) = (view.last, view.last_arrival_ms);
                let end = End { last, last_arrival_ms, closed: None, waits: view.closed };
                let warm = from > view.covered_after;
                let packs: Vec<(u64, Bytes)> =
                    view.packs.into_iter().map(|pack| (pack.sequence, pack.pack)).collect();
                let next = if warm { packs.last().map_or(from, |(sequence, _)| sequence + 1) } else { from };
                (end, packs, next)
            }
        };
        if packs.is_empty() && next <= end.last {
            (packs, next) = self.read_log(&address, from, end.last, wanted.max_bytes.min(READ_BYTES)).await?;
        }
        let (mut batch, seen_ms) = take_records(epoch, &packs, next, wanted)?;
        self.finish_batch(stream, &mut batch, seen_ms, &end).await?;
        Ok(batch)
    }

    /// Packs of a shard from the log, and the lowest sequence that was not looked at.
    async fn read_log(
        &self,
        address: &ShardAddress,
        from: u64,
        last: u64,
        max_bytes: usize,
    ) -> Result<(Vec<(u64, Bytes)>, u64), ReadError> {
        let read = self.history.read(address, from, last, max_bytes).await?;
        if !read.packs.is_empty() || read.next > from {
            return Ok((read.packs, read.next));
        }
        if sabotage::is(Bug::TrustReplica) {
            return Ok((Vec::new(), last + 1));
        }
        // A replica that lags says nothing about the end: the leader does.
        match self.context.log.first_after(address, from - 1).await? {
            Some(message) if message.sequence <= last => {
                Ok((vec![(message.sequence, message.payload)], message.sequence + 1))
            }
            // Retention has taken what was there.
            _ => Ok((Vec::new(), last + 1)),
        }
    }

    /// Where the reader stands now, and what follows a shard that is read to its end. `seen_ms`: when the last
    /// record looked at arrived.
    async fn finish_batch(
        &self,
        stream: &Stream,
        batch: &mut ReadBatch,
        seen_ms: Option<i64>,
        end: &End,
    ) -> Result<(), ReadError> {
        let Some(next) = batch.next else { return Ok(()) };
        let at_close = next.pack == end.last && (end.closed.is_some() || end.waits);
        let leaves = end.closed.is_some() && sabotage::is(Bug::LeaveParentEarly);
        if next.pack <= end.last && !at_close && !leaves {
            let read_ms = batch.records.last().map(|(_, record)| record.arrival_ms);
            let stands_ms = read_ms.or(seen_ms).unwrap_or(end.last_arrival_ms);
            batch.millis_behind = (self.context.clock.now_ms() - stands_ms).max(1);
            return Ok(());
        }
        if let Some(closed) = &end.closed {
            batch.next = None;
            let data = &stream.entry.data;
            for child in &closed.children {
                match self.find_shard(data, *child).await {
                    Ok(shard) => batch.children.push(shard),
                    // Retention has taken it.
                    Err(ReadError::NoShard(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// See [`super::Broker::latest`].
    pub(super) async fn latest(
        self: &Arc<Self>,
        stream: &Stream,
        shard: ShardId,
    ) -> Result<Position, ReadError> {
        match self.find_shard(&stream.entry.data, shard).await? {
            Shard::Closed(closed) => Ok(Position::at_pack(closed.end)),
            Shard::Open { shard: open, .. } => {
                let address = ShardAddress { data: stream.entry.data.clone(), lane: open.lane, shard };
                let view = self.tail(&address, u64::MAX, 0).await?;
                // A CLOSE stays ahead of the reader, so that it comes to the shard's end.
                Ok(Position::at_pack(if view.closed { view.last } else { view.last + 1 }))
            }
        }
    }

    /// See [`super::Broker::seek`].
    pub(super) async fn seek(
        &self,
        stream: &Stream,
        shard: ShardId,
        time_ms: i64,
    ) -> Result<Position, ReadError> {
        let found = self.find_shard(&stream.entry.data, shard).await?;
        let address = ShardAddress { data: stream.entry.data.clone(), lane: found.lane(), shard };
        // Records are stored after they have arrived, give or take the clocks.
        let stored_ms = time_ms.saturating_sub(CLOCK_SLACK_MS);
        if let Some(sequence) = self.context.log.seek(&address, stored_ms).await? {
            return Ok(Position::at_pack(sequence));
        }
        // Nothing is stored since then, unless that replica lags: the leader knows.
        match self.context.log.last(&address).await? {
            Some(last) if last.stored_ms < stored_ms => Ok(Position::at_pack(last.sequence + 1)),
            Some(_) => Ok(Position::START),
            None => match found {
                Shard::Closed(closed) => Ok(Position::at_pack(closed.end)),
                Shard::Open { .. } => Ok(Position::START),
            },
        }
    }

    /// See [`super::Broker::shards`].
    pub(super) async fn shards(&self, stream: &Stream) -> Result<Vec<Shard>, ReadError> {
        let data = &stream.entry.data;
        // The map is taken before the entries are read, so that a shard which closes meanwhile is in the one, and
        // maybe in both, but never in neither.
        let mut map = self.map(data)?;
        let entries = self.context.kv.list(&keys::closed_of(data)).await?;
        if sabotage::is(Bug::ListEntriesFirst) {
            map = self.map(data)?;
        }
        let mut shards: Vec<Shard> = (0..map.open.len()).map(|index| open_shard(&map, index)).collect();
        for entry in entries {
            let closed = decode_closed(&entry.value)?;
            if map.get(closed.id).is_none() {
                shards.push(Shard::Closed(closed));
            }
        }
        shards.sort_by_key(Shard::id);
        Ok(shards)
    }

    fn map(&self, data: &DataId) -> Result<Arc<ShardMap>, ReadError> {
        let known = self.context.catalog.map(data);
        known.map(|known| known.map).ok_or_else(|| {
            ReadError::Unavailable("the stream has no shard map: it is being made or deleted".to_owned())
        })
    }

    /// A shard, open or closed.
    async fn find_shard(&self, data: &DataId, shard: ShardId) -> Result<Shard, ReadError> {
        let map = self.map(data)?;
        if let Some(index) = map.index_of(shard) {
            return Ok(open_shard(&map, index));
        }
        if shard < map.next_shard
            && let Some(closed) = self.closed_shard(data, shard).await?
        {
            return Ok(Shard::Closed(closed));
        }
        // The copy of the map may be old.
        if let Some(known) = self.context.catalog.fresh_map(data).await?
            && let Some(index) = known.map.index_of(shard)
        {
            return Ok(open_shard(&known.map, index));
        }
        if sabotage::is(Bug::LookOnce) {
            return Err(ReadError::NoShard(shard));
        }
        // It may have closed since the first look. A shard's entry is written before it leaves the map, so that
        // one which is in neither is not there yet, or retention has taken it.
        let closed = self.closed_shard(data, shard).await?;
        closed.map(Shard::Closed).ok_or(ReadError::NoShard(shard))
    }

    /// The entry of a closed shard.
    async fn closed_shard(&self, data: &DataId, shard: ShardId) -> Result<Option<ClosedShard>, ReadError> {
        let key = keys::closed(data, shard);
        if let Some(closed) = self.closed.lock().get(&key) {
            return Ok(Some(closed.clone()));
        }
        let Some(entry) = self.context.kv.get(&key).await? else { return Ok(None) };
        let closed = decode_closed(&entry.value)?;
        self.closed.lock().put(key, closed.clone());
        Ok(Some(closed))
    }

    /// What a shard's owner knows of its end, wherever the owner is.
    async fn tail(
        self: &Arc<Self>,
        address: &ShardAddress,
        from: u64,
        max_bytes: usize,
    ) -> Result<TailView, ReadError> {
        let settings = &self.context.settings;
        let mut patience = settings.patience(settings.settle_for);
        loop {
            let owner = self.members.owner(&address.data, address.shard);
            let why = match owner {
                Some(owner) if owner.id != self.members.me().id => {
                    let request = peers::tail_request(&address.data, address.shard, from, max_bytes as u32);
                    match timeout_at(patience.deadline, self.peers.ask(&owner, request)).await {
                        Ok(Ok(answer)) => match peers::read_tail_answer(answer) {
                            Ok(Some(view)) => return Ok(view),
                            Ok(None) => "the shard's owner changes".to_owned(),
                            Err(error) => error.to_string(),
                        },
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => format!("broker {} did not answer", owner.id),
                    }
                }
                _ => match self.owned(&address.data, address.lane, address.shard).tail(from, max_bytes).await
                {
                    Ok(view) => return Ok(view),
                    Err(Stop::Unavailable(why)) => why,
                    Err(_) => "the shard's owner changes".to_owned(),
                },
            };
            let Some(pause) = patience.pause() else { return Err(ReadError::Unavailable(why)) };
            tokio::time::sleep(pause).await;
        }
    }
}

fn open_shard(map: &ShardMap, index: usize) -> Shard {
    let shard = map.open[index].clone();
    Shard::Open { range: map.range(index), shard }
}

fn decode_closed(bytes: &[u8]) -> Result<ClosedShard, ReadError> {
    ClosedShard::decode(bytes).map_err(|error| ReadError::Damaged(error.to_string()))
}

/// The records of `packs` that are wanted, and when the last record looked at arrived (Unix ms). `next`: the lowest
/// sequence that was not looked at.
fn take_records(
    epoch: u64,
    packs: &[(u64, Bytes)],
    next: u64,
    wanted: Wanted,
) -> Result<(ReadBatch, Option<i64>), ReadError> {
    let lost = sabotage::is(Bug::LosePlaceInPack);
    let stays = if lost { Position::at_pack(wanted.from.pack) } else { wanted.from };
    let mut batch = ReadBatch {
        records: Vec::new(),
        // Within a pack a reader stays where it is when nothing was looked at.
        next: Some(if next > wanted.from.pack { Position::at_pack(next) } else { stays }),
        millis_behind: 0,
        children: Vec::new(),
    };
    let (mut bytes, mut seen_ms) = (0, None);
    for (sequence, pack) in packs {
        let pack = Pack::decode(pack.clone())?;
        if let PackKind::Close { .. } = pack.header.kind {
            // The reader waits here until the map names the children.
            batch.next = Some(Position::at_pack(*sequence));
            return Ok((batch, seen_ms));
        }
        let skip = if *sequence == wanted.from.pack { wanted.from.index } else { 0 };
        for (index, record) in (0_u32..).zip(pack.records()) {
            let record = record?;
            if index < skip {
                continue;
            }
            let position = Position { pack: *sequence, index };
            seen_ms = Some(record.arrival_ms);
            if wanted.not_before_ms.is_some_and(|time_ms| record.arrival_ms < time_ms) {
                continue;
            }
            let size = record.data.len() + record.partition_key.len();
            let full = batch.records.len() >= wanted.max_records
                || (bytes + size > wanted.max_bytes && !batch.records.is_empty());
            if full {
                batch.next = Some(position);
                return Ok((batch, seen_ms));
            }
            bytes += size;
            batch.records.push((SequenceNumber { epoch, position }, record));
        }
    }
    Ok((batch, seen_ms))
}
