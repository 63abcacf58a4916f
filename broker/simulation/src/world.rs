//! Everything that takes part in a run: the log, the brokers that are alive, and who reaches whom.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::{
    BrokerId, CapacityMode, DataId, Limits, ShardMap, StreamConfig, StreamEntry, StreamState, keys,
};
use millrace_log::memory::{Dice, Faults, MemoryCluster};
use millrace_log::{Kv, LaneAddress, LaneConfig, Log};
use millrace_server::broker::{Broker, Stream};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::oracle::Oracle;
use crate::process::Process;
use crate::scenario::Scenario;

/// When every run begins, in Unix milliseconds.
pub(crate) const START_MS: i64 = 1_700_000_000_000;
/// The namespace of all streams.
pub(crate) const NAMESPACE: &str = "default";

/// Everything that takes part in a run.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) cluster: MemoryCluster,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) dice: Mutex<Dice>,
    pub(crate) network: Mutex<Faults>,
    pub(crate) streams: Vec<(String, StreamEntry)>,
    processes: Mutex<BTreeMap<BrokerId, Arc<Process>>>,
    /// Pairs of slots that do not reach each other, the lower one first, and how many cuts say so.
    cuts: Mutex<BTreeMap<(usize, usize), u32>>,
    phase: Mutex<Phase>,
    phase_changed: Notify,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Faults strike.
    Faults,
    /// No more faults; writers go on for a while.
    Calm,
    /// Writers bring what they have begun to an end.
    Finish,
}

impl World {
    pub(crate) fn new(scenario: Scenario, oracle: Oracle) -> Arc<World> {
        let mut dice = Dice::new(scenario.seed ^ 0x0077_6f72_6c64);
        let cluster = MemoryCluster::new(dice.bits(), START_MS, Faults::none());
        let oracle = Arc::new(Mutex::new(oracle));
        let observer = oracle.clone();
        cluster.observe(move |event| observer.lock().saw(event));
        let config = StreamConfig {
            mode: CapacityMode::Provisioned,
            shards: scenario.shards,
            retention_s: scenario.retention_s,
            limits: Limits::None,
            ..StreamConfig::default()
        };
        let stream = |index: usize| {
            let data = DataId::from_random(index as u128 + 1);
            let state = StreamState::Active;
            (format!("s{index}"), StreamEntry { data, state, created_ms: START_MS, config: config.clone() })
        };
        Arc::new(World {
            streams: (0..scenario.streams).map(stream).collect(),
            network: Mutex::new(Faults::none()),
            scenario,
            cluster,
            oracle,
            dice: Mutex::new(dice),
            processes: Mutex::default(),
            cuts: Mutex::default(),
            phase: Mutex::new(Phase::Faults),
            phase_changed: Notify::new(),
        })
    }

    /// Makes the streams, before anything can fail.
    pub(crate) async fn make_streams(&self) {
        let admin = self.cluster.connect("admin");
        for (name, entry) in &self.streams {
            let map = ShardMap::new(entry.config.shards, START_MS);
            // As many lanes as any map may name, so that the making of lanes is no part of the run.
            for lane in 0..millrace_core::lane::MAX_LANES {
                let lane = LaneAddress { data: entry.data.clone(), lane: millrace_core::Lane(lane) };
                let config = LaneConfig { max_age_s: entry.config.retention_s, max_bytes: u64::MAX };
                admin.ensure_lane(&lane, &config).await.expect("nothing fails yet");
            }
            let map_key = keys::map(&entry.data);
            admin.create(&map_key, map.encode().into()).await.expect("nothing fails yet");
            let key = keys::stream(NAMESPACE, name);
            admin.create(&key, entry.encode().into()).await.expect("nothing fails yet");
        }
    }

    /// From now on the network does this, and the one between brokers alike.
    pub(crate) fn set_network(&self, faults: Faults) {
        self.cluster.set_faults(faults.clone());
        *self.network.lock() = faults;
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.lock()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.phase_changed.notify_waiters();
    }

    /// Returns when `phase` or a later one has come.
    pub(crate) async fn until(&self, phase: Phase) {
        loop {
            let changed = self.phase_changed.notified();
            if self.phase() >= phase {
                return;
            }
            changed.await;
        }
    }

    /// The broker of this id, if it runs.
    pub(crate) fn find(&self, id: BrokerId) -> Option<Arc<Process>> {
        self.processes.lock().get(&id).cloned()
    }

    /// The brokers that run.
    pub(crate) fn running(&self) -> Vec<Arc<Process>> {
        self.processes.lock().values().cloned().collect()
    }

    /// A broker takes part from now on.
    pub(crate) fn join(&self, process: Arc<Process>) {
        self.processes.lock().insert(process.id(), process);
    }

    /// A broker takes part no more.
    pub(crate) fn leave(&self, id: BrokerId) {
        self.processes.lock().remove(&id);
    }

    /// Starts a broker in a slot, however often that takes.
    pub(crate) async fn start_broker(self: &Arc<Self>, slot: usize) {
        loop {
            let client = self.cluster.connect(&format!("broker-{slot}"));
            match Process::start(self, slot, client).await {
                Some(process) => return self.join(process),
                None => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    pub(crate) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cuts.lock().contains_key(&(a.min(b), a.max(b)))
    }

    /// Cuts some pairs of slots from each other for a while.
    pub(crate) fn cut(&self, pairs: &BTreeSet<(usize, usize)>, begin: bool) {
        let mut cuts = self.cuts.lock();
        for pair in pairs {
            let count = cuts.entry(*pair).or_default();
            *count = if begin { *count + 1 } else { count.saturating_sub(1) };
        }
        cuts.retain(|_, count| *count > 0);
    }

    /// Does something with a broker that runs, as a client: `None` if there is none or no answer came.
    pub(crate) async fn ask<T, F>(&self, work: impl FnOnce(Arc<Broker>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let running = self.running();
        if running.is_empty() {
            return None;
        }
        let (process, delay_ms, lost) = {
            let network = self.network.lock();
            let mut dice = self.dice.lock();
            let process = dice.pick(&running).clone();
            (process, dice.between(&network.delay_ms), dice.chance(network.lost_reply_per_mille / 4))
        };
        sleep(Duration::from_millis(delay_ms)).await;
        let answer = timeout(self.scenario.client_patience, process.serve(work)).await.ok().flatten();
        answer.filter(|_| !lost)
    }

    /// A stream as the given broker knows it.
    pub(crate) fn stream_at(&self, broker: &Broker, stream: usize) -> Option<Arc<Stream>> {
        broker.stream(NAMESPACE, &self.streams[stream].0)
    }
}
