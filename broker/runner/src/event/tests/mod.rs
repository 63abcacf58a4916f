//! Held against the documentation's examples, and read by the types that functions in Rust use.

mod answers;
mod destinations;
mod events;

use bytes::Bytes;
use millrace_core::{Position, SequenceNumber, ShardId, StoredRecord};

use super::*;

fn writer() -> EventWriter {
    EventWriter::new(Origin {
        shard: ShardId(6),
        stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream".into(),
        region: "us-east-2".into(),
        invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".into(),
    })
}

fn sequence(pack: u64) -> SequenceNumber {
    SequenceNumber { epoch: 1, position: Position::at_pack(pack) }
}

fn record(pack: u64, key: &str, arrival_ms: i64, data: &[u8]) -> EventRecord {
    let record = StoredRecord {
        partition_key: Bytes::copy_from_slice(key.as_bytes()),
        explicit_hash_key: None,
        arrival_ms,
        data: Bytes::copy_from_slice(data),
    };
    EventRecord { sequence: sequence(pack), record }
}
