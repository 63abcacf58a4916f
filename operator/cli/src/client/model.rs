//! What the Kinesis API says, as far as these tools read it.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// A shard in `ListShards`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApiShard {
    /// Its id.
    pub shard_id: String,
    /// The shard that was split, or the one named first in a merge.
    pub parent_shard_id: Option<String>,
    /// The other shard of a merge.
    pub adjacent_parent_shard_id: Option<String>,
    /// Its part of the hash space.
    pub hash_key_range: ApiHashRange,
    /// Where it begins and ends.
    pub sequence_number_range: ShardSequence,
}

/// A part of the hash space, in decimals.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApiHashRange {
    /// The first hash key.
    pub starting_hash_key: String,
    /// The last hash key.
    pub ending_hash_key: String,
}

/// Where a shard begins and ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardSequence {
    /// Only a closed shard has an end.
    pub ending_sequence_number: Option<String>,
}

/// A record to write, in `PutRecords`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutRecordsEntry {
    /// Its data, in base 64.
    pub data: String,
    /// Its partition key.
    pub partition_key: String,
}

/// An answer of `GetRecords`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecordsOutput {
    /// What was read.
    pub records: Vec<ApiRecord>,
    /// Where to go on; none when the shard has ended.
    pub next_shard_iterator: Option<String>,
    /// How far behind the newest record this is, in milliseconds.
    pub millis_behind_latest: Option<i64>,
}

/// A record that was read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ApiRecord {
    /// Its sequence number.
    pub sequence_number: String,
    /// Its partition key.
    pub partition_key: String,
    /// Its data, in base 64.
    pub data: String,
    /// When it arrived. The API writes seconds with a fraction.
    #[serde(rename = "ApproximateArrivalTimestamp", deserialize_with = "unix_seconds")]
    pub arrived: Timestamp,
}

fn unix_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Timestamp::from_millisecond((seconds * 1_000.0).round() as i64).map_err(serde::de::Error::custom)
}
