//! Where the service is: an address, or a cluster that has it.

use crate::kubernetes::{KubeArgs, is_plugin};

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";

/// Where the service is, and who calls.
#[derive(clap::Args, Debug, Clone)]
pub struct ClientArgs {
    #[command(flatten)]
    pub(super) place: PlaceArgs,
    /// The region that requests are signed for
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub(super) region: String,
}

/// Where the service is.
#[derive(clap::Args, Debug, Clone)]
pub struct PlaceArgs {
    /// Where the service is, without Kubernetes [default: $AWS_ENDPOINT_URL_KINESIS, $AWS_ENDPOINT_URL or
    /// http://127.0.0.1:4566; as `kubectl millrace` the cluster that kubectl works on]
    #[arg(
        long,
        visible_alias = "endpoint-url",
        value_name = "URL",
        conflicts_with_all = ["namespace", "context", "kubeconfig"]
    )]
    endpoint: Option<String>,
    /// Which cluster, where it is on one.
    #[command(flatten)]
    pub kubernetes: KubeArgs,
}

/// Where the service is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At this address.
    Endpoint(String),
    /// On the cluster of the kubeconfig.
    Kubernetes,
}

impl PlaceArgs {
    /// The address, unless it is on a cluster.
    pub fn endpoint(&self) -> Option<String> {
        match self.place() {
            Place::Endpoint(endpoint) => Some(endpoint),
            Place::Kubernetes => None,
        }
    }

    /// Where the arguments, the command's own name and the environment say that the service is.
    pub(super) fn place(&self) -> Place {
        let from_environment = ["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        place(self.endpoint.clone(), self.kubernetes.any(), is_plugin(), from_environment)
    }
}

/// What is written on the command line counts before the environment, and so does the command's name: who types
/// `kubectl` means a cluster, whatever AWS' tools were told.
fn place(endpoint: Option<String>, cluster_named: bool, plugin: bool, environment: Option<String>) -> Place {
    match endpoint {
        Some(endpoint) => Place::Endpoint(endpoint),
        None if cluster_named || plugin => Place::Kubernetes,
        None => Place::Endpoint(environment.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_before_a_cluster_and_a_cluster_before_the_environment() {
        let named = || Some("http://named".to_owned());
        let environment = || Some("http://environment".to_owned());
        let at = |address: &str| Place::Endpoint(address.to_owned());
        assert_eq!(place(named(), false, true, environment()), at("http://named"));
        assert_eq!(place(None, false, true, environment()), Place::Kubernetes);
        assert_eq!(place(None, true, false, environment()), Place::Kubernetes);
        assert_eq!(place(None, false, false, environment()), at("http://environment"));
        assert_eq!(place(None, false, false, None), at("http://127.0.0.1:4566"));
    }
}
