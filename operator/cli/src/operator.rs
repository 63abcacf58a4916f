//! `millrace operator`: looks after Brokers and Streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use millrace_operator::Settings;
use millrace_operator::metrics::Metrics;
use millrace_operator::run::{Options, run as operate};
use millrace_server::http::{Admin, serve_admin};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::node::asked_to_stop;

/// Options of `millrace operator`.
#[derive(clap::Args, Debug)]
pub struct OperatorArgs {
    /// The namespace that it runs in
    #[arg(long, env = "POD_NAMESPACE", default_value = "millrace-system")]
    namespace: String,
    /// What it is called in its Lease; its pod's name. Without it, a name that no other has
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// The namespaces that it looks after, with commas between them; all, if none is named
    #[arg(long, env = "MILLRACE_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,
    /// The image of brokers, and of what runs beside nats-server
    #[arg(long, env = "MILLRACE_IMAGE", default_value = concat!("millrace:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// The image of nats-server; the same, if it is not said
    #[arg(long, env = "MILLRACE_LOG_IMAGE")]
    log_image: Option<String>,
    /// When nodes fetch images
    #[arg(long, env = "MILLRACE_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    image_pull_policy: String,
    /// Secrets in each Broker's namespace that images are fetched with, with commas between them
    #[arg(long, env = "MILLRACE_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    image_pull_secrets: Vec<String>,
    /// The cluster's DNS domain
    #[arg(long, env = "MILLRACE_CLUSTER_DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// The region in the names that Streams' statuses show
    #[arg(long, env = "MILLRACE_REGION", default_value = "us-east-1")]
    region: String,
    /// After how many hours every certificate is replaced
    #[arg(long, env = "MILLRACE_ROTATE_CERTIFICATES_HOURS", default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    rotate_certificates_hours: u32,
    /// Where /health, /ready and /metrics are served
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// The Lease that one of several operators holds
    #[arg(long, env = "MILLRACE_LEASE_NAME", default_value = "millrace-operator")]
    lease_name: String,
    /// Serve /metrics, here and in the pods of Brokers
    #[arg(long, env = "MILLRACE_METRICS")]
    metrics: bool,
}

/// What is served about the operator. It is ready once it can talk to the API server: one that waits for the Lease
/// is as it should be.
struct About {
    metrics: Option<Metrics>,
}

#[async_trait]
impl Admin for About {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn metrics(&self) -> Option<String> {
        self.metrics.as_ref().map(Metrics::text)
    }
}

/// Works until it is asked to stop, or leads no longer.
pub async fn run(args: OperatorArgs) -> anyhow::Result<()> {
    let config = kube::Config::infer().await.context(
        "no way to an API server: run it in a pod with a ServiceAccount, or where kubectl has a context",
    )?;
    let client = kube::Client::try_from(config)?;
    let version = client.apiserver_version().await.context("the API server does not answer")?;
    tracing::info!(kubernetes = version.git_version, "connected to the API server");
    let metrics = Metrics::default();
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("can't listen on {}: choose another address with --listen", args.listen))?;
    let about = About { metrics: args.metrics.then(|| metrics.clone()) };
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_admin(listener, Arc::new(about), stop.clone()));
    let identity = args.identity.unwrap_or_else(|| format!("operator-{:016x}", rand::random::<u64>()));
    let options = Options {
        settings: Settings {
            namespace: args.namespace,
            log_image: args.log_image.unwrap_or_else(|| args.image.clone()),
            image: args.image,
            image_pull_policy: args.image_pull_policy,
            image_pull_secrets: non_empty(args.image_pull_secrets),
            cluster_domain: args.cluster_domain,
            region: args.region,
            rotate_certificates_every: Duration::from_secs(u64::from(args.rotate_certificates_hours) * 3_600),
            metrics: args.metrics,
        },
        watch_namespaces: non_empty(args.watch_namespaces),
        lease_name: args.lease_name,
        identity,
    };
    let stopped = async {
        if let Err(error) = asked_to_stop().await {
            tracing::error!(%error, "signals can't be heard");
        }
    };
    let ended = operate(client, options, metrics, stopped).await;
    stop.cancel();
    let _ = served.await;
    ended
}

/// An environment variable that is set to nothing names nothing.
fn non_empty(names: Vec<String>) -> Vec<String> {
    names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}
