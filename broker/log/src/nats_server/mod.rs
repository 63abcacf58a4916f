//! One nats-server as a child process: for `millrace dev` and for tests. On Kubernetes the servers are a
//! StatefulSet of their own.

mod config;
mod data_dir;
mod find;
mod process;
mod version;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

pub use config::{Cluster, MAX_PAYLOAD_BYTES, configuration};
use data_dir::DataDir;
use process::{Launch, Process};
pub use version::{MIN_VERSION, ServerVersion};

const PROGRAM: &str = "nats-server";
const CONFIG_FILE: &str = "nats-server.conf";
const LOG_FILE: &str = "nats-server.log";
const PID_FILE: &str = "nats-server.pid";
/// How many lines of the log an error shows.
const SHOWN_LOG_LINES: usize = 8;

/// How a nats-server is run.
#[derive(Clone, Debug)]
pub struct NatsServerOptions {
    /// Where it keeps its data, configuration and log. One server at a time.
    pub data_dir: PathBuf,
    /// The binary; without it, `nats-server` from `PATH`, else from where `make tools` puts it.
    pub binary: Option<PathBuf>,
    /// The port on loopback for clients; without it, a free one.
    pub port: Option<u16>,
    /// The port on loopback for monitoring over HTTP; without it, none.
    pub monitor_port: Option<u16>,
    /// The server's name, unique in its cluster.
    pub server_name: String,
    /// Its place in a cluster, if it has one.
    pub cluster: Option<Cluster>,
    /// A directory with `tls.crt`, `tls.key` and `ca.crt`: with it clients and other servers have to show a
    /// certificate of that authority.
    pub tls_dir: Option<PathBuf>,
    /// What its files may hold, in bytes. At most 85 % of the volume: a full disk switches JetStream off.
    pub max_file_store_bytes: u64,
    /// What its streams in memory may hold, in bytes.
    pub max_memory_store_bytes: u64,
    /// `GOMEMLIMIT` in bytes: where its garbage collector grows eager.
    pub memory_limit_bytes: u64,
    /// How long it may take until it serves: it reads its stores first.
    pub start_timeout: Duration,
    /// How long it may take to end on SIGTERM, before it is killed.
    pub stop_timeout: Duration,
}

impl NatsServerOptions {
    /// One server with its data in this directory and a free port; stores of 10 GiB and 64 MiB.
    pub fn new(data_dir: impl Into<PathBuf>) -> NatsServerOptions {
        NatsServerOptions {
            data_dir: data_dir.into(),
            binary: None,
            port: None,
            monitor_port: None,
            server_name: "millrace".into(),
            cluster: None,
            tls_dir: None,
            max_file_store_bytes: 10 << 30,
            max_memory_store_bytes: 64 << 20,
            memory_limit_bytes: 1 << 30,
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a nats-server does not run.
#[derive(Debug, thiserror::Error)]
pub enum NatsServerError {
    /// There is none.
    #[error(
        "nats-server was found neither on PATH nor in the cache of tools (~/.cache/millrace/tools): \
         run `make tools`, which fetches it, or name one with --nats-server"
    )]
    Missing,
    /// It has known holes.
    #[error(
        "{} is nats-server {found}, but {wanted} or later is needed: run `make tools`, which fetches it, \
         or name a newer one with --nats-server",
        path.display()
    )]
    TooOld {
        /// The binary.
        path: PathBuf,
        /// Its version.
        found: ServerVersion,
        /// The oldest that will do.
        wanted: ServerVersion,
    },
    /// It does not run, or is something else.
    #[error("{} can't be run as nats-server: {reason}; run `make tools`, which fetches one", path.display())]
    NotRunnable {
        /// The binary.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another process: end that one, or choose another directory",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It can't be used.
    #[error("the data directory {} can't be used: {reason}", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It ended before it served.
    #[error("nats-server ended ({status}) before it served; the last lines of {}:\n{log}", log_path.display())]
    Died {
        /// How it ended.
        status: String,
        /// Its log file.
        log_path: PathBuf,
        /// The last lines there.
        log: String,
    },
    /// It does not serve in time.
    #[error("nats-server did not serve within {}s; the last lines of {}:\n{log}", waited.as_secs(), log_path.display())]
    NotReady {
        /// How long we waited.
        waited: Duration,
        /// Its log file.
        log_path: PathBuf,
        /// The last lines there.
        log: String,
    },
}

