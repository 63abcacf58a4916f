//! What a Broker's objects are called.

use millrace_crds::Broker;
use millrace_crds::broker::Service;

use crate::settings::Settings;

/// The port that clients and brokers reach nats-server on.
pub const NATS_PORT: u16 = 4222;
/// The port that nats-servers reach each other on.
pub const ROUTE_PORT: u16 = 6222;
/// The port that nats-server tells about itself on, on loopback.
pub const MONITOR_PORT: u16 = 8222;
/// The port that a broker serves its APIs on.
pub const API_PORT: u16 = 4566;
/// What that port is called.
pub const API_PORT_NAME: &str = "api";
/// What it is called where it speaks TLS.
pub const HTTPS_PORT_NAME: &str = "https-api";
/// The port that brokers reach each other on.
pub const PEER_PORT: u16 = 7422;
/// The port that a broker answers probes on.
pub const ADMIN_PORT: u16 = 8080;
/// The port that a log server's keeper answers probes on.
pub const KEEPER_PORT: u16 = 8081;

/// What a Broker's objects are called. Its own name is at most 40 characters long, so that all of these are labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names {
    /// The Broker's namespace, and so that of all of its objects.
    pub namespace: String,
    /// The Broker's name.
    pub broker: String,
}

impl Names {
    /// Those of this Broker.
    pub fn of(broker: &Broker) -> Names {
        Names {
            namespace: broker.metadata.namespace.clone().unwrap_or_default(),
            broker: broker.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The log servers' StatefulSet, Service, ConfigMap, PodDisruptionBudget and NetworkPolicy.
    pub fn log(&self) -> String {
        format!("{}-log", self.broker)
    }

    /// The brokers' StatefulSet, headless Service, PodDisruptionBudget, NetworkPolicy, ServiceAccount and
    /// RoleBinding.
    pub fn brokers(&self) -> String {
        format!("{}-broker", self.broker)
    }

    /// The Service that clients use.
    pub fn api(&self) -> String {
        format!("{}-api", self.broker)
    }

    /// The Secret with the log servers' certificate.
    pub fn log_tls(&self) -> String {
        format!("{}-log-tls", self.broker)
    }

    /// The Secret with the brokers' certificate.
    pub fn broker_tls(&self) -> String {
        format!("{}-broker-tls", self.broker)
    }

    /// The Secret with the first access key.
    pub fn root_access_key(&self) -> String {
        format!("{}-root-access-key", self.broker)
    }

    /// A log server's host name within the cluster.
    pub fn log_host(&self, ordinal: i32) -> String {
        let log = self.log();
        format!("{log}-{ordinal}.{log}.{}.svc", self.namespace)
    }

    /// Where brokers and the operator find NATS.
    pub fn nats_urls(&self, servers: i32) -> Vec<String> {
        (0..servers).map(|ordinal| format!("tls://{}:{NATS_PORT}", self.log_host(ordinal))).collect()
    }

    /// The names that log servers are reached by, for their certificate.
    pub fn log_dns_names(&self, settings: &Settings) -> Vec<String> {
        let of_all = format!("*.{}.{}.svc", self.log(), self.namespace);
        let in_full = format!("{of_all}.{}", settings.cluster_domain);
        vec![of_all, in_full, "localhost".to_owned()]
    }

    /// What the port of the APIs is called, by which others tell whether it speaks TLS.
    pub fn api_port(service: &Service) -> &'static str {
        if service.tls.is_some() { HTTPS_PORT_NAME } else { API_PORT_NAME }
    }

    /// Where clients within the cluster reach the brokers.
    pub fn endpoint(&self, service: &Service, settings: &Settings) -> String {
        let scheme = if service.tls.is_some() { "https" } else { "http" };
        let (host, domain) = (self.api(), &settings.cluster_domain);
        format!("{scheme}://{host}.{}.svc.{domain}:{}", self.namespace, service.port)
    }
}
