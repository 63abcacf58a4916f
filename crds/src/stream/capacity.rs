//! How many shards a stream has, and who decides that.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::FloorWindow;
use crate::quantity::ByteQuantity;

const RATE_RULE: &str = "quantity(string(self)).isInteger() && \
    quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && \
    quantity(string(self)).compareTo(quantity('1Gi')) <= 0";

/// How many shards there are, and who decides that.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minShards <= self.maxShards")
        .message("minShards is above maxShards: lower the one or raise the other")
        .field_path(".minShards"),
    validation = Rule::new("self.mode != 'OnDemand' || self.shards >= self.minShards")
        .message("a stream can't begin with fewer shards than minShards: raise shards or lower minShards")
        .field_path(".shards"),
    validation = Rule::new("self.mode != 'OnDemand' || self.shards <= self.maxShards")
        .message("a stream can't begin with more shards than maxShards: lower shards or raise maxShards")
        .field_path(".shards"),
    validation = Rule::new("self.mode != 'Provisioned' || !has(self.autoscaling) || self.autoscaling != 'Apply'")
        .message("a Provisioned stream has the shards it was given: set mode: OnDemand, or autoscaling: Recommend")
        .field_path(".autoscaling"),
    validation = Rule::new("self.mode != 'Provisioned' || !has(self.floor) || self.floor.size() == 0")
        .message("a floor is for streams whose shards follow their load: set mode: OnDemand, or leave floor out")
        .field_path(".floor"),
    validation = Rule::new("!has(self.floor) || self.floor.all(window, window.shards <= self.maxShards)")
        .message("a window of the floor asks for more shards than maxShards: lower its shards or raise maxShards")
        .field_path(".floor")
)]
pub struct Capacity {
    /// OnDemand: the autoscaler decides, by load. Provisioned: `shards` does.
    #[serde(default)]
    pub mode: Mode,
    /// Provisioned: how many shards there are. OnDemand: how many there are to begin with.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 8000))]
    pub shards: i32,
    /// OnDemand: the fewest shards that the autoscaler leaves.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 8000))]
    pub min_shards: i32,
    /// OnDemand: the most shards that the autoscaler makes.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 8000))]
    pub max_shards: i32,
    /// OnDemand: windows of time in which there are at least so many shards, for peaks that are known beforehand. The
    /// shards are there when a window begins; after it, they are merged as the load lets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub floor: Vec<FloorWindow>,
    /// What one shard shall carry. Above that the autoscaler splits it.
    #[serde(default)]
    pub target_per_shard: ShardTarget,
    /// The shortest wait before the autoscaler merges neighbours that could be one, in seconds. It begins with three
    /// times as long, and learns from how soon load comes back: down to this, or up to twelve times as long.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1, max = 86_400))]
    pub merge_after_seconds: i32,
    /// Whether the autoscaler's plans are carried out, only told, or not made. Apply unless something else is
    /// said in OnDemand, Disabled in Provisioned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity {
            mode: Mode::default(),
            shards: four(),
            min_shards: one(),
            max_shards: thousand(),
            floor: Vec::new(),
            target_per_shard: ShardTarget::default(),
            merge_after_seconds: five_minutes(),
            autoscaling: None,
        }
    }
}

impl Capacity {
    /// Whether the autoscaler's plans are carried out, with the mode's default applied.
    pub fn autoscaling(&self) -> Autoscaling {
        self.autoscaling.unwrap_or(match self.mode {
            Mode::OnDemand => Autoscaling::Apply,
            Mode::Provisioned => Autoscaling::Disabled,
        })
    }
}

fn one() -> i32 {
    1
}

fn four() -> i32 {
    4
}

fn thousand() -> i32 {
    1_000
}

fn five_minutes() -> i32 {
    300
}

/// Who decides how many shards there are.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The autoscaler, by load.
    #[default]
    OnDemand,
    /// The user, by a number.
    Provisioned,
}

/// Whether the autoscaler's plans are carried out. (Not `On` and `Off`: YAML 1.1, which kubectl reads, takes
/// these for booleans.)
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Autoscaling {
    /// Plans are carried out.
    Apply,
    /// Plans are told as Events, and nothing is done.
    Recommend,
    /// No plans are made.
    Disabled,
}

/// What one shard shall carry.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ShardTarget {
    /// Bytes a second, as an amount such as 1Mi.
    #[serde(default = "mebibyte")]
    #[x_kube(validation = Rule::new(RATE_RULE).message("write whole bytes a second of 1Ki to 1Gi, such as 1Mi"))]
    pub bytes_per_second: ByteQuantity,
    /// Records a second.
    #[serde(default = "thousand_records")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub records_per_second: i64,
}

impl Default for ShardTarget {
    fn default() -> ShardTarget {
        ShardTarget { bytes_per_second: mebibyte(), records_per_second: thousand_records() }
    }
}

fn mebibyte() -> ByteQuantity {
    ByteQuantity::new("1Mi")
}

fn thousand_records() -> i64 {
    1_000
}
