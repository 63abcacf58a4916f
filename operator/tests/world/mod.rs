//! An API server, logs, and an operator that may die: what the tests of whole reconcilers share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::{Client, ResourceExt};
use millrace_autoscaler::Outlook;
use millrace_core::{DataId, ShardMap, StreamEntry, StreamState, keys};
use millrace_crds::{Broker, Stream};
use millrace_fake_kube::FakeKube;
use millrace_log::memory::{Faults, MemoryCluster};
use millrace_operator::broker::Names;
use millrace_operator::context::Context;
use millrace_operator::events::Teller;
use millrace_operator::links::{Failure, Link, LinkPlan, Links, Observe};
use millrace_operator::metrics::Metrics;
use millrace_operator::{Settings, broker, stream};
use millrace_server::clock::Clock;
use millrace_server::controller::{Controller, ControllerParts, ControllerSettings, Told};
use parking_lot::Mutex;
use serde_json::{Value, json};

const NOW_MS: i64 = 1_700_000_000_000;
/// After so many rounds something goes round in circles.
const MOST_ROUNDS: usize = 400;

/// One thing that a user does.
pub(crate) enum Step {
    /// `kubectl apply`.
    Apply(Value),
    /// `kubectl delete`: kind and name.
    Delete(&'static str, &'static str),
}

/// Where a run has come to: all objects, and what the logs hold of each stream.
pub(crate) type End = (BTreeMap<String, Value>, BTreeMap<String, Kept>);

/// What a log holds of a stream, without what is random.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    /// Its state and configuration.
    pub(crate) entry: String,
    /// How many shards are open, how many reshards are under way, and in how many lanes.
    pub(crate) map: Option<(usize, usize, u16)>,
}

