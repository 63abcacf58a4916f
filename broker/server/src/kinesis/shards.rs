//! Shards as clients see them, and as they name them.

use millrace_core::map::Parents;
use millrace_core::{SequenceNumber, ShardId};
use serde::Serialize;

use crate::broker::{ReadBatch, Shard};

/// A part of the hash space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HashKeyRange {
    pub(super) starting_hash_key: String,
    pub(super) ending_hash_key: String,
}

/// Where a shard begins and, if it has ended, where it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
}

/// A shard, in `ListShards` and `DescribeStream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardForm {
    shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adjacent_parent_shard_id: Option<String>,
    hash_key_range: HashKeyRange,
    sequence_number_range: SequenceNumberRange,
}

/// A shard that goes on where another ended, in `GetRecords`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChildForm {
    shard_id: String,
    parent_shards: Vec<String>,
    hash_key_range: HashKeyRange,
}

impl Shard {
    /// When it began to take records, in Unix milliseconds.
    pub(super) fn opened_ms(&self) -> i64 {
        match self {
            Shard::Open { shard, .. } => shard.opened_ms,
            Shard::Closed(shard) => shard.opened_ms,
        }
    }

    /// When it took its last record, in Unix milliseconds, if it takes no more.
    pub(super) fn closed_ms(&self) -> Option<i64> {
        match self {
            Shard::Open { .. } => None,
            Shard::Closed(shard) => Some(shard.closed_ms),
        }
    }

    fn parents(&self) -> Parents {
        match self {
            Shard::Open { shard, .. } => shard.parents,
            Shard::Closed(shard) => shard.parents,
        }
    }

    fn hash_key_range(&self) -> HashKeyRange {
        let range = match self {
            Shard::Open { range, .. } => *range,
            Shard::Closed(shard) => shard.range,
        };
        HashKeyRange { starting_hash_key: range.start.to_string(), ending_hash_key: range.end.to_string() }
    }
}

impl From<&Shard> for ShardForm {
    fn from(shard: &Shard) -> ShardForm {
        let ending = match shard {
            Shard::Open { .. } => None,
            Shard::Closed(closed) => Some(SequenceNumber::end_of(closed.epoch, closed.end).to_string()),
        };
        let parents = shard.parents();
        ShardForm {
            shard_id: shard.id().to_string(),
            parent_shard_id: parents.parent.map(|id| id.to_string()),
            adjacent_parent_shard_id: parents.adjacent.map(|id| id.to_string()),
            hash_key_range: shard.hash_key_range(),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: SequenceNumber::start_of(shard.epoch()).to_string(),
                ending_sequence_number: ending,
            },
        }
    }
}

impl ChildForm {
    /// The shards that go on where a reader came to an end.
    pub(super) fn of(batch: &ReadBatch) -> Vec<ChildForm> {
        batch.children.iter().map(ChildForm::from).collect()
    }
}

impl From<&Shard> for ChildForm {
    fn from(shard: &Shard) -> ChildForm {
        ChildForm {
            shard_id: shard.id().to_string(),
            parent_shards: shard.parents().iter().map(|id| id.to_string()).collect(),
            hash_key_range: shard.hash_key_range(),
        }
    }
}

/// The shard that a client means. The service takes any text that ends in the shard's number, after the last
/// dash if there is one: `shardId-000000000007`, `shardId-7`, `7`.
pub(super) fn shard_id(text: &str) -> Option<ShardId> {
    let digits = text.rsplit('-').next().unwrap_or(text);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?;
    number.filter(|number| *number <= i32::MAX as u64).map(ShardId)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use millrace_core::{ClosedShard, HashKey, HashRange, Lane, OpenShard};
    use serde_json::json;

    pub(in crate::kinesis) fn open(id: u64, opened_ms: i64, parents: Parents) -> Shard {
        let shard =
            OpenShard { id: ShardId(id), epoch: 2, lane: Lane(0), start: HashKey(5), parents, opened_ms };
        Shard::Open { range: HashRange { start: HashKey(5), end: HashKey(9) }, shard }
    }

    pub(in crate::kinesis) fn closed(id: u64, opened_ms: i64, closed_ms: i64) -> Shard {
        Shard::Closed(ClosedShard {
            id: ShardId(id),
            epoch: 1,
            lane: Lane(0),
            range: HashRange { start: HashKey(5), end: HashKey(9) },
            parents: Parents::default(),
            opened_ms,
            closed_ms,
            end: 77,
            children: vec![ShardId(8)],
        })
    }

    #[test]
    fn a_shard_is_shown_with_its_parents_and_its_end() {
        let parents = Parents { parent: Some(ShardId(1)), adjacent: Some(ShardId(2)) };
        let shown = serde_json::to_value(ShardForm::from(&open(8, 0, parents))).unwrap();
        let start = SequenceNumber::start_of(2).to_string();
        let expected = json!({
            "ShardId": "shardId-000000000008",
            "ParentShardId": "shardId-000000000001",
            "AdjacentParentShardId": "shardId-000000000002",
            "HashKeyRange": {"StartingHashKey": "5", "EndingHashKey": "9"},
            "SequenceNumberRange": {"StartingSequenceNumber": start},
        });
        assert_eq!(shown, expected);
        let shown = serde_json::to_value(ShardForm::from(&closed(1, 0, 1))).unwrap();
        let end = SequenceNumber::end_of(1, 77).to_string();
        assert_eq!(shown["SequenceNumberRange"]["EndingSequenceNumber"], end);
        assert_eq!(shown.get("ParentShardId"), None);
    }

    #[test]
    fn shards_are_known_by_the_number_that_their_names_end_in() {
        for text in ["shardId-000000000007", "shardId-7", "x-00007", "-7", "7"] {
            assert_eq!(shard_id(text), Some(ShardId(7)), "{text}");
        }
        for text in
            ["", "shardId-", "shardId", "2147483648", "2.1E4", "shardId-7x", "shardId-99999999999999999999"]
        {
            assert_eq!(shard_id(text), None, "{text}");
        }
    }
}
