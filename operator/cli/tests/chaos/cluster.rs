//! The processes: nats-servers and brokers that are killed, paused and started again, and end with the test.

use std::fs::OpenOptions;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use millrace_core::{CapacityMode, DataId, Limits, ShardMap, StreamConfig, StreamEntry, StreamState, keys};
use millrace_log::Kv;
use millrace_log::jetstream::{ConnectSettings, JetStream, Settings};
use millrace_log::nats_server::{Cluster as Routes, NatsServer, NatsServerError, NatsServerOptions};
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;

use crate::faults::{BROKERS, Fault, Kind, Target};
use crate::kinesis::{Kinesis, STREAM};

/// How long a condition may take to come true when nothing is wrong any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until the answer is there.
pub(crate) async fn eventually<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let answered = async {
        loop {
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answered).await;
    answer.with_context(|| format!("waited for {} s, but never: {what}", PATIENCE.as_secs()))?
}

/// A port that is free, and below those that the system gives out by itself: a process that is killed finds its
/// port free when it comes back.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = 10_000 + rand::random::<u16>() % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, signal).with_context(|| format!("{signal:?} does not reach process {pid:?}"))
}

/// A nats-server.
struct Server {
    options: NatsServerOptions,
    running: Option<NatsServer>,
    starting: Option<JoinHandle<Result<NatsServer, NatsServerError>>>,
}

impl Server {
    fn start(&mut self) {
        self.starting = Some(tokio::spawn(NatsServer::start(self.options.clone())));
    }

    /// Waits until it runs, if it is being started.
    async fn running(&mut self) -> anyhow::Result<&NatsServer> {
        if let Some(starting) = self.starting.take() {
            self.running = Some(starting.await??);
        }
        self.running.as_ref().context("the nats-server does not run")
    }
}

/// A broker's process. Dropping it kills it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A broker.
struct Broker {
    address: SocketAddr,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    /// Whether this run of it has been ready.
    was_ready: bool,
}

impl Broker {
    fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = command(env!("CARGO_BIN_EXE_millrace"));
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(Process(command.spawn().context("the broker can't be started")?));
        self.was_ready = false;
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().context("the broker does not run")?.0.id())
    }
}

/// Where util-linux has `setpriv` the broker dies with this process, even if that is killed.
fn command(program: &str) -> Command {
    match ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|path| Path::new(path).is_file()) {
        None => Command::new(program),
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--", program]);
            command
        }
    }
}

/// All of them.
pub(crate) struct Cluster {
    servers: Vec<Server>,
    brokers: Vec<Broker>,
    kinesis: Kinesis,
    /// Brokers that gave up while they started, since there was no nats-server, and were started again.
    pub(crate) gave_up: u32,
}

impl Cluster {
    /// Starts so many nats-servers and three brokers, the first with the controller, and waits until they serve.
    pub(crate) async fn start(dir: &Path, servers: usize, kinesis: Kinesis) -> anyhow::Result<Cluster> {
        let mut cluster =
            Cluster { servers: make_servers(dir, servers)?, brokers: Vec::new(), kinesis, gave_up: 0 };
        for server in &mut cluster.servers {
            server.start();
        }
        let mut urls = Vec::new();
        for server in &mut cluster.servers {
            urls.push(server.running().await?.url());
        }
        for n in 0..BROKERS {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let replicas = if servers < 3 { "1" } else { "3" };
            let mut arguments: Vec<String> =
                ["broker", "--nats", &urls.join(","), "--replicas", replicas].map(str::to_owned).into();
            arguments.extend(["--listen".to_owned(), address.to_string()]);
            arguments.extend(["--peer-listen", "127.0.0.1:0"].map(str::to_owned));
            if n == 0 {
                arguments.push("--control".to_owned());
            }
            let log = dir.join(format!("broker-{n}.log"));
            let mut broker = Broker { address, arguments, log, process: None, was_ready: false };
            broker.start()?;
            cluster.brokers.push(broker);
        }
        cluster.settle().await?;
        Ok(cluster)
    }