/// Tokio's clock is paused: what waits costs nothing.
pub(crate) fn run<R>(future: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// `make test-fast` does an eighth.
pub(crate) fn is_fast() -> bool {
    std::env::var("MILLRACE_TEST").is_ok_and(|which| which == "fast")
}

/// The time stands still but where a test lets it pass; what is random differs each time.
pub(crate) struct TestClock {
    random: AtomicU64,
    pub(crate) passed_ms: AtomicI64,
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        NOW_MS + self.passed_ms.load(Ordering::Relaxed)
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Logs of Brokers: as volumes do, they outlive both Brokers and operators.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<HashMap<Names, MemoryCluster>>>);

impl Logs {
    pub(crate) fn of(&self, broker: &Names) -> MemoryCluster {
        let mut logs = self.0.lock();
        let cluster = || MemoryCluster::new(1, NOW_MS, Faults::none());
        logs.entry(broker.clone()).or_insert_with(cluster).clone()
    }
}

/// The connections of one operator: they are there as soon as they are asked for, with the control loop.
struct TestLinks {
    logs: Logs,
    clock: Arc<TestClock>,
    running: Mutex<HashMap<Names, Link>>,
}

/// What the control loop sees; how much is stored is not looked at.
struct Observed(Controller);

impl Observe for Observed {
    fn outlook(&self, namespace: &str, stream: &str) -> Option<Arc<Outlook>> {
        self.0.outlook(namespace, stream)
    }

    fn decisions(&self, namespace: &str, stream: &str) -> Vec<Told> {
        self.0.why(namespace, stream)
    }

    fn failure(&self, _: &str, _: &str) -> Option<Failure> {
        None
    }

    fn stored_bytes_of(&self, _: &DataId) -> Option<u64> {
        None
    }

    fn stored_bytes(&self) -> Option<u64> {
        None
    }
}

#[async_trait]
impl Links for TestLinks {
    fn ensure(&self, broker: &Names, _: LinkPlan) {
        let connect = || {
            let client = Arc::new(self.logs.of(broker).connect("operator"));
            let controller = Controller::start(ControllerParts {
                log: client.clone(),
                kv: client.clone(),
                heartbeats: client.clone(),
                clock: self.clock.clone(),
                settings: ControllerSettings::default(),
            });
            Link { log: client.clone(), kv: client, observe: Arc::new(Observed(controller)) }
        };
        self.running.lock().entry(broker.clone()).or_insert_with(connect);
    }

    fn get(&self, broker: &Names) -> Option<Link> {
        self.running.lock().get(broker).cloned()
    }

    fn forget(&self, broker: &Names) {
        self.running.lock().remove(broker);
    }

    async fn why_not_ready(&self, _: IpAddr) -> Option<String> {
        None
    }
}

/// An API server, logs, and an operator.
pub(crate) struct World {
    pub(crate) kube: FakeKube,
    pub(crate) logs: Logs,
    pub(crate) clock: Arc<TestClock>,
    operator: Arc<Context>,
    known: Arc<Mutex<Vec<Arc<Stream>>>>,
    /// The Streams that there were in the round before.
    listed: Vec<Arc<Stream>>,
    /// What may never change once it is there: root access keys by name, data ids of streams that are retained.
    first_seen: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> World {
        let kube = FakeKube::new();
        let logs = Logs::default();
        let clock = Arc::new(TestClock { random: AtomicU64::new(1), passed_ms: AtomicI64::new(0) });
        let known = Arc::new(Mutex::new(Vec::new()));
        let operator = operator(&kube, &logs, &clock, &known);
        World { kube, logs, clock, operator, known, listed: Vec::new(), first_seen: BTreeMap::new() }
    }

    /// An operator that died is started anew, with nothing but what it finds.
    fn revive(&mut self) {
        if self.kube.crashed() {
            self.kube.restart();
            self.operator = operator(&self.kube, &self.logs, &self.clock, &self.known);
        }
    }

    /// A user does something, and tries again until it is done or refused.
    pub(crate) async fn act(&mut self, step: &Step) -> Result<(), Box<Status>> {
        for _ in 0..5 {
            self.revive();
            let client = self.operator.client.clone();
            let done = match step {
                Step::Apply(object) => apply(&client, object).await,
                Step::Delete(kind, name) => delete(&client, kind, name).await,
            };
            match done {
                Ok(()) => return Ok(()),
                // One fault is planned in a run: what it befell is done again.
                Err(kube::Error::Api(answer)) if answer.code != 500 => return Err(answer),
                Err(_) => {}
            }
        }
        panic!("a user can't get it done");
    }

    /// Lets the operator work until nothing changes any more.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let before = (self.kube.writes_effective(), self.entries());
            let went_well = self.round().await;
            let after = (self.kube.writes_effective(), self.entries());
            if after != before {
                self.look_for_losses();
            }
            if went_well && after == before {
                return;
            }
        }
        panic!(
            "it does not come to rest: {:#?}",
            self.kube.requests().iter().rev().take(40).collect::<Vec<_>>()
        );
    }

    /// One round of everybody's work. Returns whether nothing failed.
    pub(crate) async fn round(&mut self) -> bool {
        self.revive();
        let context = self.operator.clone();
        let Ok(streams) = list::<Stream>(&context.client).await else { return false };
        // What one watch tells may be older than what another one does: those that have just gone are still in it.
        let mut known = streams.clone();
        let just_gone = std::mem::replace(&mut self.listed, streams.clone());
        known.extend(
            just_gone.into_iter().filter(|gone| streams.iter().all(|stream| stream.uid() != gone.uid())),
        );
        *self.known.lock() = known;
        let Ok(brokers) = list::<Broker>(&context.client).await else { return false };
        let mut went_well = true;
        // What a watch of Brokers would tell.
        let there: HashSet<Names> = brokers.iter().map(|broker| Names::of(broker)).collect();
        for broker in self.logs.0.lock().keys().filter(|broker| !there.contains(broker)) {
            context.links.forget(broker);
        }
        for broker in brokers {
            went_well &= broker::reconcile(broker, context.clone()).await.is_ok();
        }
        for stream in streams {
            went_well &= stream::reconcile(stream, context.clone()).await.is_ok();
        }
        self.kube.run_workloads();
        // The control loops work on their own.
        tokio::time::sleep(Duration::from_secs(2)).await;
        went_well && !self.kube.crashed()
    }

    /// What was made once stays as it was made.
    fn look_for_losses(&mut self) {
        let objects = self.kube.snapshot();
        for (key, object) in &objects {
            if key.starts_with("secrets/") && key.ends_with("-root-access-key") {
                let value = object["data"].to_string();
                let first = self.first_seen.entry(key.clone()).or_insert_with(|| value.clone());
                assert_eq!(*first, value, "{key} was written again");
            }
        }
        let volumes: Vec<&String> = objects.keys().filter(|key| is_volume(key)).collect();
        for volume in &volumes {
            self.first_seen.entry((*volume).clone()).or_default();
        }
        for seen in self.first_seen.keys().filter(|key| is_volume(key)) {
            assert!(volumes.contains(&seen), "{seen} was deleted");
        }
        for (key, entry) in self.entries() {
            if entry.state == StreamState::Retained {
                let data = entry.data.to_string();
                self.first_seen.entry(format!("retained {key}")).or_insert(data);
            }
            if let Some(data) = self.first_seen.get(&format!("retained {key}")) {
                assert_eq!(*data, entry.data.to_string(), "the data of {key} was lost");
            }
        }
    }

    /// More rounds ask for no change at all.
    pub(crate) async fn rests(&mut self, rounds: usize) {
        let (sent, before) = (self.kube.writes_sent(), self.end());
        for _ in 0..rounds {
            assert!(self.round().await, "a round at rest fails");
        }
        if self.kube.writes_sent() != sent {
            let requests = self.kube.requests();
            panic!("at rest it writes: {:#?}", requests.iter().rfind(|request| request.is_write()));
        }
        assert_eq!(self.end(), before);
    }

    pub(crate) fn entries(&self) -> Vec<(String, StreamEntry)> {
        let logs = self.logs.0.lock();
        let values = logs.values().flat_map(|log| log.values(keys::STREAMS));
        values.map(|found| (found.key, StreamEntry::decode(&found.value).expect("an entry"))).collect()
    }

    /// All objects but Events, and what the logs hold, without what is random.
    pub(crate) fn end(&self) -> End {
        let mut objects =
            self.kube.snapshot_without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "credentials"]);
        objects.retain(|key, _| !key.starts_with("events"));
        for object in objects.values_mut() {
            // A digest of what was applied, with the uid of its owner.
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.remove(millrace_operator::apply::APPLIED);
            }
            if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
                status.remove("dataId");
            }
        }
        let logs = self.logs.0.lock();
        let maps = |data: &DataId| {
            let found = logs.values().find_map(|log| log.value(&keys::map(data)))?;
            let map = ShardMap::decode(&found.value).expect("a map");
            Some((map.open.len(), map.reshards.len(), map.lanes))
        };
        let values = logs.values().flat_map(|log| log.values(keys::STREAMS));
        let entries = values.map(|found| {
            let entry = StreamEntry::decode(&found.value).expect("an entry");
            let kept = format!("{:?} {:?}", entry.state, entry.config);
            (found.key, Kept { entry: kept, map: maps(&entry.data) })
        });
        (objects, entries.collect())
    }
}

