//! The pure part of the broker: what the words of the protocol mean and how they change.
//!
//! Nothing here does I/O, reads a clock or draws a random number of its own: values go in, values come out.

pub mod attributes;
pub mod beat;
pub mod floor;
pub mod hash;
pub mod id;
pub mod keys;
pub mod lane;
pub mod load;
pub mod map;
pub mod pack;
pub mod plan;
pub mod sequence;
pub mod stream;
pub mod token;

pub use attributes::{AccountSettings, Consumer, StreamAttributes};
pub use floor::{Floor, FloorWindow};
pub use hash::{HashKey, HashRange};
pub use id::{BrokerId, DataId, Lane, ShardId};
pub use map::{ClosedShard, OpenShard, Reshard, ShardMap};
pub use pack::{Pack, PackKind, Record, StoredRecord};
pub use sequence::{Epoch, Position, SequenceNumber};
pub use stream::{Autoscaling, CapacityMode, Limits, RecordSize, StreamConfig, StreamEntry, StreamState};
