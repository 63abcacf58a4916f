//! A broker process put together: the log it stands on, the broker, the controller if it runs here, and the
//! listeners.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use millrace_log::jetstream::{ConnectSettings, JetStream, Settings as LogSettings};
use millrace_log::{Heartbeats, Kv, Log};
use millrace_server::broker::{Broker, BrokerParts, Declarations, Peers, Settings};
use millrace_server::clock::{Clock, SystemClock};
use millrace_server::controller::{Controller, ControllerParts, ControllerSettings};
use millrace_server::http::{self, Api, BodyBudget, BodyLimits, ListenerConfig, Readiness, Router};
use millrace_server::kinesis::{Kinesis, MAX_REQUEST_BYTES};
use millrace_server::peer_http::serve_peers;
use millrace_server::sigv4::{Credentials, Verifier};
use millrace_tls::{Certificate, Tls};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminOptions, BrokerAdmin};
use crate::serving;
use crate::why::WhyApi;

/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What the bodies of all requests under way may hold together, and all large answers that clients have not read, in
/// bytes.
const BODIES_BYTES: usize = 256 << 20;
const ANSWERS_BYTES: usize = 256 << 20;

/// What a node is made of.
pub struct NodeOptions {
    /// Where NATS is.
    pub nats_urls: Vec<String>,
    /// How many copies JetStream keeps.
    pub replicas: u8,
    /// How long NATS may take until it answers for the first time.
    pub connect_for: Duration,
    /// Where the APIs are served.
    pub listen: SocketAddr,
    /// Where other brokers are served, if there can be any.
    pub peers: Option<PeerOptions>,
    /// The identity towards NATS and other brokers; without it there is no TLS.
    pub tls: Option<Tls>,
    /// What clients are shown; without it the APIs are served without TLS.
    pub certificate: Option<Certificate>,
    /// Whether the controller runs here: in one process of a cluster.
    pub controller: bool,
    /// Whose signatures are taken.
    pub credentials: Credentials,
    /// Where streams are declared, if elsewhere than in the log.
    pub declarations: Option<Arc<dyn Declarations>>,
    /// Whether it is told, to whoever asks, why streams have the shards they have; where the controller runs.
    pub why: bool,
    /// Where probes are answered, if anywhere.
    pub admin: Option<AdminOptions>,
}

/// How other brokers reach a node.
pub struct PeerOptions {
    /// Where it listens for them.
    pub listen: SocketAddr,
    /// What the others are told; without it the address of the listener.
    pub address: Option<String>,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
}

/// A node that serves.
pub struct Node {
    /// The broker in it.
    pub broker: Arc<Broker>,
    /// Where the APIs are served.
    pub address: SocketAddr,
    readiness: Readiness,
    admin: Option<Arc<BrokerAdmin>>,
    controller: Option<Arc<Controller>>,
    stop: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
}