fn is_volume(key: &str) -> bool {
    key.starts_with("persistentvolumeclaims/")
}

fn operator(
    kube: &FakeKube,
    logs: &Logs,
    clock: &Arc<TestClock>,
    known: &Arc<Mutex<Vec<Arc<Stream>>>>,
) -> Arc<Context> {
    let client = kube.client("default");
    let known = known.clone();
    let links = TestLinks { logs: logs.clone(), clock: clock.clone(), running: Mutex::default() };
    Arc::new(Context {
        client: client.clone(),
        settings: Settings::default(),
        seed: millrace_certificates::Seed::new([7; 32]),
        links: Arc::new(links),
        metrics: Metrics::default(),
        teller: Teller::new(client, None),
        clock: clock.clone(),
        streams: Arc::new(move |_| known.lock().clone()),
        keys_made: Mutex::default(),
    })
}

async fn list<K>(client: &Client) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let all = Api::<K>::all(client.clone()).list(&ListParams::default()).await?;
    Ok(all.items.into_iter().map(Arc::new).collect())
}

/// The namespace of those whose operator this is.
pub(crate) const NAMESPACE: &str = "shop";

/// An object of ours.
pub(crate) fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "millrace.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    })
}

fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("millrace.dev", "v1alpha1", kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// `kubectl apply`, once.
pub(crate) async fn apply(client: &Client, object: &Value) -> Result<(), kube::Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let api = api(client, text("/kind"), text("/metadata/namespace"));
    let params = PatchParams::apply("user").force();
    api.patch(text("/metadata/name"), &params, &Patch::Apply(object)).await.map(|_| ())
}

async fn delete(client: &Client, kind: &str, name: &str) -> Result<(), kube::Error> {
    match api(client, kind, NAMESPACE).delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        // Done by the try before, whose answer was lost.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
