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

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::{DataId, Lane};
    use millrace_log::LaneConfig;
    use millrace_log::memory::{Faults, MemoryCluster};

    const PACK_BYTES: usize = 1 << 10;

    fn address(shard: u64) -> ShardAddress {
        ShardAddress { data: DataId::from_random(1), lane: Lane(0), shard: ShardId(shard) }
    }

    /// A lane of eight shards with `packs` messages each, in turn.
    async fn lane(packs: u64) -> MemoryCluster {
        let memory = MemoryCluster::new(1, 0, Faults::none());
        let writer = memory.connect("writer");
        writer
            .ensure_lane(&address(0).lane(), &LaneConfig { max_age_s: 3_600, max_bytes: 1 << 30 })
            .await
            .unwrap();
        let mut last = [0; 8];
        for _ in 0..packs {
            for (shard, last) in (0..).zip(&mut last) {
                let pack = Bytes::from(vec![shard as u8; PACK_BYTES]);
                *last = writer.append(&address(shard), *last, pack).await.unwrap();
            }
        }
        memory
    }

    /// Reads a shard from its beginning; its packs.
    async fn read_all(history: &History, shard: u64, count: u64) -> Vec<(u64, Bytes)> {
        let last = (count - 1) * 8 + shard + 1;
        let (mut from, mut packs) = (1, Vec::new());
        while from <= last {
            let read = history.read(&address(shard), from, last, 64 << 10).await.unwrap();
            assert!(read.next > from, "a read goes on");
            from = read.next;
            packs.extend(read.packs);
        }
        packs
    }

    fn assert_whole(shard: u64, packs: &[(u64, Bytes)], count: u64) {
        let sequences: Vec<u64> = packs.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, (0..count).map(|n| n * 8 + shard + 1).collect::<Vec<_>>());
        assert!(packs.iter().all(|(_, pack)| pack.iter().all(|byte| u64::from(*byte) == shard)));
    }

    #[tokio::test(start_paused = true)]
    async fn eight_shards_of_a_lane_read_together_cost_little_more_than_the_lane_read_once() {
        let memory = lane(640).await;
        let history = History::new(Arc::new(memory.connect("reader")), 64 << 20);
        let before = memory.calls();
        let reads = (0..8).map(|shard| read_all(&history, shard, 640));
        for (shard, packs) in (0..).zip(futures::future::join_all(reads).await) {
            assert_whole(shard, &packs, 640);
        }
        // 5,120 messages in segments of 256 are 20 reads; the first reader began alone.
        let calls = memory.calls() - before;
        assert!(calls <= 24, "{calls} reads of the log");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_read_alone_reads_no_other_shards_messages() {
        let memory = lane(640).await;
        let history = History::new(Arc::new(memory.connect("reader")), 64 << 20);
        assert_whole(3, &read_all(&history, 3, 640).await, 640);
        assert_eq!(history.cache.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_of_lanes_stays_within_its_bound() {
        let memory = lane(640).await;
        let bound = 3 * 256 * PACK_BYTES;
        let history = History::new(Arc::new(memory.connect("reader")), bound);
        let reads = (0..8).map(|shard| read_all(&history, shard, 640));
        for (shard, packs) in (0..).zip(futures::future::join_all(reads).await) {
            assert_whole(shard, &packs, 640);
        }
        assert!(history.cache.lock().bytes <= bound);
    }
}
