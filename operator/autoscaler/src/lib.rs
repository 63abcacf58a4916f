//! Decides which shards to split and merge: pure
