//! What the operator is told when it starts.

use std::time::Duration;

/// What the operator is told when it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace, where its Lease and its seed lie.
    pub namespace: String,
    /// The image of the brokers and of what runs beside nats-server.
    pub image: String,
    /// The image of nats-server.
    pub log_image: String,
    /// When nodes fetch images: `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: String,
    /// Names of Secrets in each Broker's namespace that images are fetched with.
    pub image_pull_secrets: Vec<String>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The region that a Stream's `status.arn` names. Clients may sign for any.
    pub region: String,
    /// After this time every certificate is replaced.
    pub rotate_certificates_every: Duration,
    /// Whether pods serve `/metrics`.
    pub metrics: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            namespace: "millrace-system".to_owned(),
            image: "millrace:dev".to_owned(),
            log_image: "millrace:dev".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
            image_pull_secrets: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            region: "us-east-1".to_owned(),
            rotate_certificates_every: Duration::from_secs(30 * 24 * 3_600),
            metrics: false,
        }
    }
}
