//! The records of some partition keys, of which one batch at a time is worked on.

use std::collections::VecDeque;

use super::action::InvocationId;
use super::piece::Piece;
use super::settings::Settings;
use crate::event::EventRecord;

/// How long a lane waits after a first failure, in milliseconds. Each further one doubles it.
const FIRST_PAUSE_MS: i64 = 100;
/// The longest that a lane waits, in milliseconds.
const LONGEST_PAUSE_MS: i64 = 10_000;

/// A record that is in no batch yet.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: EventRecord,
    /// Its number in the shard.
    pub(super) number: u64,
    /// What it takes in an event, in bytes.
    pub(super) bytes: usize,
    /// When it was read, in Unix milliseconds.
    pub(super) read_ms: i64,
}

/// What a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// An invocation with its first piece.
    Invoking(InvocationId),
    /// The last invocation of a window, without records.
    Ending(InvocationId),
    /// The failure destination, for its first piece.
    GivingUp(InvocationId),
}

/// The records of some partition keys, in order: first the pieces of batches that have begun, then what is queued.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) pieces: VecDeque<Piece>,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    pub(super) busy: Option<Busy>,
    /// Failures since anything went well.
    failures: u32,
    /// Until then it does nothing, in Unix milliseconds.
    pub(super) paused_until_ms: Option<i64>,
}

/// How large a batch may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// What its records may take in an event, in bytes.
    pub(super) bytes: usize,
    /// It ends before the first record that arrived then or later, if there are windows: Unix milliseconds.
    pub(super) before_ms: Option<i64>,
}

impl Lane {
    pub(super) fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.bytes;
        self.queue.push_back(queued);
    }

    /// Whether nothing is left to do in it.
    pub(super) fn is_done(&self) -> bool {
        self.busy.is_none() && self.pieces.is_empty() && self.queue.is_empty()
    }

    /// When the next record arrived, in Unix milliseconds.
    pub(super) fn next_arrival_ms(&self) -> Option<i64> {
        let queued = || self.queue.front().map(|queued| queued.record.record.arrival_ms);
        self.pieces.front().map(Piece::first_arrival_ms).or_else(queued)
    }

    /// When what is queued becomes a batch, in Unix milliseconds; at once when nothing more will fit into it.
    pub(super) fn due_ms(&self, settings: &Settings, fit: Fit, no_more: bool) -> Option<i64> {
        let first = self.queue.front()?;
        let last = self.queue.back()?;
        let full = no_more
            || self.queue.len() >= settings.batch_size
            || self.queue_bytes >= fit.bytes
            || fit.before_ms.is_some_and(|before_ms| last.record.record.arrival_ms >= before_ms);
        Some(if full { i64::MIN } else { first.read_ms + settings.batching_window_ms })
    }

    /// Makes the next batch of what is queued: the first record, and those after it that fit.
    pub(super) fn begin_batch(&mut self, settings: &Settings, fit: Fit) {
        let (mut records, mut numbers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(next) = self.queue.front() {
            let fits = records.len() < settings.batch_size
                && bytes + next.bytes <= fit.bytes
                && fit.before_ms.is_none_or(|before_ms| next.record.record.arrival_ms < before_ms);
            if !fits && !records.is_empty() {
                break;
            }
            let Some(next) = self.queue.pop_front() else { break };
            bytes += next.bytes;
            records.push(next.record);
            numbers.push(next.number);
        }
        self.queue_bytes -= bytes;
        if !records.is_empty() {
            self.pieces.push_back(Piece::new(records, numbers));
        }
    }

    /// Something went well.
    pub(super) fn went_well(&mut self) {
        self.failures = 0;
        self.paused_until_ms = None;
    }

    /// Something failed: the lane waits, longer each time.
    pub(super) fn pause(&mut self, now_ms: i64) {
        let pause_ms = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(20)).min(LONGEST_PAUSE_MS);
        self.failures += 1;
        self.paused_until_ms = Some(now_ms + pause_ms);
    }
}
