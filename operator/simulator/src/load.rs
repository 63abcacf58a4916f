//! The load that is simulated: how many records a second, and on which keys.

use crate::keys::Keys;

/// A time in which the load stays the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// How long, in seconds.
    pub for_s: u64,
    /// Records that are offered each second.
    pub records_per_s: f64,
    /// On which of the load's key sets.
    pub keys: usize,
}

/// A load over time.
#[derive(Clone, Debug)]
pub struct Load {
    /// When it begins, in Unix seconds: only a floor looks at it.
    pub start_s: i64,
    /// One after another.
    pub segments: Vec<Segment>,
    /// The keys that records go to, and how they share in them. Recorded loads have one set; made-up ones, whose hot
    /// keys move, have several.
    pub keys: Vec<Keys>,
}

impl Load {
    /// A load on one set of keys, from the beginning of 1970 on.
    pub fn new(segments: Vec<Segment>, keys: Keys) -> Load {
        Load { start_s: 0, segments, keys: vec![keys] }
    }

    /// How long it lasts, in seconds.
    pub fn seconds(&self) -> u64 {
        self.segments.iter().map(|segment| segment.for_s).sum()
    }

    /// All records that are offered.
    pub fn records(&self) -> f64 {
        self.segments.iter().map(|segment| segment.records_per_s * segment.for_s as f64).sum()
    }
}
