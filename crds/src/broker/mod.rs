//! `Broker`: the servers that keep streams, and the brokers that serve them.

mod pods;
#[cfg(test)]
mod tests;

pub use pods::{Scheduling, Service, ServiceTls, ServiceType};

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::ByteQuantity;

const SIZE_RULE: &str = "quantity(string(self)).isInteger() && \
    quantity(string(self)).compareTo(quantity('1Gi')) >= 0 && \
    quantity(string(self)).compareTo(quantity('1Pi')) <= 0";

/// What a user asks of a Broker.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "millrace.dev",
    version = "v1alpha1",
    kind = "Broker",
    namespaced,
    status = "BrokerStatus",
    derive = "PartialEq",
    category = "millrace",
    shortname = "mrb",
    doc = "A Broker keeps the streams of its namespace: log servers that store them, and brokers that serve the APIs.",
    printcolumn(name = "Brokers", type_ = "integer", json_path = ".status.readyBrokers"),
    printcolumn(name = "Log servers", type_ = "integer", json_path = ".status.readyLogServers"),
    printcolumn(name = "Durability", type_ = "string", json_path = ".status.durability"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40").message(
        "give the Broker a name of at most 40 characters: its pods' names begin with it"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')").message(
        "give the Broker a name that begins with a letter and has no dots: its Services' names begin with it"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct BrokerSpec {
    /// The servers that store streams.
    #[serde(default)]
    pub log: Log,
    /// When a record is acknowledged.
    #[serde(default)]
    pub durability: Durability,
    /// How many brokers serve the APIs.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: i32,
    /// What each broker's pod asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where the brokers' pods may run.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// How clients reach the brokers.
    #[serde(default)]
    pub service: Service,
}

impl Default for BrokerSpec {
    fn default() -> BrokerSpec {
        BrokerSpec {
            log: Log::default(),
            durability: Durability::default(),
            replicas: two(),
            resources: None,
            scheduling: Scheduling::default(),
            service: Service::default(),
        }
    }
}

fn two() -> i32 {
    2
}

fn three() -> i32 {
    3
}

/// The servers that store streams.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.replicas <= self.servers")
        .message("each replica needs a server of its own: raise servers or lower replicas")
        .field_path(".replicas"),
    validation = Rule::new("self.servers >= oldSelf.servers")
        .message("a server that goes takes replicas of streams along: servers can only be added")
        .field_path(".servers"),
    validation = Rule::new("oldSelf.servers > 1 || self.servers == 1")
        .message("a single server keeps its streams in a form that no others can join: make another Broker with more")
        .field_path(".servers")
)]
pub struct Log {
    /// How many servers there are: an odd number, so that a majority remains when one is lost.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self in [1, 3, 5]").message("write 1, 3 or 5: an even number survives no more losses"))]
    pub servers: i32,
    /// On how many of them each record is stored.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 3))]
    #[x_kube(validation = Rule::new("self in [1, 3]").message("write 1 or 3: two replicas stop when either is lost"))]
    pub replicas: i32,
    /// The volume of each server.
    #[serde(default)]
    pub storage: Storage,
    /// What each server's pod asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where the servers' pods may run.
    #[serde(default)]
    pub scheduling: Scheduling,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            servers: three(),
            replicas: three(),
            storage: Storage::default(),
            resources: None,
            scheduling: Scheduling::default(),
        }
    }
}

/// A server's volume.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && \
         (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)"
    )
    .message("a volume keeps its storage class: make another Broker on the class you want")
    .field_path(".storageClassName")
)]
pub struct Storage {
    /// The volume's size.
    #[serde(default = "twenty_gibibytes")]
    #[x_kube(
        validation = Rule::new(SIZE_RULE).message("write a size of whole bytes, 1Gi to 1Pi, such as 20Gi"),
        validation = Rule::new("quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0")
            .message("a volume can grow but not shrink: write the old size or a larger one")
    )]
    pub size: ByteQuantity,
    /// The volume's storage class; the cluster's default when it is not said. It can't be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')").message(
        "write the name of a storage class as kubectl get storageclass shows it: no volume could ever be had otherwise"
    ))]
    pub storage_class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Storage {
        Storage { size: twenty_gibibytes(), storage_class_name: None }
    }
}

fn twenty_gibibytes() -> ByteQuantity {
    ByteQuantity::new("20Gi")
}

/// When a record is acknowledged.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once a majority of replicas has it on disk.
    #[default]
    Synced,
    /// Once a majority of replicas has it in memory: a power failure may take what was acknowledged.
    Relaxed,
}

/// What a controller says of a Broker.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// The generation of the spec that all of this was said of; -1 before anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready always; Reconciling, Stalled and StorageFull only while they are so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many log servers are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_log_servers: Option<i32>,
    /// How many brokers are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_brokers: Option<i32>,
    /// When a record is acknowledged, as the servers run now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Where clients within the cluster reach the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// The Secret with the first access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub access_key_secret: Option<String>,
    /// The certificates that log servers and brokers know each other by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateStatus>,
}

/// The certificates that log servers and brokers know each other by.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// A digest of what was put into Secrets.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// When they are replaced.
    pub renew_at: Time,
    /// When they end, if they are not replaced.
    pub expire_at: Time,
}
