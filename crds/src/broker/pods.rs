//! Where a Broker's pods run, and how clients reach them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where pods may run. What is not said is the operator's choice: spread over zones and nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// The labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// The taints that do not keep pods away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// What attracts pods and what keeps them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How pods spread over zones and nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
}

/// How clients reach the brokers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'")
    .message("a ClusterIP Service has no port on nodes: set type: NodePort or LoadBalancer, or leave nodePort out")
    .field_path(".nodePort"))]
pub struct Service {
    /// The Service's type.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// The port that every API is served on.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// The port of every node that leads there; one that the cluster chooses when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub node_port: Option<i32>,
    /// The Service's annotations, for the cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('millrace.dev/'))")
        .message("annotations of millrace.dev/ are the operator's own: leave them out"))]
    pub annotations: BTreeMap<String, String>,
    /// TLS towards clients; the APIs are served without TLS when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServiceTls>,
}

/// The certificate that clients are shown.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceTls {
    /// The Secret with tls.crt and tls.key, of type kubernetes.io/tls and in this namespace. It is followed when it is
    /// renewed.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')").message(
        "write the name of a Secret of this namespace as kubectl get secrets shows it: no pod could ever mount another"
    ))]
    pub secret_name: String,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            type_: ServiceType::default(),
            port: default_port(),
            node_port: None,
            annotations: BTreeMap::new(),
            tls: None,
        }
    }
}

fn default_port() -> i32 {
    4566
}

/// A Service's type.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// Reached from within the cluster.
    #[default]
    ClusterIP,
    /// Reached at a port of every node.
    NodePort,
    /// Reached through the cloud's load balancer.
    LoadBalancer,
}
