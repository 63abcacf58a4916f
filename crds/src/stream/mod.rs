//! `Stream`: records in order, in shards that split and merge by themselves.

mod autoscaler;
mod capacity;
mod config;
mod declared;
mod floor;
mod status;
#[cfg(test)]
mod tests;

pub use autoscaler::{
    AutoscalerStatus, DecisionStatus, HotKeyStatus, MAX_DECISIONS, MAX_HOT_KEYS, MAX_MESSAGE,
};
pub use capacity::{Autoscaling, Capacity, Mode, ShardTarget};
pub use config::ConfigError;
pub use floor::{Day, FloorWindow};
pub use status::{ShardStatus, StreamStatus};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::ByteQuantity;
use crate::retention::{RANGE_MESSAGE, RANGE_RULE, Retention};

const SAME_NAME_RULE: &str = "(has(self.spec.streamName) ? self.spec.streamName : self.metadata.name) == \
    (has(oldSelf.spec.streamName) ? oldSelf.spec.streamName : oldSelf.metadata.name)";
const QUOTA_RULE: &str = "quantity(string(self)).isInteger() && \
    quantity(string(self)).compareTo(quantity('64Mi')) >= 0 && \
    quantity(string(self)).compareTo(quantity('1Pi')) <= 0";
const RECORD_RULE: &str = "quantity(string(self)).isInteger() && \
    quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && \
    quantity(string(self)).compareTo(quantity('10Mi')) <= 0";

/// What Kinesis takes for a stream's name (API: `CreateStream`).
pub(crate) const NAME_PATTERN: &str = "^[a-zA-Z0-9_.-]{1,128}$";
/// [`NAME_PATTERN`] for people.
pub(crate) const NAME_FORM: &str = "is no stream's name: write 1 to 128 letters, digits, '_', '.' or '-'";

/// What a user asks of a stream.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Stream",
    namespaced,
    status = "StreamStatus",
    derive = "PartialEq",
    category = "millrace",
    shortname = "mrs",
    doc = "A Stream takes records and gives them back in the order of their partition keys, for as long as its retention says. Its shards split and merge with the load.",
    scale(spec_replicas_path = ".spec.capacity.shards", status_replicas_path = ".status.openShards"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.capacity.mode"),
    printcolumn(name = "Shards", type_ = "integer", json_path = ".status.openShards"),
    printcolumn(name = "Retention", type_ = "string", json_path = ".spec.retention"),
    printcolumn(
        name = "Autoscaler",
        type_ = "string",
        json_path = ".status.autoscaler.standing",
        priority = 1
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(SAME_NAME_RULE).message(
        "a stream's name stays: make another Stream, and let its writers and readers move there"
    ),
    validation = Rule::new("has(self.spec.streamName) || self.metadata.name.size() <= 128").message(
        "set spec.streamName: the object's name is longer than the 128 characters that a stream's name may have"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct StreamSpec {
    /// The name that clients use: 1 to 128 of letters, digits, `_`, `.` and `-`. It defaults to the object's
    /// name, can't be changed, and is unique in its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = NAME_PATTERN))]
    pub stream_name: Option<String>,
    /// The Broker of this namespace that keeps the stream. It can't be changed.
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self.name == oldSelf.name").message(
            "a stream's records lie in its Broker's log and can't move: make another Stream for another Broker"
        ),
        validation = Rule::new("self.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')").message(
            "write the name of a Broker of this namespace, such as default: a Stream has no other namespace's Broker"
        ).field_path(".name")
    )]
    pub broker_ref: BrokerRef,
    /// How many shards there are, and who decides that.
    #[serde(default)]
    pub capacity: Capacity,
    /// How long records are kept, as hours, minutes and seconds: 24h to 8760h (365 days).
    #[serde(default = "day")]
    #[x_kube(validation = Rule::new(RANGE_RULE).message(RANGE_MESSAGE))]
    pub retention: Retention,
    /// The most that the stream may store, before replication. What comes then is throttled.
    #[serde(default = "ten_gibibytes")]
    #[x_kube(validation = Rule::new(QUOTA_RULE).message("write a quota of whole bytes, 64Mi to 1Pi, such as 10Gi"))]
    pub quota: ByteQuantity,
    /// The most that one record may hold: 1Mi to 10Mi.
    #[serde(default = "mebibyte")]
    #[x_kube(validation = Rule::new(RECORD_RULE).message("write whole bytes of 1Mi to 10Mi, such as 1Mi"))]
    pub max_record_size: ByteQuantity,
    /// Whether requests are held to Kinesis' quotas, or may be as fast as the log is.
    #[serde(default)]
    pub limits: Limits,
    /// What becomes of the records when this object is deleted. Retain keeps them for a Stream that is made
    /// under the same name later.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

impl Default for StreamSpec {
    fn default() -> StreamSpec {
        StreamSpec {
            stream_name: None,
            broker_ref: BrokerRef::default(),
            capacity: Capacity::default(),
            retention: day(),
            quota: ten_gibibytes(),
            max_record_size: mebibyte(),
            limits: Limits::default(),
            deletion_policy: DeletionPolicy::default(),
        }
    }
}

fn day() -> Retention {
    Retention::new("24h")
}

fn ten_gibibytes() -> ByteQuantity {
    ByteQuantity::new("10Gi")
}

fn mebibyte() -> ByteQuantity {
    ByteQuantity::new("1Mi")
}

/// Names a Broker of the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct BrokerRef {
    /// The Broker's name. Its namespace is the Stream's.
    #[schemars(length(min = 1, max = 40))]
    pub name: String,
}

impl Default for BrokerRef {
    fn default() -> BrokerRef {
        BrokerRef { name: "default".to_owned() }
    }
}

/// Whether requests are held to Kinesis' quotas.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// Kinesis' own limits per shard.
    #[default]
    Kinesis,
    /// As fast as the log goes.
    None,
}

/// What becomes of the records when the object goes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay in the log.
    #[default]
    Retain,
    /// They are deleted, and the object stays until they are.
    Delete,
}

impl Stream {
    /// The name that clients use.
    pub fn stream_name(&self) -> &str {
        let object_name = self.metadata.name.as_deref().unwrap_or_default();
        self.spec.stream_name.as_deref().unwrap_or(object_name)
    }
}
