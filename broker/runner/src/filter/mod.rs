//! Filter criteria: which records of a source a function is invoked with.
//!
//! The patterns are those of Lambda's filter criteria and of EventBridge: [`compile`] reads them once into one
//! [`tree`] for all patterns of a source, which then walks each record's JSON once, without building it in memory.

mod compile;
mod json;
mod kinesis;
mod operators;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use compile::{Filter, PatternError};
pub use kinesis::{Criteria, CriteriaError, KinesisRecord};

/// How many filters a source may have unless its quota is raised.
pub const FILTERS: usize = 5;
/// How many filters a source may have with a raised quota.
pub const MOST_FILTERS: usize = 10;
/// How long one filter may be, in characters.
pub const MAX_PATTERN_CHARS: usize = 4_096;
