//! Connections to the Brokers' logs over NATS, with the control loop that each Broker has.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use http::StatusCode;
use millrace_autoscaler::Outlook;
use millrace_core::{DataId, StreamEntry, keys};
use millrace_log::jetstream::{ConnectSettings, JetStream, Settings as LogSettings};
use millrace_log::{Heartbeats, Kv, KvEvent, Log};
use millrace_server::clock::Clock;
use millrace_server::controller::{Controller, ControllerParts, ControllerSettings, Told};
use millrace_server::http::Asker;
use millrace_tls::{Identity, Tls};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Failure, Link, LinkPlan, Links, Observe, Usage};
use crate::broker::Names;
use crate::broker::names::KEEPER_PORT;

/// How long to try until a log answers, before the failure is logged and it is tried again.
const CONNECT_FOR: Duration = Duration::from_secs(30);
/// How long to wait after something that is not the log's silence.
const PAUSE: Duration = Duration::from_secs(2);
/// How much of what a keeper says is passed on, in characters.
const SAID_CHARACTERS: usize = 300;
/// How often it is looked how full the log is.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Something has changed that a reconciler should see.
#[derive(Clone, Debug)]
pub enum Changed {
    /// A Broker's log is there.
    Broker(Names),
    /// What the log holds of a stream.
    Stream {
        /// The Broker.
        broker: Names,
        /// The stream's name.
        stream: String,
    },
    /// The autoscaler has decided something.
    Decided {
        /// The Broker.
        broker: Names,
        /// What.
        told: Told,
    },
}

/// Connections over NATS.
pub struct NatsLinks {
    clock: Arc<dyn Clock>,
    changed: mpsc::UnboundedSender<Changed>,
    running: Mutex<HashMap<Names, Running>>,
    asker: Asker,
}

/// A connection that there is or will be.
struct Running {
    plan: LinkPlan,
    tls: Tls,
    link: Arc<Mutex<Option<Link>>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NatsLinks {
    /// No connections as yet. Everything that changes is sent to `changed`.
    pub fn new(clock: Arc<dyn Clock>, changed: mpsc::UnboundedSender<Changed>) -> NatsLinks {
        NatsLinks { clock, changed, running: Mutex::default(), asker: Asker::default() }
    }
}

#[async_trait]
impl Links for NatsLinks {
    fn ensure(&self, broker: &Names, plan: LinkPlan) {
        let pem = &plan.identity;
        let identity = Identity::from_pem(pem.cert.as_bytes(), pem.key.as_bytes(), pem.ca.as_bytes());
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(namespace = broker.namespace, broker = broker.broker, %error, "no identity");
                return;
            }
        };
        let mut running = self.running.lock();
        if let Some(running) = running.get_mut(broker)
            && (&running.plan.urls, running.plan.replicas) == (&plan.urls, plan.replicas)
        {
            if running.plan.identity != plan.identity {
                // From the next connection on.
                running.tls.replace(identity);
                running.plan = plan;
            }
            return;
        }
        let tls = Tls::new(identity);
        let link = Arc::new(Mutex::new(None));
        let connect = Connect {
            broker: broker.clone(),
            plan: plan.clone(),
            tls: tls.clone(),
            link: link.clone(),
            clock: self.clock.clone(),
            changed: self.changed.clone(),
        };
        let task = tokio::spawn(connect.run());
        running.insert(broker.clone(), Running { plan, tls, link, task });
    }

    fn get(&self, broker: &Names) -> Option<Link> {
        self.running.lock().get(broker)?.link.lock().clone()
    }

    fn forget(&self, broker: &Names) {
        self.running.lock().remove(broker);
    }

    async fn why_not_ready(&self, address: IpAddr) -> Option<String> {
        let keeper = SocketAddr::new(address, KEEPER_PORT);
        // A pod may say what it likes: a sentence of it goes into the status.
        let (status, body) = self.asker.get(&format!("http://{keeper}/ready")).await.ok()?;
        let said: String = String::from_utf8_lossy(&body).trim().chars().take(SAID_CHARACTERS).collect();
        (status == StatusCode::SERVICE_UNAVAILABLE && !said.is_empty()).then_some(said)
    }
}

/// What is known of a log, beside what it holds.
struct Observed {
    controller: Controller,
    streams: Mutex<HashMap<DataId, Usage>>,
    stored_bytes: Mutex<Option<u64>>,
}

impl Observe for Observed {
    fn failure(&self, namespace: &str, stream: &str) -> Option<Failure> {
        let failure = self.controller.failure(namespace, stream)?;
        Some(Failure { lost: failure.lost, message: failure.message })
    }

    fn outlook(&self, namespace: &str, stream: &str) -> Option<Arc<Outlook>> {
        self.controller.outlook(namespace, stream)
    }

    fn decisions(&self, namespace: &str, stream: &str) -> Vec<Told> {
        self.controller.why(namespace, stream)
    }

    fn stored_bytes_of(&self, data: &DataId) -> Option<u64> {
        self.streams.lock().get(data).map(|usage| usage.stored_bytes)
    }

    fn stored_bytes(&self) -> Option<u64> {
        *self.stored_bytes.lock()
    }
}

