//! Reading packs from the log. One reader of a lane reads its shard's messages alone; when several shards of a
//! lane are read cold at the same time, the lane is read in order once and shared among them, since the log
//! reads the same blocks for each of them otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use millrace_core::ShardId;
use millrace_log::{LaneAddress, Log, LogError, Message, ReadLimits, ShardAddress};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// How long after its last cold read a shard counts as being read.
const ACTIVE_FOR: Duration = Duration::from_secs(3);
/// What one shared read fetches.
const SEGMENT: ReadLimits = ReadLimits { messages: 256, bytes: 8 << 20 };
/// How many segments one read looks through for its shard's packs before it gives back what it has.
const SEGMENTS_PER_READ: usize = 8;

/// A part of a lane, read once: every message from `start` up to but without `end`.
struct Segment {
    start: u64,
    end: u64,
    shards: BTreeMap<ShardId, Vec<Message>>,
    bytes: usize,
}

#[derive(Default)]
struct LaneReads {
    /// When each shard was last read cold.
    readers: BTreeMap<ShardId, Instant>,
    segments: BTreeMap<u64, Arc<Segment>>,
    /// Held by whoever fetches, so that each part is fetched once.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Cache {
    lanes: BTreeMap<LaneAddress, LaneReads>,
    /// Segments in the order in which they were fetched.
    age: VecDeque<(LaneAddress, u64)>,
    bytes: usize,
}

/// Packs that a reader lacks, and from where to go on.
#[derive(Debug)]
pub(super) struct Packs {
    /// Sequence and pack, in order.
    pub(super) packs: Vec<(u64, Bytes)>,
    /// The lowest sequence that was not looked at.
    pub(super) next: u64,
}

/// The cold reader of a broker.
pub(super) struct History {
    log: Arc<dyn Log>,
    limit_bytes: usize,
    cache: Mutex<Cache>,
}

impl History {
    pub(super) fn new(log: Arc<dyn Log>, limit_bytes: usize) -> History {
        History { log, limit_bytes, cache: Mutex::default() }
    }

    /// Packs of a shard from the sequence `from` up to and with `last`, about `max_bytes` of them. Answered by
    /// any replica: what is missing at the end may still come.
    pub(super) async fn read(
        &self,
        shard: &ShardAddress,
        from: u64,
        last: u64,
        max_bytes: usize,
    ) -> Result<Packs, LogError> {
        if self.is_shared(shard) {
            self.read_shared(shard, from, last, max_bytes).await
        } else {
            let bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX).clamp(1, 8 << 20);
            let messages = self.log.read(shard, from, ReadLimits { messages: 256, bytes }).await?;
            let next = messages.last().map_or(from, |message| message.sequence + 1);
            Ok(Packs { packs: pick(&messages, from, last), next: next.min(last.saturating_add(1)).max(from) })
        }
    }

    /// Notes a cold read; whether another shard of the lane is being read as well.
    fn is_shared(&self, shard: &ShardAddress) -> bool {
        let mut cache = self.cache.lock();
        let lane = cache.lanes.entry(shard.lane()).or_default();
        let now = Instant::now();
        lane.readers.retain(|_, at| now.saturating_duration_since(*at) < ACTIVE_FOR);
        lane.readers.insert(shard.shard, now);
        lane.readers.len() > 1
    }

    async fn read_shared(
        &self,
        shard: &ShardAddress,
        from: u64,
        last: u64,
        max_bytes: usize,
    ) -> Result<Packs, LogError> {
        let lane = shard.lane();
        let mut read = Packs { packs: Vec::new(), next: from };
        let mut bytes = 0;
        for _ in 0..SEGMENTS_PER_READ {
            let Some(segment) = self.segment(&lane, read.next).await? else { break };
            let messages = segment.shards.get(&shard.shard).map_or(&[][..], Vec::as_slice);
            for (sequence, pack) in pick(messages, read.next, last) {
                if bytes >= max_bytes {
                    read.next = sequence;
                    return Ok(read);
                }
                bytes += pack.len();
                read.packs.push((sequence, pack));
            }
            read.next = segment.end;
            if read.next > last || bytes >= max_bytes {
                break;
            }
        }
        read.next = read.next.min(last.saturating_add(1)).max(from);
        Ok(read)
    }

    /// The segment that holds the sequence `from` of a lane; `None` when nothing is stored from there on.
    async fn segment(&self, lane: &LaneAddress, from: u64) -> Result<Option<Arc<Segment>>, LogError> {
        let cached = |cache: &Cache| {
            let (_, segment) = cache.lanes.get(lane)?.segments.range(..=from).next_back()?;
            (from < segment.end).then(|| segment.clone())
        };
        let fetching = {
            let mut cache = self.cache.lock();
            if let Some(segment) = cached(&cache) {
                return Ok(Some(segment));
            }
            cache.lanes.entry(lane.clone()).or_default().fetching.clone()
        };
        let _one_at_a_time = fetching.lock().await;
        if let Some(segment) = cached(&self.cache.lock()) {
            return Ok(Some(segment));
        }
        let messages = self.log.read_lane(lane, from, SEGMENT).await?;
        let Some(newest) = messages.last() else { return Ok(None) };
        let end = newest.sequence + 1;
        let mut shards: BTreeMap<ShardId, Vec<Message>> = BTreeMap::new();
        let mut bytes = 0;
        for message in messages {
            bytes += message.payload.len();
            shards.entry(message.shard).or_default().push(message);
        }
        let segment = Arc::new(Segment { start: from, end, shards, bytes });
        self.keep(lane, segment.clone());
        Ok(Some(segment))
    }

    /// Keeps a segment, at the cost of the oldest ones.
    fn keep(&self, lane: &LaneAddress, segment: Arc<Segment>) {
        let mut cache = self.cache.lock();
        cache.bytes += segment.bytes;
        cache.age.push_back((lane.clone(), segment.start));
        let reads = cache.lanes.entry(lane.clone()).or_default();
        if let Some(before) = reads.segments.insert(segment.start, segment) {
            cache.bytes -= before.bytes;
        }
        while cache.bytes > self.limit_bytes {
            let Some((lane, start)) = cache.age.pop_front() else { break };
            let Some(reads) = cache.lanes.get_mut(&lane) else { continue };
            let gone = reads.segments.remove(&start).map_or(0, |segment| segment.bytes);
            if reads.segments.is_empty() && reads.readers.is_empty() {
                cache.lanes.remove(&lane);
            }
            cache.bytes -= gone;
        }
    }
}

fn pick(messages: &[Message], from: u64, last: u64) -> Vec<(u64, Bytes)> {
    let wanted = messages.iter().filter(|message| (from..=last).contains(&message.sequence));
    wanted.map(|message| (message.sequence, message.payload.clone())).collect()
}
