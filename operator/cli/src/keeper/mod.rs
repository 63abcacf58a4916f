//! `millrace keeper`: what runs beside each nats-server on Kubernetes. It makes the server read its certificates
//! again when they are replaced, and tells the kubelet and Prometheus how the server is.

mod figures;
mod monitor;
mod reload;
#[cfg(test)]
mod tests;
mod volume;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use http::{StatusCode, Uri};
use millrace_operator::links::VOLUME_FULL;
use millrace_server::http::{Admin, serve_admin};
use millrace_tls::Tls;
use parking_lot::Mutex;
use rustix::process::Pid;
use tokio_util::sync::CancellationToken;

use crate::node::{asked_to_stop, bind};
use monitor::Monitor;
use reload::{Reloads, server_pid};
use volume::Volume;

/// Options of `millrace keeper`.
#[derive(clap::Args, Debug)]
pub struct KeeperArgs {
    /// The directory with the tls.crt, tls.key and ca.crt that nats-server reads
    #[arg(long, env = "MILLRACE_TLS_DIR")]
    tls_dir: PathBuf,
    /// The file into which nats-server writes its process id
    #[arg(long, env = "MILLRACE_PID_FILE")]
    pid_file: PathBuf,
    /// The directory that nats-server stores streams in
    #[arg(long, env = "MILLRACE_STORE_DIR")]
    store_dir: PathBuf,
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
    let keeper = Arc::new(Keeper {
        monitor: monitor.clone(),
        pid_file: args.pid_file.clone(),
        volume: Volume::new(args.store_dir),
        metrics: args.metrics,
        whole: Mutex::default(),
    });
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
    pid_file: PathBuf,
    volume: Volume,
    metrics: bool,
    /// The process that had all of its streams in order once.
    whole: Mutex<Option<Pid>>,
}

#[async_trait]
impl Admin for Keeper {
    /// That the server answers at all: a log that reads its stores for long is healthy, and not yet ready. Once a
    /// write has failed, a server writes nothing more to that stream until it starts anew, which helps as soon as
    /// there is room.
    async fn healthy(&self) -> Result<(), String> {
        let (_, why) = self.monitor.whole().await?;
        match is_write_error(&why) && self.volume.full()?.is_none() {
            true => Err(format!("nats-server has to start anew, since a write has failed: {why}")),
            false => Ok(()),
        }
    }

    /// That the server can store. One that has just started has all of its streams in order first, so that no other
    /// is stopped before it has caught up; later on, a stream that catches up takes nothing from the others.
    async fn ready(&self) -> Result<(), String> {
        if let Some(left) = self.volume.full()? {
            return Err(format!("{VOLUME_FULL}{left}"));
        }
        let server = server_pid(&self.pid_file).ok();
        let (status, why) = self.monitor.whole().await?;
        if status == StatusCode::OK {
            *self.whole.lock() = server;
            return Ok(());
        }
        let was_whole = server.is_some() && *self.whole.lock() == server;
        match was_whole && !is_write_error(&why) && self.monitor.enabled().await?.0 == StatusCode::OK {
            true => Ok(()),
            false => Err(format!("nats-server is not ready: {why}")),
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

/// Whether nats-server says that it could not write to a stream: "JetStream stream '…' write error: …".
fn is_write_error(why: &str) -> bool {
    why.contains("write error: ")
}