impl Node {
    /// Connects to NATS and starts everything. `GET /ready` answers 200 once [`Node::ready`] is called.
    ///
    /// # Errors
    /// With a sentence that says what is wrong and what to do.
    pub async fn start(options: NodeOptions) -> anyhow::Result<Node> {
        let stop = CancellationToken::new();
        // The sockets first: an address in use should be told before anything else happens.
        let admin = match &options.admin {
            Some(admin) => Some(BrokerAdmin::start(admin, stop.clone()).await?),
            None => None,
        };
        let listener = bind(options.listen).await?;
        let address = listener.local_addr()?;
        let peer_listener = match &options.peers {
            Some(peers) => Some(bind(peers.listen).await?),
            None => None,
        };
        let connect = ConnectSettings {
            deadline: options.connect_for,
            tls: options.tls.clone(),
            ..ConnectSettings::default()
        };
        let settings = LogSettings { replicas: options.replicas, ..LogSettings::default() };
        let jetstream = JetStream::connect(&options.nats_urls, connect, settings).await?;
        let log: Arc<dyn Log> = Arc::new(jetstream.log());
        let kv: Arc<dyn Kv> = Arc::new(jetstream.kv().await?);
        let heartbeats: Arc<dyn Heartbeats> = Arc::new(jetstream.heartbeats().await?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let told = options.peers.as_ref().and_then(|peers| peers.address.clone());
        let peer_address = match (told, &peer_listener) {
            (Some(address), _) => address,
            (None, Some(listener)) => listener.local_addr()?.to_string(),
            (None, None) => String::new(),
        };
        let broker = Arc::new(
            Broker::start(BrokerParts {
                log: log.clone(),
                kv: kv.clone(),
                heartbeats: heartbeats.clone(),
                peers: match options.peers {
                    Some(peers) => peers.peers,
                    None => Arc::new(millrace_server::broker::NoPeers),
                },
                clock: clock.clone(),
                declarations: options.declarations,
                address: peer_address,
                settings: Settings::default(),
            })
            .await?,
        );
        let controller = options.controller.then(|| {
            let settings = ControllerSettings::default();
            Arc::new(Controller::start(ControllerParts { log, kv, heartbeats, clock, settings }))
        });
        let mut listeners = Vec::new();
        if let Some(listener) = peer_listener {
            listeners.push(tokio::spawn(serve_peers(listener, broker.clone(), options.tls, stop.clone())));
        }
        let readiness = Readiness::default();
        let limits = BodyLimits {
            max_bytes: MAX_REQUEST_BYTES,
            timeout: BODY_TIMEOUT,
            budget: BodyBudget::new(BODIES_BYTES),
        };
        let bodies = limits.budget.clone();
        let metrics = broker.metrics();
        metrics.ask("millrace_bodies_bytes", "What bodies of requests under way hold.", move || {
            bodies.used_bytes() as f64
        });
        let answers = BodyBudget::new(ANSWERS_BYTES);
        let unread = answers.clone();
        metrics.ask(
            "millrace_answers_bytes",
            "What large answers hold that clients have not read.",
            move || unread.used_bytes() as f64,
        );
        let nats = jetstream.client().statistics();
        metrics.ask("millrace_nats_connects", "How often the connection to NATS was made.", move || {
            nats.connects.load(Ordering::Relaxed) as f64
        });
        let verifier = Arc::new(Verifier::new(options.credentials));
        let kinesis = Kinesis::new(broker.clone(), verifier, limits, answers, stop.clone());
        let mut apis: Vec<Arc<dyn Api>> = vec![Arc::new(kinesis)];
        if let Some(controller) = controller.as_ref().filter(|_| options.why) {
            apis.insert(0, Arc::new(WhyApi::new(broker.clone(), controller.clone())));
        }
        let router = Arc::new(Router::new(apis, readiness.clone()));
        let stopping = stop.clone().cancelled_owned();
        let bounds = ListenerConfig::default();
        let bounds = ListenerConfig {
            max_connections: bounds.max_connections.min(serving::connections()),
            certificate: options.certificate,
            ..bounds
        };
        listeners.push(tokio::spawn(http::serve(listener, router, bounds, stopping)));
        Ok(Node { broker, address, readiness, admin, controller, stop, listeners })
    }

    /// The controller, if it runs here.
    pub fn controller(&self) -> Option<&Controller> {
        self.controller.as_deref()
    }

    /// From now on `GET /ready` answers 200.
    pub fn ready(&self) {
        self.readiness.set(true);
        if let Some(admin) = &self.admin {
            admin.serves(self.broker.clone());
        }
    }

    /// Ends cleanly: no new requests, those under way are finished, the shards are handed over.
    pub async fn stop(self) {
        self.readiness.set(false);
        self.stop.cancel();
        if let Some(controller) = self.controller {
            controller.stop().await;
        }
        for listener in self.listeners {
            let _ = listener.await;
        }
        self.broker.stop().await;
    }
}

/// Opens a socket.
///
/// # Errors
/// When the address can't be had.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let hint = || format!("can't listen on {address}: another process may use it; choose another address");
    TcpListener::bind(address).await.with_context(hint)
}

/// Returns on SIGTERM or SIGINT.
pub async fn asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
