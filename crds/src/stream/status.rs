//! What a controller says of a stream.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AutoscalerStatus;

/// What a controller says of a stream. The shard map in the log is the truth; this mirrors it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// The generation of the spec that all of this was said of; -1 before anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready always; Reconciling, Stalled, StorageFull and HotKey only while they are so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The Amazon resource name that clients may use, within this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub arn: Option<String>,
    /// What names the stream's data in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 26))]
    pub data_id: Option<String>,
    /// How many shards take records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub open_shards: Option<i32>,
    /// How many splits and merges are under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub reshards: Option<i32>,
    /// How many lanes the stream has in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub lanes: Option<i32>,
    /// The first open shards in the order of their hash ranges, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub shards: Vec<ShardStatus>,
    /// What the autoscaler sees and waits for, and what it did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<AutoscalerStatus>,
}

/// An open shard.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its id, such as shardId-000000000000.
    #[schemars(length(max = 32))]
    pub id: String,
    /// The first hash key of its range, a decimal.
    #[schemars(length(max = 39))]
    pub starting_hash_key: String,
    /// The last hash key of its range, a decimal.
    #[schemars(length(max = 39))]
    pub ending_hash_key: String,
    /// When it was opened.
    pub opened_at: Time,
}
