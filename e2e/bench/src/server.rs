//! The servers that are measured, as child processes that end with us.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::kinesis::ACCESS_KEY;
use crate::{http_client, proc_fs};

/// How long a server may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether a server serves.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How many lines of a log an error shows.
const SHOWN_LOG_LINES: usize = 10;

/// A child process. Dropping it ends it, and waits until it has ended.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a program whose output goes to a file. Where util-linux' `setpriv` exists it ends when we do,
    /// however that comes about. In a process group of its own: Ctrl-C is for us, and we end it.
    fn spawn(mut program: Command, log: PathBuf) -> anyhow::Result<Server> {
        let file = File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
        let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).is_file());
        if let Some(setpriv) = setpriv {
            let mut wrapped = Command::new(setpriv);
            wrapped.args(["--pdeathsig", "TERM", "--"]).arg(program.get_program()).args(program.get_args());
            wrapped.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
            program = wrapped;
        }
        program.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child =
            program.spawn().with_context(|| format!("can't run {}", program.get_program().display()))?;
        Ok(Server { child, log })
    }

    /// Starts a program and waits until it is ready: no longer than `within`, and no longer than it lives.
    pub(crate) async fn start(
        program: Command,
        log: PathBuf,
        within: Duration,
        is_ready: impl AsyncFn() -> bool,
    ) -> anyhow::Result<Server> {
        let name = program.get_program().display().to_string();
        let started = Instant::now();
        let mut server = Server::spawn(program, log)?;
        while !is_ready().await {
            if let Some(status) = server.child.try_wait()? {
                bail!(server.failed(&format!("{name} ended ({status}) before it was ready")));
            }
            if started.elapsed() > within {
                bail!(server.failed(&format!("{name} was not ready within {} s", within.as_secs())));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with what the server said last.
    pub(crate) fn failed(&self, what: &str) -> anyhow::Error {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        anyhow::anyhow!(
            "{what}; its last lines:\n{}",
            lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has not been waited for, so its id is still its own.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that nobody uses.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// `millrace dev` with these resources. It verifies every signature.
pub(crate) struct Millrace {
    server: Server,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// From its start until it answered on `/ready`.
    pub(crate) ready_after: Duration,
}

impl Millrace {
    /// Starts it and waits until it is ready. Resources are YAML.
    pub(crate) async fn start(
        bench: &Bench,
        directory: &Path,
        resources: &str,
        within: Duration,
    ) -> anyhow::Result<Millrace> {
        let file = directory.join("resources.yaml");
        std::fs::write(&file, resources)?;
        let data = directory.join("millrace");
        std::fs::create_dir_all(&data)?;
        std::fs::write(data.join("credentials"), credentials())?;
        let address = free_address()?;
        let mut program = Command::new(&bench.millrace);
        program.arg("dev").arg("-f").arg(&file).arg("--listen").arg(address.to_string());
        program.arg("--auth").arg("--data").arg(data).arg("--nats-server").arg(&bench.nats_server);
        let started = Instant::now();
        let is_ready = async || http_client::is_ready(address).await;
        let server = Server::start(program, directory.join("millrace.log"), within, is_ready).await?;
        Ok(Millrace { server, address, ready_after: started.elapsed() })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// That of its nats-server.
    pub(crate) fn nats_server_pid(&self) -> anyhow::Result<u32> {
        proc_fs::child_named(self.pid(), "nats-server")
    }
}

/// The file that `millrace dev --auth` takes its access key from.
fn credentials() -> String {
    let (id, secret) = ACCESS_KEY;
    format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

/// A Stream with so many shards whose number nobody changes, and without limits.
pub(crate) fn provisioned(name: &str, shards: u32, quota: &str) -> String {
    stream(name, &format!("{{mode: Provisioned, shards: {shards}}}"), "None", quota)
}

/// A Stream that begins with one shard, has Kinesis' limits, and is scaled.
pub(crate) fn on_demand(name: &str, quota: &str) -> String {
    stream(name, "{mode: OnDemand, shards: 1, minShards: 1}", "Kinesis", quota)
}

fn stream(name: &str, capacity: &str, limits: &str, quota: &str) -> String {
    format!(
        "---\napiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata:\n  name: {name}\nspec:\n  \
         capacity: {capacity}\n  limits: {limits}\n  quota: {quota}\n"
    )
}

/// When JetStream writes through to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before it acknowledges, as under Millrace.
    Always,
    /// Every two minutes: its default.
    Default,
}

/// A nats-server without Millrace, configured as under it but for [`Sync`].
pub(crate) struct Peer {
    server: Server,
    /// Where clients connect to.
    pub(crate) url: String,
}

impl Peer {
    /// Starts it and waits until it serves.
    pub(crate) async fn start(bench: &Bench, directory: &Path, sync: Sync) -> anyhow::Result<Peer> {
        const WITHIN: Duration = Duration::from_secs(60);
        let address = free_address()?;
        let file = directory.join("nats-server.conf");
        std::fs::write(&file, configuration(address, directory, sync))?;
        let mut program = Command::new(&bench.nats_server);
        program.arg("-c").arg(&file).env("GOMEMLIMIT", (1_u64 << 30).to_string());
        let is_ready = async || serves(address).await;
        let server = Server::start(program, directory.join("nats-server.log"), WITHIN, is_ready).await?;
        Ok(Peer { server, url: format!("nats://{address}") })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }
}

fn configuration(address: SocketAddr, directory: &Path, sync: Sync) -> String {
    let sync = match sync {
        Sync::Always => "sync_interval: always",
        Sync::Default => "",
    };
    format!(
        "server_name: peer\nlisten: \"{address}\"\nmax_payload: {}\nmax_pending: {}\njetstream {{\n  \
         store_dir: {:?}\n  max_file_store: {}\n  {sync}\n}}\n",
        12 << 20,
        256 << 20,
        directory.join("store"),
        10_u64 << 30,
    )
}

/// Whether a nats-server greets here. A single one has read its streams before it listens.
async fn serves(address: SocketAddr) -> bool {
    let greeting = async {
        let mut line = String::new();
        BufReader::new(TcpStream::connect(address).await.ok()?).read_line(&mut line).await.ok()?;
        Some(line.starts_with("INFO "))
    };
    timeout(Duration::from_secs(1), greeting).await.ok().flatten() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sync_interval_differs_between_peers() {
        let text = |sync| configuration("127.0.0.1:4222".parse().unwrap(), Path::new("/data"), sync);
        let (always, default) = (text(Sync::Always), text(Sync::Default));
        assert_ne!(always, default);
        assert_eq!(always.replace("sync_interval: always", ""), default);
    }

    #[test]
    fn a_dropped_server_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let mut program = Command::new("sleep");
        program.arg("600");
        let server = Server::spawn(program, directory.path().join("log")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", server.child.id()));
        assert!(process.exists());
        drop(server);
        assert!(!process.exists());
    }
}
