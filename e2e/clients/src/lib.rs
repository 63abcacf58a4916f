//! Unmodified clients, each in its own language, as programs that use a stream: what they do is in `README.md`.
//!
//! What they stand on comes from `make clients`; without it they don't start, and nothing is downloaded for them.

mod child;
mod dev;
mod programs;

pub use child::Child;
pub use dev::{Dev, said};
pub use programs::{aggregated, dynamodb_local, go, java, javascript, kcl, rust};

/// What each SDK prints when it tells the story.
pub const STORY: &str = "\
refused: ResourceInUseException ResourceNotFoundException InvalidArgumentException
listed: 3 shards in 3 pages
read: 300 records, byte for byte
subscribed: all of a shard, \"live\", then 2 children
split and merged: 6 shards, 3 open
the end of a closed shard: 2 children
deleted
";
