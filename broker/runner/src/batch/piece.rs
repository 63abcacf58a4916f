//! Part of a batch that has begun: it is tried again, cut or given up as one.

use std::ops::Range;
use std::sync::Arc;

use millrace_core::SequenceNumber;

use super::action::{Attempt, Batch, WindowBatch};
use crate::event::EventRecord;

/// Records that are tried together.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    records: Arc<[EventRecord]>,
    numbers: Arc<[u64]>,
    range: Range<usize>,
    /// How often these failed as a batch whose first record was the same.
    pub(super) failures: u32,
    /// How often the function was invoked with them.
    pub(super) invocations: u32,
    /// The last of these.
    pub(super) last: Option<Attempt>,
}

impl Piece {
    pub(super) fn new(records: Vec<EventRecord>, numbers: Vec<u64>) -> Piece {
        let range = 0..records.len();
        Piece {
            records: records.into(),
            numbers: numbers.into(),
            range,
            failures: 0,
            invocations: 0,
            last: None,
        }
    }

    pub(super) fn records(&self) -> &[EventRecord] {
        &self.records[self.range.clone()]
    }

    /// The records' numbers in the shard.
    pub(super) fn numbers(&self) -> &[u64] {
        &self.numbers[self.range.clone()]
    }

    pub(super) fn first_arrival_ms(&self) -> i64 {
        self.records()[0].record.arrival_ms
    }

    pub(super) fn batch(&self, window: Option<WindowBatch>) -> Batch {
        Batch { records: self.records.clone(), range: self.range.clone(), window }
    }

    pub(super) fn contains(&self, sequence: SequenceNumber) -> bool {
        self.records().binary_search_by_key(&sequence, |record| record.sequence).is_ok()
    }

    /// How many records lie before this one.
    pub(super) fn before(&self, sequence: SequenceNumber) -> usize {
        self.records().partition_point(|record| record.sequence < sequence)
    }

    /// How many records arrived before this time.
    pub(super) fn older_than(&self, arrival_ms: i64) -> usize {
        self.records().partition_point(|record| record.record.arrival_ms < arrival_ms)
    }

    /// Keeps the records from the one at `index` on, and returns those before it.
    pub(super) fn split_off_front(&mut self, index: usize) -> Piece {
        let middle = self.range.start + index;
        let front = Piece { range: self.range.start..middle, ..self.clone() };
        self.range.start = middle;
        front
    }
}
