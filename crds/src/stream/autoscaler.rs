//! What a controller says of the autoscaler's view of a stream.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most decisions that a status holds.
pub const MAX_DECISIONS: usize = 10;
/// The most hot keys that a status holds.
pub const MAX_HOT_KEYS: usize = 8;
/// The longest message of a status, in characters.
pub const MAX_MESSAGE: usize = 1_024;

/// What the autoscaler sees and waits for, and what it did last. `kubectl millrace why stream/NAME` tells it with what to
/// do. Figures follow the load in steps, and at most once a minute; another standing is told at once, or within a
/// minute where both are calm.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalerStatus {
    /// Why it acts or does not. Steady: no shard is above its target, and no neighbours would fit into one. Watching: a
    /// shard is above its target and will be split if it stays there. Resharding: splits or merges are under way.
    /// CoolingDown: neighbours are merged at `mergeAt` if load stays as it is. AtMin, AtMax, AtFloor: `minShards`,
    /// `maxShards` or a window of `floor` is in the way. HotKey: one key brings more than a shard takes. Recommends: there is advice (autoscaling:
    /// Recommend). Provisioned: `shards` decides. Off: autoscaling is Disabled. Unheard: no broker reports loads.
    /// Untended: the stream itself is in trouble. Blocked: what would have to be done can't be. Others may come.
    #[schemars(length(max = 32))]
    pub standing: String,
    /// The same as a sentence with its figures.
    #[schemars(length(max = 1_024))]
    pub message: String,
    /// Since when it stands so.
    pub since: Time,
    /// When this was seen. What is seen later and differs little is not written.
    pub observed_at: Time,
    /// The highest load of any one shard of the last minutes, in per cent of its target; where load decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub busiest_percent: Option<i32>,
    /// When neighbours are merged if load stays as it is, while CoolingDown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_at: Option<Time>,
    /// Keys that alone bring more than a shard takes, the heaviest first, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub hot_keys: Vec<HotKeyStatus>,
    /// The last decisions, the newest first, at most 10. One that changes nothing is listed once an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub decisions: Vec<DecisionStatus>,
}

/// A key that alone brings more than a shard takes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HotKeyStatus {
    /// The MD5 of the partition key, a decimal.
    #[schemars(length(max = 39))]
    pub hash_key: String,
    /// The shard that it lies in.
    #[schemars(length(max = 32))]
    pub shard: String,
    /// What it brings, in per cent of a shard's target.
    #[schemars(range(min = 0))]
    pub percent: i32,
}

/// Something that the autoscaler has decided.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// When.
    pub time: Time,
    /// One word, as the Event has it: Split, Merge, AtMaxShards, HotKey, OutOfBounds, Resize, Refused; with Recommended
    /// before it where it is advice. Others may come.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A sentence with what was seen, what is done about it, and what is expected of that.
    #[schemars(length(max = 1_024))]
    pub message: String,
    /// Whether it was carried out; otherwise it is advice, or nothing could be done.
    pub applied: bool,
}
