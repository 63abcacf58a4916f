//! nats-servers for tests: each with its own ports and directory, all gone at the end.

use std::future::Future;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millrace_core::{DataId, Lane, ShardId};
use millrace_log::jetstream::{ConnectSettings, JetStream, JetStreamLog, Settings};
use millrace_log::nats_server::{Cluster, NatsServer, NatsServerOptions};
use millrace_log::{LaneAddress, LaneConfig, Log, ShardAddress};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that is free, and below those that the system gives out by itself: a server that is killed finds
/// its port free when it comes back.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + u16::try_from(std::process::id() % 200).expect("below 200") * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Asks until the answer is there; panics when it takes too long.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let answered = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A server that can be killed and started again.
pub(crate) struct Server {
    options: NatsServerOptions,
    running: Option<NatsServer>,
    _dir: TempDir,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut NatsServerOptions)) -> Server {
        let mut server = Server::prepare(change);
        server.start_again().await;
        server
    }

    pub(crate) fn prepare(change: impl FnOnce(&mut NatsServerOptions)) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = NatsServerOptions::new(dir.path());
        options.port = Some(free_port());
        change(&mut options);
        Server { options, running: None, _dir: dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.options.port.expect("a port"))
    }

    pub(crate) fn tls_url(&self) -> String {
        self.url().replace("nats://", "tls://")
    }

    pub(crate) fn name(&self) -> &str {
        &self.options.server_name
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) async fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.running = Some(NatsServer::start(self.options.clone()).await.expect("a server that starts"));
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        drop(self.running.take().expect("a server that runs"));
    }

    /// SIGSTOP, and waits until every thread has stopped: until then one may still answer.
    pub(crate) async fn pause(&self) {
        self.signal(Signal::STOP);
        let pid = self.running.as_ref().expect("a server that runs").pid();
        eventually("all threads stop", || async { threads_are_stopped(pid).then_some(()) }).await;
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.running.as_ref().expect("a server that runs").pid();
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("a signal that arrives");
    }

    pub(crate) async fn connect(&self) -> JetStream {
        self.connect_with(Settings::default()).await
    }

    pub(crate) async fn connect_with(&self, settings: Settings) -> JetStream {
        connect(&[self.url()], settings).await
    }
}

/// The state follows the name, which is in parentheses: proc_pid_stat(5).
fn threads_are_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let mut states =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    states.all(|stat| stat.rsplit_once(')').is_some_and(|(_, fields)| fields.starts_with(" T")))
}

pub(crate) async fn connect(urls: &[String], settings: Settings) -> JetStream {
    JetStream::connect(urls, ConnectSettings::default(), settings).await.expect("a connection")
}

/// Three servers that form a cluster.
pub(crate) struct Three {
    pub(crate) servers: Vec<Server>,
}

impl Three {
    pub(crate) async fn start() -> Three {
        Three::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl Fn(&mut NatsServerOptions)) -> Three {
        let route_ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut servers: Vec<Server> = Vec::new();
        for (n, port) in route_ports.iter().enumerate() {
            servers.push(Server::prepare(|options| {
                options.server_name = format!("s{n}");
                let cluster = Cluster { name: "three".into(), port: *port, route_ports: route_ports.clone() };
                options.cluster = Some(cluster);
                change(options);
            }));
        }
        futures::future::join_all(servers.iter_mut().map(Server::start_again)).await;
        Three { servers }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    pub(crate) async fn connect(&self) -> JetStream {
        let settings = Settings { replicas: 3, timeout: Duration::from_secs(2), ..Settings::default() };
        let jetstream = connect(&self.urls(), settings).await;
        // Streams with three replicas need all three servers known to the leader.
        eventually("a lane on three servers", || async {
            let log = jetstream.log();
            let probe = LaneAddress { data: DataId::from_random(0), lane: Lane(0) };
            log.ensure_lane(&probe, &LaneConfig { max_age_s: 60, max_bytes: 1 << 20 }).await.ok()?;
            log.delete_lane(&probe).await.ok()
        })
        .await;
        jetstream
    }

    /// The index of the server that leads the stream.
    pub(crate) async fn leader_of(&self, stream: &str) -> usize {
        let running = self.servers.iter().find(|server| server.is_running()).expect("a server that runs");
        let client = async_nats::connect(running.url()).await.expect("a connection");
        let context = async_nats::jetstream::new(client);
        eventually("a leader", || async {
            let info = context.get_stream(stream).await.ok()?.cached_info().clone();
            let leader = info.cluster?.leader?;
            self.servers.iter().position(|server| server.name() == leader && server.is_running())
        })
        .await
    }
}

/// A lane's address and a shard in it.
pub(crate) fn shard(n: u64) -> ShardAddress {
    ShardAddress { data: DataId::from_random(7), lane: Lane(3), shard: ShardId(n) }
}

pub(crate) fn roomy() -> LaneConfig {
    LaneConfig { max_age_s: 3600, max_bytes: 1 << 30 }
}

/// The log with a lane for [`shard`].
pub(crate) async fn log_with_lane(jetstream: &JetStream, config: &LaneConfig) -> JetStreamLog {
    let log = jetstream.log();
    log.ensure_lane(&shard(0).lane(), config).await.expect("a lane");
    log
}

/// Bytes that differ by seed, of this length.
pub(crate) fn pack(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut data: Vec<u8> = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        data.extend(next());
    }
    data.truncate(bytes);
    data.into()
}
