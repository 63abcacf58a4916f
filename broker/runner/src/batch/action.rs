//! What a shard's state machine asks for, and what it is told.

use std::ops::{Deref, Range};
use std::sync::Arc;

use bytes::Bytes;

use super::progress::Checkpoint;
use crate::event::{EventRecord, EventWriter, StreamCondition, WindowFields};

/// Names something that was asked for, within one state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId(pub(super) u64);

/// Records that are worked on together, in order. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) records: Arc<[EventRecord]>,
    pub(super) range: Range<usize>,
    /// The tumbling window in which they lie, if there are windows.
    pub window: Option<WindowBatch>,
}

/// What a batch says of its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowBatch {
    /// Its first millisecond, in Unix time.
    pub start_ms: i64,
    /// The first millisecond after it.
    pub end_ms: i64,
    /// What the function answered last, a JSON object.
    pub state: Arc<str>,
    /// Whether this is the last invocation with that state. It has no records.
    pub is_final: bool,
    /// Whether it is so before the window's end.
    pub terminated_early: bool,
}

impl Deref for Batch {
    type Target = [EventRecord];

    fn deref(&self) -> &[EventRecord] {
        &self.records[self.range.clone()]
    }
}

impl Batch {
    /// The event to invoke the function with.
    pub fn event(&self, writer: &EventWriter) -> Vec<u8> {
        let window = self.window.as_ref().map(|window| WindowFields {
            start_ms: window.start_ms,
            end_ms: window.end_ms,
            state: &window.state,
            is_final: window.is_final,
            terminated_early: window.terminated_early,
        });
        writer.event(self, window)
    }
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Invoke the function, and tell the outcome: [`super::ShardBatcher::invoked`].
    Invoke {
        /// What the outcome is told by.
        id: InvocationId,
        /// With what.
        batch: Batch,
    },
    /// Give records up: bring them to the failure destination, if there is one, however often that takes, and tell it
    /// then: [`super::ShardBatcher::given_up`].
    GiveUp {
        /// What it is told by.
        id: InvocationId,
        /// Which records.
        batch: Batch,
        /// Why.
        condition: StreamCondition,
        /// How often the function was invoked with them.
        invoke_count: u32,
        /// The last invocation, if there was one.
        last: Option<Attempt>,
    },
    /// Keep this in place of the last one.
    Keep(Checkpoint),
}

/// An invocation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub request_id: String,
    /// Whether the function failed, and did not just answer that records did.
    pub function_failed: bool,
}

/// What came of an invocation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The function answered.
    Answered {
        /// The invocation's id.
        request_id: String,
        /// With what.
        payload: Bytes,
    },
    /// The function failed: by an error of its own, by taking too long or by ending.
    Failed {
        /// The invocation's id.
        request_id: String,
    },
    /// It did not come to an invocation. That is no attempt.
    NotInvoked,
}