/// One connection on its way.
struct Connect {
    broker: Names,
    plan: LinkPlan,
    tls: Tls,
    link: Arc<Mutex<Option<Link>>>,
    clock: Arc<dyn Clock>,
    changed: mpsc::UnboundedSender<Changed>,
}

impl Connect {
    /// Connects, then follows what the log tells. The connection is made again by itself whenever it is lost.
    async fn run(self) {
        let Names { namespace, broker } = &self.broker;
        loop {
            match self.connect().await {
                Ok(ended) => match ended {},
                Err(error) => tracing::info!(namespace, broker, "the log does not answer as yet: {error:#}"),
            }
            sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> anyhow::Result<std::convert::Infallible> {
        let connect = ConnectSettings {
            name: "millrace-operator".into(),
            deadline: CONNECT_FOR,
            tls: Some(self.tls.clone()),
        };
        let settings = LogSettings { replicas: self.plan.replicas, ..LogSettings::default() };
        let jetstream = JetStream::connect(&self.plan.urls, connect, settings).await?;
        let log: Arc<dyn Log> = Arc::new(jetstream.log());
        let kv: Arc<dyn Kv> = Arc::new(jetstream.kv().await?);
        let heartbeats: Arc<dyn Heartbeats> = Arc::new(jetstream.heartbeats().await?);
        let controller = Controller::start(ControllerParts {
            log: log.clone(),
            kv: kv.clone(),
            heartbeats,
            clock: self.clock.clone(),
            settings: ControllerSettings::default(),
        });
        let (mut decisions, mut failures) = (controller.decisions(), controller.failures());
        let observed =
            Arc::new(Observed { controller, streams: Mutex::default(), stored_bytes: Mutex::default() });
        *self.link.lock() = Some(Link { log, kv: kv.clone(), observe: observed.clone() });
        tracing::info!(
            namespace = self.broker.namespace,
            broker = self.broker.broker,
            "connected to the log"
        );
        self.tell(Changed::Broker(self.broker.clone()));
        let mut values = values(&*kv);
        let mut names: HashMap<DataId, String> = HashMap::new();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(event) = values.next() => {
                    if let Some(stream) = stream_of(event, &mut names) {
                        self.tell_stream(stream);
                    }
                }
                told = decisions.recv() => match told {
                    Ok(told) => self.tell(Changed::Decided { broker: self.broker.clone(), told }),
                    // Some were missed: the log of this process has them.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => anyhow::bail!("the control loop has ended"),
                },
                failed = failures.recv() => match failed {
                    Ok((_, stream)) => self.tell_stream(stream),
                    Err(broadcast::error::RecvError::Lagged(_)) => names.values().cloned().for_each(|s| self.tell_stream(s)),
                    Err(broadcast::error::RecvError::Closed) => anyhow::bail!("the control loop has ended"),
                },
                _ = looks.tick() => match jetstream.usage().await {
                    Ok(usage) => self.look(&observed, &usage, &names),
                    Err(error) => tracing::debug!(%error, "it can't be looked how full the log is"),
                },
            }
        }
    }

    /// Notes how full the log is, and tells of streams where that has changed by more than a little.
    fn look(
        &self,
        observed: &Observed,
        usage: &[millrace_log::jetstream::StreamUsage],
        names: &HashMap<DataId, String>,
    ) {
        let mut streams: HashMap<DataId, Usage> = HashMap::new();
        for stream in usage {
            if let Some((data, _)) = &stream.lane {
                streams.entry(data.clone()).or_default().stored_bytes += stream.stored_bytes;
            }
        }
        let stored = usage.iter().map(|stream| stream.stored_bytes * stream.replicas).sum();
        *observed.stored_bytes.lock() = Some(stored);
        let before = std::mem::replace(&mut *observed.streams.lock(), streams.clone());
        for (data, now) in &streams {
            let before = before.get(data).map_or(0, |usage| usage.stored_bytes);
            let has_changed = now.stored_bytes.abs_diff(before) > before / 32 + (1 << 20);
            if let Some(stream) = names.get(data).filter(|_| has_changed) {
                self.tell_stream(stream.clone());
            }
        }
    }

    fn tell_stream(&self, stream: String) {
        self.tell(Changed::Stream { broker: self.broker.clone(), stream });
    }

    fn tell(&self, changed: Changed) {
        // Whoever listens ends with this process.
        let _ = self.changed.send(changed);
    }
}

fn values(kv: &dyn Kv) -> impl Stream<Item = KvEvent> + Unpin + Send + use<> {
    futures::stream::select(kv.watch(keys::STREAMS), kv.watch(keys::MAPS))
}

/// The stream that a change in KV is about.
fn stream_of(event: KvEvent, names: &mut HashMap<DataId, String>) -> Option<String> {
    let (key, value) = match event {
        KvEvent::Put(entry) => (entry.key, Some(entry.value)),
        KvEvent::Delete { key, .. } => (key, None),
        KvEvent::Current => return None,
    };
    if let Some((_, name)) = keys::parse_stream(&key) {
        if let Some(Ok(entry)) = value.map(|value| StreamEntry::decode(&value)) {
            names.insert(entry.data, name.clone());
        }
        return Some(name);
    }
    names.get(&keys::parse_map(&key)?).cloned()
}