/// A nats-server that runs. Dropping it kills it; a kill -9 of this process kills it too where util-linux
/// `setpriv` exists, and else the next start in the same data directory does.
#[derive(Debug)]
pub struct NatsServer {
    process: Process,
    port: u16,
    log_path: PathBuf,
    stop_timeout: Duration,
    // Last: freed after the process has ended.
    _data_dir: DataDir,
}

impl NatsServer {
    /// Starts a server and waits until it accepts clients and has JetStream switched on. (A member of a
    /// cluster serves JetStream only once most of the others are there.)
    pub async fn start(options: NatsServerOptions) -> Result<NatsServer, NatsServerError> {
        let binary = find::find_binary(options.binary.as_deref()).await?;
        let dir = std::path::absolute(&options.data_dir).unwrap_or_else(|_| options.data_dir.clone());
        let options = NatsServerOptions { data_dir: dir.clone(), ..options };
        let data_dir = DataDir::take(&dir).await?;
        let failed =
            |error: std::io::Error| NatsServerError::DataDir { path: dir.clone(), reason: error.to_string() };
        let config_path = dir.join(CONFIG_FILE);
        let log_path = dir.join(LOG_FILE);
        std::fs::write(&config_path, configuration(&options)).map_err(failed)?;
        remove_ports_files(&dir);
        let launch = Launch {
            program: binary.clone(),
            arguments: vec!["-c".into(), config_path.into()],
            environment: vec![("GOMEMLIMIT", options.memory_limit_bytes.to_string())],
            stderr: OpenOptions::new().create(true).append(true).open(&log_path).map_err(failed)?,
        };
        let process = Process::spawn(launch)
            .await
            .map_err(|error| NatsServerError::NotRunnable { path: binary, reason: error.to_string() })?;
        let died = |status: String| NatsServerError::Died {
            status,
            log_path: log_path.clone(),
            log: last_lines(&log_path),
        };
        let ready = timeout(options.start_timeout, await_ready(&dir, process.pid(), options.port));
        let port = tokio::select! {
            status = process.exited() => return Err(died(status)),
            port = ready => port.map_err(|_| NatsServerError::NotReady {
                waited: options.start_timeout,
                log_path: log_path.clone(),
                log: last_lines(&log_path),
            })?,
        };
        Ok(NatsServer { process, port, log_path, stop_timeout: options.stop_timeout, _data_dir: data_dir })
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port on loopback for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until the server has ended by itself, and tells how and the last lines of its log. It should
    /// not: whoever runs a server waits here as well.
    pub async fn ended(&self) -> NatsServerError {
        let status = self.process.exited().await;
        NatsServerError::Died { status, log_path: self.log_path.clone(), log: last_lines(&self.log_path) }
    }

    /// Asks the server to end, and kills it if it takes too long.
    pub async fn stop(self) {
        self.process.signal(Signal::TERM);
        if timeout(self.stop_timeout, self.process.exited()).await.is_err() {
            tracing::warn!(pid = self.pid(), "nats-server does not end on SIGTERM: killing it");
        }
        // Dropping kills and waits.
    }
}

/// Waits until the server tells its port, accepts a connection and says there that JetStream is on.
async fn await_ready(dir: &Path, pid: u32, port: Option<u16>) -> u16 {
    let started = Instant::now();
    loop {
        if let Some(port) = port.or_else(|| read_ports_file(dir, pid))
            && serves_jetstream(port).await
        {
            tracing::debug!(
                port,
                pid,
                elapsed_ms = started.elapsed().as_millis() as u64,
                "nats-server serves"
            );
            return port;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The first line on a connection is `INFO {…}`: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.
/// A single server has read its streams before it listens.
async fn serves_jetstream(port: u16) -> bool {
    let first_line = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
        info.get("jetstream")?.as_bool()
    };
    timeout(Duration::from_secs(1), first_line).await.ok().flatten() == Some(true)
}

/// The client port in the file that the server writes on its start, `<program>_<pid>.ports`.
fn read_ports_file(dir: &Path, pid: u32) -> Option<u16> {
    let suffix = format!("_{pid}.ports");
    let text = files_ending(dir, &suffix).into_iter().find_map(|path| std::fs::read(path).ok())?;
    let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let url = ports.get("nats")?.as_array()?.first()?.as_str()?;
    url.rsplit_once(':')?.1.parse().ok()
}

/// A server that was killed leaves its file behind.
fn remove_ports_files(dir: &Path) {
    for path in files_ending(dir, ".ports") {
        let _ = std::fs::remove_file(path);
    }
}

fn files_ending(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(suffix)).collect()
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
}
