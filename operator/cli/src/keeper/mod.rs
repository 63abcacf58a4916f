//! `millrace keeper`: what runs beside each nats-server on Kubernetes. It makes the server read its certificates
//! again when they are replaced, and tells the kubelet and Prometheus how the server is.

mod figures;
mod monitor;
mod reload;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use http::{StatusCode, Uri};
use millrace_server::http::{Admin, serve_admin};
use millrace_tls::Tls;
use tokio_util::sync::CancellationToken;

use crate::node::{asked_to_stop, bind};
use monitor::Monitor;
use reload::Reloads;

/// Options of `millrace keeper`.
#[derive(clap::Args, Debug)]
pub struct KeeperArgs {
    /// The directory with the tls.crt, tls.key and ca.crt that nats-server reads
    #[arg(long, env = "MILLRACE_TLS_DIR")]
    tls_dir: PathBuf,
    /// The file into which nats-server writes its process id
    #[arg(long, env = "MILLRACE_PID_FILE")]
    pid_file: PathBuf,
    /// Where nats-server answers monitoring
    #[arg(long, env = "MILLRACE_MONITOR", default_value = "http://127.0.0.1:8222")]
    monitor: Uri,
    /// Where /health, /ready and /metrics are answered, without authentication
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Answer /metrics
    #[arg(long, env = "MILLRACE_METRICS")]
    metrics: bool,
}

/// Serves until it is asked to stop.
pub async fn run(args: KeeperArgs) -> anyhow::Result<()> {
    let tls = Tls::from_dir(&args.tls_dir).context("--tls-dir")?;
    let monitor = Monitor::new(&args.monitor).map_err(anyhow::Error::msg).context("--monitor")?;
    let listener = bind(args.listen).await?;
    tracing::info!(address = %listener.local_addr()?, monitor = %args.monitor, "ready");
    let keeper = Arc::new(Keeper { monitor: monitor.clone(), metrics: args.metrics });
    let replaced = tls.replaced();
    let reloads = Reloads::new(args.pid_file, monitor);
    tokio::select! {
        () = tls.follow(args.tls_dir) => {}
        () = reloads.run(replaced) => {}
        () = serve_admin(listener, keeper, CancellationToken::new()) => {}
        stop = asked_to_stop() => stop?,
    }
    Ok(())
}

/// What the keeper says of its nats-server.
struct Keeper {
    monitor: Monitor,
    metrics: bool,
}

#[async_trait]
impl Admin for Keeper {
    /// That the server answers at all: a log that reads its stores for long is healthy, and not yet ready.
    async fn healthy(&self) -> Result<(), String> {
        self.monitor.health().await.map(|_| ())
    }

    async fn ready(&self) -> Result<(), String> {
        match self.monitor.health().await? {
            (StatusCode::OK, _) => Ok(()),
            (status, body) => Err(format!("nats-server is not ready ({status}): {body}")),
        }
    }

    async fn metrics(&self) -> Option<String> {
        if !self.metrics {
            return None;
        }
        let state = self.monitor.state().await;
        if let Err(error) = &state {
            tracing::warn!(%error, "nats-server tells no figures");
        }
        Some(figures::text(state.ok().as_ref()))
    }
}
