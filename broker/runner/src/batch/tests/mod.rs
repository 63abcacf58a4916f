//! One thing at a time by example, and anything at all against what is promised.

mod examples;
mod promises;
mod run;
mod settings;
mod windows;

use bytes::Bytes;
use millrace_core::{Position, SequenceNumber, ShardId, StoredRecord};

use super::*;
use crate::event::{EventRecord, EventWriter, Origin};

fn writer() -> EventWriter {
    EventWriter::new(Origin {
        shard: ShardId(3),
        stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(),
        region: "us-east-1".into(),
        invoke_identity_arn: "arn:aws:iam::000000000000:role/r".into(),
    })
}

fn sequence(pack: u64) -> SequenceNumber {
    SequenceNumber { epoch: 1, position: Position::at_pack(pack) }
}

/// The record in a pack of its own.
fn record(pack: u64, key: &str, arrival_ms: i64, data: &str) -> EventRecord {
    let record = StoredRecord {
        partition_key: Bytes::copy_from_slice(key.as_bytes()),
        explicit_hash_key: None,
        arrival_ms,
        data: Bytes::copy_from_slice(data.as_bytes()),
    };
    EventRecord { sequence: sequence(pack), record }
}

fn start() -> Checkpoint {
    Checkpoint::at(Position::at_pack(1))
}

fn batcher(settings: Settings) -> ShardBatcher {
    settings.check().unwrap();
    ShardBatcher::new(settings, writer(), start())
}

/// Records 1 to `count` of one key, which arrived at 0 ms.
fn records(count: u64) -> Vec<EventRecord> {
    (1..=count).map(|pack| record(pack, "k", 0, "data")).collect()
}

fn packs(batch: &Batch) -> Vec<u64> {
    batch.iter().map(|record| record.sequence.position.pack).collect()
}

fn answered(payload: &str) -> Outcome {
    Outcome::Answered { request_id: "r".into(), payload: Bytes::copy_from_slice(payload.as_bytes()) }
}

fn failed() -> Outcome {
    Outcome::Failed { request_id: "r".into() }
}
