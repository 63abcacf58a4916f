//! One broker process: a real [`Broker`], its connection to the log, and the network to other brokers and to
//! clients.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_core::BrokerId;
use millrace_log::memory::{Dice, MemoryClient, MemoryCluster};
use millrace_server::broker::{Broker, BrokerParts, Member, PeerError, Peers};
use millrace_server::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::world::World;

/// How long a broker waits for another.
const PEER_PATIENCE: Duration = Duration::from_secs(10);

/// A broker's clock: the cluster's, more or less, and randomness from the seed.
struct SimulatedClock {
    cluster: MemoryCluster,
    skew_ms: i64,
    dice: Mutex<Dice>,
}

impl Clock for SimulatedClock {
    fn now_ms(&self) -> i64 {
        self.cluster.now_ms() + self.skew_ms
    }

    fn random(&self) -> u64 {
        self.dice.lock().bits()
    }
}

/// A broker that runs.
pub(crate) struct Process {
    pub(crate) slot: usize,
    pub(crate) broker: Arc<Broker>,
    pub(crate) client: MemoryClient,
    /// What it does for others at this moment.
    serving: Mutex<Option<JoinSet<()>>>,
}

impl Process {
    /// Starts a broker; `None` if it could not reach the log.
    pub(crate) async fn start(world: &Arc<World>, slot: usize, client: MemoryClient) -> Option<Arc<Process>> {
        let scenario = &world.scenario;
        let (skew_ms, dice) = {
            let mut dice = world.dice.lock();
            (dice.below(2 * scenario.skew_ms + 1) as i64 - scenario.skew_ms as i64, dice.fork())
        };
        let log = Arc::new(client.clone());
        let clock = SimulatedClock { cluster: world.cluster.clone(), skew_ms, dice: Mutex::new(dice) };
        let parts = BrokerParts {
            log: log.clone(),
            kv: log.clone(),
            heartbeats: log,
            peers: Arc::new(SimulatedPeers { world: Arc::downgrade(world), slot, client: client.clone() }),
            clock: Arc::new(clock),
            declarations: None,
            address: format!("broker-{slot}"),
            settings: scenario.settings.clone(),
        };
        let broker = tokio::select! {
            biased;
            started = Broker::start(parts) => Arc::new(started.ok()?),
            () = client.crashed() => return None,
        };
        let serving = Mutex::new(Some(JoinSet::new()));
        Some(Arc::new(Process { slot, broker, client, serving }))
    }

    pub(crate) fn id(&self) -> BrokerId {
        self.broker.id()
    }

    /// Ends it without a word to anybody.
    pub(crate) fn crash(&self) {
        self.client.crash();
        self.broker.kill();
        self.serving.lock().take();
    }

    /// Lets the broker do something for somebody, and returns what it says; `None` if it dies before. The
    /// broker goes on with it when nobody waits any more.
    pub(crate) async fn serve<T, F>(self: &Arc<Self>, work: impl FnOnce(Arc<Broker>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let (client, work) = (self.client.clone(), work(self.broker.clone()));
        if let Some(serving) = self.serving.lock().as_mut() {
            while serving.try_join_next().is_some() {}
            serving.spawn(async move {
                client.running().await;
                let answer = work.await;
                client.running().await;
                let _ = reply.send(answer);
            });
        }
        answer.await.ok()
    }
}

/// The network between brokers.
struct SimulatedPeers {
    world: Weak<World>,
    slot: usize,
    client: MemoryClient,
}

/// What becomes of a request to another broker.
struct PeerFate {
    there: Duration,
    back: Duration,
    lost: bool,
    reply_lost: bool,
}

#[async_trait]
impl Peers for SimulatedPeers {
    async fn ask(&self, peer: &Member, request: Bytes) -> Result<Bytes, PeerError> {
        self.client.running().await;
        let unreachable = PeerError::Unreachable(peer.id);
        let unknown = || PeerError::Unknown(peer.id, "no answer in time".to_owned());
        let Some(world) = self.world.upgrade() else { return Err(unreachable) };
        let Some(process) = world.find(peer.id) else {
            sleep(Duration::from_millis(1)).await;
            return Err(unreachable);
        };
        if world.is_cut(self.slot, process.slot) {
            // Either no connection can be made, or one that was there stays silent.
            let silent = world.dice.lock().chance(300);
            sleep(if silent { PEER_PATIENCE } else { Duration::from_secs(1) }).await;
            return Err(if silent { unknown() } else { unreachable });
        }
        let fate = world.peer_fate();
        let (reply, answer) = oneshot::channel();
        let slot = self.slot;
        if !fate.lost {
            tokio::spawn(async move {
                sleep(fate.there).await;
                let answer =
                    process.serve(|broker| async move { broker.serve_peer(request).await.ok() }).await;
                sleep(fate.back).await;
                if let Some(Some(answer)) = answer
                    && !fate.reply_lost
                    && !world.is_cut(slot, process.slot)
                {
                    let _ = reply.send(answer);
                }
            });
        }
        let answer = timeout(PEER_PATIENCE, async {
            match answer.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        });
        let answer = answer.await;
        self.client.running().await;
        answer.map_err(|_| unknown())
    }
}

impl World {
    fn peer_fate(&self) -> PeerFate {
        let network = self.network.lock().clone();
        let mut dice = self.dice.lock();
        let late = dice.chance(network.late_per_mille / 2);
        let there = if late {
            PEER_PATIENCE + Duration::from_millis(dice.between(&network.late_ms))
        } else {
            Duration::from_millis(dice.between(&network.delay_ms))
        };
        PeerFate {
            there,
            back: Duration::from_millis(dice.between(&network.delay_ms)),
            lost: dice.chance(network.lost_request_per_mille / 2),
            reply_lost: dice.chance(network.lost_reply_per_mille / 2),
        }
    }
}
