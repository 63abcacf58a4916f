//! `millrace broker`: one broker of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use millrace_operator::declare::StreamResources;
use millrace_server::broker::Declarations;
use millrace_server::peer_http::HttpPeers;
use millrace_server::sigv4::Credentials;
use millrace_tls::Tls;

use crate::admin::AdminOptions;
use crate::credentials;
use crate::node::{Node, NodeOptions, PeerOptions, asked_to_stop};
use crate::serving::TlsArgs;

/// Options of `millrace broker`.
#[derive(clap::Args, Debug)]
pub struct BrokerArgs {
    /// Where NATS is; several servers of one cluster with commas between them
    #[arg(long, env = "MILLRACE_NATS", value_delimiter = ',', required = true)]
    nats: Vec<String>,
    /// How many copies JetStream keeps of everything
    #[arg(long, env = "MILLRACE_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Where the APIs are served
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// Where other brokers are served; without --tls-dir on loopback only
    #[arg(long, env = "MILLRACE_PEER_LISTEN", default_value = "127.0.0.1:0")]
    peer_listen: SocketAddr,
    /// Where other brokers reach this one, if that is not the address it listens on
    #[arg(long, env = "MILLRACE_PEER_ADDRESS", value_name = "HOST:PORT")]
    peer_address: Option<String>,
    /// A directory with tls.crt, tls.key and ca.crt, for mutual TLS with NATS and between brokers. Followed when
    /// its files are replaced
    #[arg(long, env = "MILLRACE_TLS_DIR")]
    tls_dir: Option<PathBuf>,
    #[command(flatten)]
    client_tls: TlsArgs,
    /// Run the control loop here: in one broker of a cluster that has no operator
    #[arg(long, env = "MILLRACE_CONTROL")]
    control: bool,
    /// The access keys whose signatures are taken: a file in the form of ~/.aws/credentials, one profile for
    /// each namespace. Without it any signature passes, which is allowed on loopback only
    #[arg(long, env = "MILLRACE_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// Where /health and /ready are answered, without authentication
    #[arg(long, env = "MILLRACE_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// Tell metrics in the text format of Prometheus at /metrics, beside /health
    #[arg(long, env = "MILLRACE_METRICS", requires = "admin_listen")]
    metrics: bool,
    /// Declare the streams that are made by the API as Stream resources in this namespace of Kubernetes
    #[arg(long, env = "MILLRACE_DECLARE_IN", value_name = "NAMESPACE", requires = "broker_name")]
    declare_in: Option<String>,
    /// The Broker resource that this is a broker of
    #[arg(long, env = "MILLRACE_BROKER_NAME", value_name = "NAME")]
    broker_name: Option<String>,
}

/// Serves until it is asked to stop.
pub async fn run(args: BrokerArgs) -> anyhow::Result<()> {
    if !args.peer_listen.ip().is_loopback() && args.tls_dir.is_none() {
        bail!(
            "--peer-listen {} is not on loopback: name a directory with tls.crt, tls.key and ca.crt with \
             --tls-dir, so that only brokers of this cluster are answered there",
            args.peer_listen
        );
    }
    let tls = args.tls_dir.as_deref().map(Tls::from_dir).transpose().context("--tls-dir")?;
    if let (Some(tls), Some(dir)) = (&tls, args.tls_dir) {
        tokio::spawn(tls.clone().follow(dir));
    }
    let credentials = match &args.credentials {
        Some(file) => Credentials::Known(credentials::read(file)?),
        None if args.listen.ip().is_loopback() => Credentials::Any,
        None => bail!("--listen {} is not on loopback: name the access keys with --credentials", args.listen),
    };
    let declarations: Option<Arc<dyn Declarations>> = match (args.declare_in, args.broker_name) {
        (Some(namespace), Some(name)) => Some(Arc::new(
            StreamResources::connect(namespace, name)
                .await
                .context("--declare-in needs the ServiceAccount of a pod, or a kubeconfig")?,
        )),
        _ => None,
    };
    let node = Node::start(NodeOptions {
        nats_urls: args.nats,
        replicas: args.replicas,
        connect_for: Duration::from_secs(60),
        listen: args.listen,
        peers: Some(PeerOptions {
            listen: args.peer_listen,
            address: args.peer_address,
            peers: Arc::new(HttpPeers::new(tls.as_ref())),
        }),
        tls,
        certificate: args.client_tls.certificate()?,
        controller: args.control,
        credentials,
        declarations,
        why: false,
        admin: args.admin_listen.map(|listen| AdminOptions { listen, metrics: args.metrics }),
    })
    .await
    .context("the broker can't start")?;
    node.ready();
    tracing::info!(address = %node.address, broker = %node.broker.id(), "ready");
    asked_to_stop().await?;
    node.stop().await;
    Ok(())
}
