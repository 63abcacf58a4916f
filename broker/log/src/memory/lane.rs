//! One lane: what JetStream does with the messages of one stream.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millrace_core::ShardId;

use crate::{AppendError, LaneConfig, LaneState, Message, ReadLimits};

/// The messages that are stored, without a gap from the first to the last.
#[derive(Debug)]
pub(super) struct LaneData {
    pub(super) config: LaneConfig,
    messages: VecDeque<Message>,
    sequences: BTreeMap<ShardId, VecDeque<u64>>,
    last: u64,
    bytes: u64,
}

impl LaneData {
    pub(super) fn new(config: LaneConfig) -> LaneData {
        LaneData { config, messages: VecDeque::new(), sequences: BTreeMap::new(), last: 0, bytes: 0 }
    }

    /// Removes what has outlived `max_age`. To be called before anything else is asked.
    pub(super) fn expire(&mut self, now_ms: i64) {
        let max_age_ms = i64::try_from(self.config.max_age_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let horizon_ms = now_ms.saturating_sub(max_age_ms);
        while let Some(message) = self.messages.pop_front_if(|message| message.stored_ms <= horizon_ms) {
            self.bytes -= message.payload.len() as u64;
            if let Some(sequences) = self.sequences.get_mut(&message.shard) {
                sequences.pop_front();
                if sequences.is_empty() {
                    self.sequences.remove(&message.shard);
                }
            }
        }
    }

    pub(super) fn state(&self) -> LaneState {
        let first = self.messages.front().map_or(self.last + 1, |message| message.sequence);
        LaneState { first, last: self.last, bytes: self.bytes }
    }

    /// `expected` is compared with the last sequence that is still stored, as JetStream does: once retention
    /// has emptied the subject, 0 is right again.
    pub(super) fn append(
        &mut self,
        shard: ShardId,
        expected: u64,
        payload: Bytes,
        now_ms: i64,
    ) -> Result<u64, AppendError> {
        let last = self.sequences.get(&shard).and_then(|sequences| sequences.back().copied()).unwrap_or(0);
        if last != expected {
            return Err(AppendError::WrongSequence);
        }
        let bytes = self.bytes + payload.len() as u64;
        if bytes > self.config.max_bytes {
            return Err(AppendError::Full("maximum bytes exceeded".into()));
        }
        self.bytes = bytes;
        self.last += 1;
        self.sequences.entry(shard).or_default().push_back(self.last);
        self.messages.push_back(Message { shard, sequence: self.last, stored_ms: now_ms, payload });
        Ok(self.last)
    }

    fn get(&self, sequence: u64) -> Option<&Message> {
        let first = self.messages.front()?.sequence;
        self.messages.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    pub(super) fn last_of(&self, shard: ShardId) -> Option<Message> {
        let sequence = *self.sequences.get(&shard)?.back()?;
        self.get(sequence).cloned()
    }

    pub(super) fn first_after(&self, shard: ShardId, after: u64) -> Option<Message> {
        let sequences = self.sequences.get(&shard)?;
        let at = sequences.partition_point(|sequence| *sequence <= after);
        self.get(*sequences.get(at)?).cloned()
    }

    /// A prefix of the truth: nothing that was stored after `until_ms`.
    pub(super) fn read(&self, shard: ShardId, from: u64, limits: ReadLimits, until_ms: i64) -> Vec<Message> {
        let Some(sequences) = self.sequences.get(&shard) else { return Vec::new() };
        let at = sequences.partition_point(|sequence| *sequence < from);
        let messages = sequences.range(at..).filter_map(|sequence| self.get(*sequence));
        limited(messages, limits, until_ms)
    }

    /// As [`LaneData::read`], for all shards.
    pub(super) fn read_all(&self, from: u64, limits: ReadLimits, until_ms: i64) -> Vec<Message> {
        let at = self.messages.partition_point(|message| message.sequence < from);
        limited(self.messages.range(at..), limits, until_ms)
    }

    pub(super) fn seek(&self, shard: ShardId, time_ms: i64, until_ms: i64) -> Option<u64> {
        let sequences = self.sequences.get(&shard)?;
        let stored_ms = |sequence: &u64| self.get(*sequence).map_or(i64::MIN, |message| message.stored_ms);
        let at = sequences.partition_point(|sequence| stored_ms(sequence) < time_ms);
        sequences.get(at).copied().filter(|sequence| stored_ms(sequence) <= until_ms)
    }
}

fn limited<'a>(
    messages: impl Iterator<Item = &'a Message>,
    limits: ReadLimits,
    until_ms: i64,
) -> Vec<Message> {
    let mut bytes = 0;
    let mut taken = Vec::new();
    for message in messages.take_while(|message| message.stored_ms <= until_ms) {
        if taken.len() >= limits.messages as usize || (!taken.is_empty() && bytes >= limits.bytes as usize) {
            break;
        }
        bytes += message.payload.len();
        taken.push(message.clone());
    }
    taken
}
