//! The control loop that one process of a cluster runs: it makes and removes what streams consist of, and decides
//! splits and merges. It carries out no reshard (that is the owners' work), and nothing waits for it to serve.
//!
//! Everything it does may be done twice or by two controllers at once: each step finds what is done already, and
//! what counts is written by compare-and-set. Each stream has a task of its own, so that one whose log does not
//! answer holds up no other.

mod create;
mod delete;
pub mod intents;
mod known;
mod lanes;
mod retain;
mod step;
mod tend;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millrace_autoscaler::{Finding, Outlook};
use millrace_log::{Heartbeats, Kv, Log};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use known::{Known, TendedStream};

/// How many decisions a listener may be behind before it misses some.
const DECISIONS_KEPT: usize = 256;

/// A controller's intervals. The defaults are what production runs with.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// How often loads are looked at and decided on.
    pub decide_every: Duration,
    /// How long after its last beat a broker's reports count.
    pub alive_for: Duration,
    /// How often lanes are looked at, and closed shards that retention has taken are forgotten.
    pub sweep_every: Duration,
}

impl Default for ControllerSettings {
    fn default() -> Self {
        ControllerSettings {
            decide_every: Duration::from_secs(1),
            alive_for: Duration::from_secs(3),
            sweep_every: Duration::from_secs(60),
        }
    }
}

/// What a controller is made of.
pub struct ControllerParts {
    /// Where records are stored.
    pub log: Arc<dyn Log>,
    /// Where streams and maps are stored.
    pub kv: Arc<dyn Kv>,
    /// Where brokers report their shards' loads.
    pub heartbeats: Arc<dyn Heartbeats>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Intervals.
    pub settings: ControllerSettings,
}

/// Something that the controller has found about a stream, and what it does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// The stream's namespace.
    pub namespace: String,
    /// The stream's name.
    pub name: String,
    /// What; reads as a sentence.
    pub finding: Finding,
    /// Whether what it says is done; otherwise it is advice.
    pub applies: bool,
}

impl Told {
    /// One CamelCase word for it, which tells advice from what is done.
    pub fn reason(&self) -> String {
        match self.is_advice() {
            true => format!("Recommended{}", self.finding.name()),
            false => self.finding.name().to_owned(),
        }
    }

    /// Whether something is done about it.
    pub fn is_applied(&self) -> bool {
        self.applies && self.finding.acts()
    }

    fn is_advice(&self) -> bool {
        !self.applies && self.finding.acts()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = if self.is_advice() { " (advice: nothing is done)" } else { "" };
        write!(f, "{}{advice}", self.finding)
    }
}

/// Why a stream is not tended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether what was stored is gone: nothing is tried again by itself then.
    pub lost: bool,
    /// A sentence.
    pub message: String,
}

/// What the controller's tasks share.
struct Shared {
    log: Arc<dyn Log>,
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    settings: ControllerSettings,
    known: Known,
    decisions: broadcast::Sender<Told>,
    /// Namespace and name of streams that have begun or ceased to fail.
    failures: broadcast::Sender<(String, String)>,
}

/// A running controller. Its tasks end when it is stopped or dropped.
pub struct Controller {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Controller {
    /// Starts the control loop.
    pub fn start(parts: ControllerParts) -> Controller {
        let ControllerParts { log, kv, heartbeats, clock, settings } = parts;
        let (decisions, _) = broadcast::channel(DECISIONS_KEPT);
        let (failures, _) = broadcast::channel(DECISIONS_KEPT);
        let known = Known::default();
        let shared = Arc::new(Shared { log, kv, clock, settings, known, decisions, failures });
        let task = tokio::spawn(run(shared.clone(), heartbeats));
        Controller { shared, task: Mutex::new(Some(task)) }
    }

    /// Ends the control loop where it is: every step can be taken up by the next controller.
    pub async fn stop(&self) {
        let task = self.task.lock().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    /// What was found about a stream lately, oldest first: at most the last 100.
    pub fn why(&self, namespace: &str, name: &str) -> Vec<Told> {
        self.shared.known.why(namespace, name)
    }

    /// What the autoscaler saw of a stream in the last second, and what it waits for. Nothing of a stream that is not
    /// active, or was not looked at as yet.
    pub fn outlook(&self, namespace: &str, name: &str) -> Option<Arc<Outlook>> {
        self.shared.known.outlook(namespace, name)
    }

    /// Why a stream is not tended, if it is not.
    pub fn failure(&self, namespace: &str, name: &str) -> Option<Failure> {
        self.shared.known.failure(namespace, name)
    }

    /// Namespace and name of each stream that begins to fail, fails otherwise or ceases to fail from now on.
    pub fn failures(&self) -> broadcast::Receiver<(String, String)> {
        self.shared.failures.subscribe()
    }

    /// Everything that is found from now on, about any stream.
    pub fn decisions(&self) -> broadcast::Receiver<Told> {
        self.shared.decisions.subscribe()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Follows streams, maps and beats, and runs a task for each stream. Ends never; what it runs ends with it.
async fn run(shared: Arc<Shared>, heartbeats: Arc<dyn Heartbeats>) {
    use futures::StreamExt;
    use millrace_core::keys;

    let streams = shared.kv.watch(keys::STREAMS);
    let maps = shared.kv.watch(keys::MAPS);
    let mut values = futures::stream::select(streams, maps);
    let mut beats = heartbeats.watch_beats();
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            Some(event) = values.next() => {
                if let Some(stream) = shared.known.learn(event) {
                    tasks.spawn(tend::tend(shared.clone(), stream));
                }
            }
            Some(event) = beats.next() => shared.known.hear(event),
            Some(_) = tasks.join_next() => {}
            else => return,
        }
    }
}
