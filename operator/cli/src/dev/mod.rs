//! `millrace dev`: everything in one process beside one nats-server, without Kubernetes.

mod apply;
mod supervise;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use millrace_log::nats_server::NatsServerOptions;
use millrace_server::controller::{Controller, Told};
use millrace_server::sigv4::Credentials;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::credentials;
use crate::node::{Node, NodeOptions, asked_to_stop};
use crate::resources::{self, Watched};
use crate::serving::TlsArgs;
use apply::{Applied, Wanted};

/// How often resource files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long streams may take to become active.
const ACTIVE_FOR: Duration = Duration::from_secs(60);
/// What JetStream may hold in files, in bytes, if the volume has room for it.
const FILE_STORE_BYTES: u64 = 100 << 30;

/// Options of `millrace dev`.
#[derive(clap::Args, Debug)]
pub struct DevArgs {
    /// Resource files to apply, as for `kubectl apply`; may be given several times, read again when they change
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Where every API is served; on loopback only
    #[arg(long, env = "MILLRACE_LISTEN", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// Where data is kept
    #[arg(long, env = "MILLRACE_DATA", default_value = "millrace-data", value_name = "DIR")]
    data: PathBuf,
    /// Keep data in a temporary directory that is removed at the end
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
    /// Take only the access key in DIR/credentials, which is made on the first start
    #[arg(long)]
    auth: bool,
    #[command(flatten)]
    tls: TlsArgs,
    /// The nats-server to run; without it the one in PATH, or the one that `make tools` has built
    #[arg(long, env = "MILLRACE_NATS_SERVER", value_name = "FILE")]
    nats_server: Option<PathBuf>,
}

/// Serves until it is asked to stop.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    if !args.listen.ip().is_loopback() {
        bail!("--listen {} is not on loopback: `millrace dev` is for this host alone", args.listen);
    }
    // Bad files are told before anything is started.
    let mut watched = Watched::new(args.files.clone());
    let mut wanted = streams(&mut watched)?;
    let temporary = args.ephemeral.then(tempfile::tempdir).transpose().context("no temporary directory")?;
    let data = temporary.as_ref().map_or(args.data.as_path(), tempfile::TempDir::path).to_owned();
    std::fs::create_dir_all(&data)
        .with_context(|| format!("can't make the data directory {}", data.display()))?;
    let credentials = match args.auth {
        true => Credentials::Known(credentials::ensure_and_read(&data.join("credentials"))?),
        false => Credentials::Any,
    };
    let certificate = args.tls.certificate()?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let stop = CancellationToken::new();
    let server = supervise::start(nats_options(&data, args.nats_server)?, stop.clone()).await?;
    let node = Node::start(NodeOptions {
        nats_urls: vec![server.url.clone()],
        replicas: 1,
        connect_for: Duration::from_secs(60),
        listen: args.listen,
        peers: None,
        tls: None,
        certificate,
        controller: true,
        credentials,
        declarations: None,
        // Whoever reaches the port may ask, so not where a key is asked for.
        why: !args.auth,
        admin: None,
    });
    let result = match node.await {
        Ok(node) => {
            let served = serve(&node, scheme, &mut watched, &mut wanted, &data, args.auth).await;
            node.stop().await;
            served
        }
        Err(error) => Err(error),
    };
    stop.cancel();
    server.ended().await;
    result
}

async fn serve(
    node: &Node,
    scheme: &str,
    watched: &mut Watched,
    wanted: &mut Vec<Wanted>,
    data: &Path,
    auth: bool,
) -> anyhow::Result<()> {
    let mut applied = Applied::read(data)?;
    for sentence in apply::apply(&node.broker, wanted, &mut applied).await? {
        println!("{sentence}");
    }
    apply::await_active(&node.broker, wanted, ACTIVE_FOR).await?;
    node.ready();
    let endpoint = format!("{scheme}://{}", node.address);
    println!("ready: AWS_ENDPOINT_URL={endpoint}");
    if auth {
        println!("access key: AWS_SHARED_CREDENTIALS_FILE={}", data.join("credentials").display());
    }
    let stopped = asked_to_stop();
    tokio::pin!(stopped);
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut decisions = node.controller().map(Controller::decisions);
    loop {
        tokio::select! {
            asked = &mut stopped => return asked,
            told = next_decision(&mut decisions) => {
                println!("{}: {told}", told.name);
                continue;
            }
            _ = looks.tick() => {}
        }
        if !watched.has_changed() {
            continue;
        }
        // A file that is wrong changes nothing: what was applied last stays.
        match streams(watched) {
            Ok(streams) => *wanted = streams,
            Err(error) => {
                eprintln!("{error:#}\nnothing was changed: correct the file and save it again");
                continue;
            }
        }
        match apply::apply(&node.broker, wanted, &mut applied).await {
            Ok(done) => done.iter().for_each(|sentence| println!("{sentence}")),
            Err(error) => eprintln!("{error:#}"),
        }
    }
}

/// The next thing that the controller decides; never, where there is no controller.
async fn next_decision(decisions: &mut Option<broadcast::Receiver<Told>>) -> Told {
    loop {
        match decisions {
            Some(receiver) => match receiver.recv().await {
                Ok(told) => return told,
                // Some were missed: the log has them.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => *decisions = None,
            },
            None => std::future::pending().await,
        }
    }
}

/// The streams that the files ask for.
fn streams(watched: &mut Watched) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for stream in resources::streams(watched)? {
        wanted.push(Wanted { name: stream.name, config: stream.config });
    }
    Ok(wanted)
}

/// The nats-server of a data directory: bounded by what the volume can hold, since a full one switches
/// JetStream off.
fn nats_options(data: &Path, binary: Option<PathBuf>) -> anyhow::Result<NatsServerOptions> {
    let volume = rustix::fs::statvfs(data).with_context(|| format!("can't look at {}", data.display()))?;
    let free_bytes = volume.f_bavail.saturating_mul(volume.f_frsize);
    let nats = data.join("nats");
    let held_bytes = bytes_in(&nats);
    let mut options = NatsServerOptions::new(nats);
    options.binary = binary;
    options.max_file_store_bytes = ((free_bytes + held_bytes) / 100 * 85).min(FILE_STORE_BYTES);
    Ok(options)
}

/// What the files below a directory hold, in bytes. What can't be looked at counts as nothing.
fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
