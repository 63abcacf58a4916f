//! An event source mapping on one shard, as a state machine: records, the time and what came of invocations go in;
//! what to invoke, what to give up and how far the shard is done comes out.
//!
//! A shard's records are spread over lanes by their partition keys. A lane works on one batch at a time, so that
//! records of one key stay in order, and batches of different lanes never share a key. What fails is tried again, cut
//! in two or given up within its lane, before anything that came later there. Everything below a [`Checkpoint`] is
//! done: the function answered, the failure destination has it, or no filter wanted it.

mod action;
mod lane;
mod piece;
mod progress;
mod settings;
mod shard;
#[cfg(test)]
mod tests;
mod window;

pub use action::{Action, Attempt, Batch, InvocationId, Outcome, WindowBatch};
pub use progress::Checkpoint;
pub use settings::{MAX_PAYLOAD_BYTES, Settings, SettingsError};
pub use shard::{Room, ShardBatcher};
pub use window::{MAX_STATE_BYTES, OpenWindow};
