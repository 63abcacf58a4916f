//! How far a shard is done.

use std::collections::VecDeque;

use millrace_core::Position;

use super::window::OpenWindow;

/// How far a shard is done: what has to be kept to go on from there, by whomever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything before this place is done.
    pub position: Position,
    /// The tumbling window that is open there, with its state of everything before this place.
    pub window: Option<OpenWindow>,
    /// Whether the shard has ended and all of it is done. The window, if there is one, goes on in its heir.
    pub ended: bool,
}

impl Checkpoint {
    /// At a place, with nothing done.
    pub fn at(position: Position) -> Checkpoint {
        Checkpoint { position, window: None, ended: false }
    }
}

/// The records that were taken and are not all done, in order.
#[derive(Debug)]
pub(super) struct Progress {
    /// The number of the first of `records`.
    first: u64,
    records: VecDeque<Taken>,
    /// Where reading goes on.
    read_to: Position,
    /// What those that are not done take in events, in bytes.
    bytes: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Taken {
    position: Position,
    bytes: usize,
    done: bool,
}

impl Progress {
    pub(super) fn new(position: Position) -> Progress {
        Progress { first: 0, records: VecDeque::new(), read_to: position, bytes: 0, waiting: 0 }
    }

    /// Takes a record, and numbers it.
    pub(super) fn take(&mut self, position: Position, bytes: usize) -> u64 {
        self.records.push_back(Taken { position, bytes, done: false });
        self.bytes += bytes;
        self.waiting += 1;
        self.first + self.records.len() as u64 - 1
    }

    pub(super) fn read_to(&mut self, position: Position) {
        self.read_to = position;
    }

    pub(super) fn done(&mut self, numbers: &[u64]) {
        for number in numbers {
            let taken = &mut self.records[(number - self.first) as usize];
            debug_assert!(!taken.done, "a record is done once");
            taken.done = true;
            self.bytes -= taken.bytes;
            self.waiting -= 1;
        }
        while self.records.front().is_some_and(|taken| taken.done) {
            self.records.pop_front();
            self.first += 1;
        }
    }

    /// Everything before this place is done.
    pub(super) fn position(&self) -> Position {
        self.records.front().map_or(self.read_to, |taken| taken.position)
    }

    pub(super) fn is_done(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records are not done, and what they take in events, in bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.waiting, self.bytes)
    }

    /// How many records are held, done ones behind others included.
    pub(super) fn held(&self) -> usize {
        self.records.len()
    }
}