    /// Where brokers serve.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.brokers.iter().map(|broker| broker.address).collect()
    }

    /// Begins a fault.
    pub(crate) async fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match (fault.target, fault.kind) {
            (Target::Server(n), Kind::Kill) => {
                self.servers[n].running().await?;
                self.servers[n].running = None;
            }
            (Target::Server(n), Kind::Pause) => signal(self.servers[n].running().await?.pid(), Signal::STOP)?,
            (Target::Broker(n), Kind::Kill) => self.brokers[n].process = None,
            (Target::Broker(n), Kind::Pause) => signal(self.brokers[n].pid()?, Signal::STOP)?,
        }
        Ok(())
    }

    /// Undoes it. Does not wait until the process serves again.
    pub(crate) async fn end(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match (fault.target, fault.kind) {
            (Target::Server(n), Kind::Kill) => self.servers[n].start(),
            (Target::Server(n), Kind::Pause) => signal(self.servers[n].running().await?.pid(), Signal::CONT)?,
            (Target::Broker(n), Kind::Kill) => self.brokers[n].start()?,
            (Target::Broker(n), Kind::Pause) => signal(self.brokers[n].pid()?, Signal::CONT)?,
        }
        Ok(())
    }

    /// Waits until all processes run and all brokers are ready. A broker that finds no nats-server gives up after
    /// a while and is started again, as Kubernetes would; one that has served never ends by itself.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.running().await?;
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.tend()?;
            let mut ready = true;
            for broker in &mut self.brokers {
                let is_ready = self.kinesis.is_ready(broker.address).await;
                broker.was_ready |= is_ready;
                ready &= is_ready;
            }
            if ready {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("the brokers are not ready {} s after the fault's end", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts brokers again that gave up while they started.
    pub(crate) fn tend(&mut self) -> anyhow::Result<()> {
        for broker in &mut self.brokers {
            let Some(process) = &mut broker.process else { continue };
            let Some(status) = process.0.try_wait()? else { continue };
            if broker.was_ready {
                bail!("a broker ended by itself ({status}): see {}", broker.log.display());
            }
            self.gave_up += 1;
            broker.start()?;
        }
        Ok(())
    }

    /// A panic in a broker, if its log tells one.
    pub(crate) fn panics(&self) -> Option<String> {
        self.brokers.iter().find_map(|broker| {
            let text = std::fs::read(&broker.log).ok()?;
            let text = String::from_utf8_lossy(&text);
            text.lines().find(|line| line.contains("panicked at")).map(str::to_owned)
        })
    }

    /// The key-value store.
    pub(crate) async fn kv(&mut self) -> anyhow::Result<impl Kv + use<>> {
        let mut urls = Vec::new();
        for server in &mut self.servers {
            urls.push(server.running().await?.url());
        }
        let settings = Settings { replicas: if urls.len() < 3 { 1 } else { 3 }, ..Settings::default() };
        Ok(JetStream::connect(&urls, ConnectSettings::default(), settings).await?.kv().await?)
    }

    /// Asks for a stream without limits, which the API has no word for, and waits until each broker serves it.
    pub(crate) async fn make_stream(&mut self, shards: u32) -> anyhow::Result<DataId> {
        let config = StreamConfig {
            mode: CapacityMode::Provisioned,
            shards,
            quota_bytes: 2 << 30,
            limits: Limits::None,
            ..StreamConfig::default()
        };
        let data = DataId::from_random(rand::random());
        let created_ms = jiff::Timestamp::now().as_millisecond();
        let entry = StreamEntry { data: data.clone(), state: StreamState::Creating, created_ms, config };
        self.kv().await?.create(&keys::stream("default", STREAM), entry.encode().into()).await?;
        for address in self.addresses() {
            eventually("the stream is made", || async {
                let summary = self.kinesis.summary(address).await;
                Ok(summary.ok().filter(|summary| summary.status == "ACTIVE"))
            })
            .await?;
        }
        Ok(data)
    }

    /// The stream's shard map as it is stored.
    pub(crate) async fn map(&mut self, data: &DataId) -> anyhow::Result<ShardMap> {
        let found = self.kv().await?.get(&keys::map(data)).await?.context("the stream has no map")?;
        Ok(ShardMap::decode(&found.value)?)
    }
}

fn make_servers(dir: &Path, count: usize) -> anyhow::Result<Vec<Server>> {
    let route_ports = (0..count).map(|_| free_port()).collect::<anyhow::Result<Vec<u16>>>()?;
    let mut servers = Vec::new();
    for (n, port) in route_ports.iter().enumerate() {
        let mut options = NatsServerOptions::new(dir.join(format!("nats-server-{n}")));
        options.port = Some(free_port()?);
        options.server_name = format!("s{n}");
        if count > 1 {
            options.cluster =
                Some(Routes { name: "chaos".into(), port: *port, route_ports: route_ports.clone() });
        }
        servers.push(Server { options, running: None, starting: None });
    }
    Ok(servers)
}
