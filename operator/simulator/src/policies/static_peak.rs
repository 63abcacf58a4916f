//! As many shards of equal width as the peak takes, always: what Kinesis' guide advises for provisioned streams (Amazon
//! Kinesis Data Streams Developer Guide, "Choose the right mode": shards = peak rate / a shard's rate).

use millrace_core::plan::Action;

use super::{Scaler, Seen};

/// `static-peak`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticPeak {
    /// How many shards.
    pub shards: u32,
}

impl Scaler for StaticPeak {
    fn first_shards(&self) -> u32 {
        self.shards
    }

    fn decide(&mut self, _: &Seen<'_>) -> Vec<Action> {
        Vec::new()
    }

    fn next_look_s(&self, _: u64) -> u64 {
        u64::MAX
    }
}
