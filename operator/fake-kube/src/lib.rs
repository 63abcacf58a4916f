//! A Kubernetes API server in memory, which fails where a test says.
//!
//! It keeps objects with resource versions, generations, field managers, finalizers and owners as the real one
//! does, serves watches, and holds Millrace's resources to their schema and rules. There are no sockets, no
//! threads of its own, and its clock stands still unless a test moves it.
//!
//! ```
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::api::{Api, PostParams};
//! use millrace_fake_kube::{Fault, FakeKube};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let kube = FakeKube::new();
//! let api: Api<ConfigMap> = Api::default_namespaced(kube.client("default"));
//! kube.fail_at(1, Fault::Lost);
//! let map = ConfigMap { metadata: kube::core::ObjectMeta { name: Some("a".into()), ..Default::default() }, ..Default::default() };
//! assert!(api.create(&PostParams::default(), &map).await.is_err());
//! assert!(kube.snapshot().contains_key("configmaps/default/a"));
//! # });
//! ```

mod admission;
mod apply;
mod built_in;
mod collect;
mod failure;
mod faults;
mod fields;
mod kinds;
mod managers;
mod names;
mod pod_template;
mod quantity;
mod request;
mod serve;
mod service;
mod snapshot;
mod store;
mod watch;
mod workloads;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch::Sender;

pub use faults::{Fault, Request, WatchFault};
pub use kinds::Kind;

struct Inner {
    store: store::Store,
    faults: faults::Faults,
    pods: workloads::PodStatuses,
    collects: bool,
    /// Clients of earlier generations are dead.
    client_generation: u64,
}

struct State {
    inner: Mutex<Inner>,
    /// Wakes the open watches.
    told: Sender<u64>,
}

impl State {
    fn tell(&self, revision: u64) {
        self.told.send_replace(revision);
    }
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub struct FakeKube {
    state: Arc<State>,
}

impl Default for FakeKube {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeKube {
    /// A server without objects, which collects garbage after each request.
    pub fn new() -> Self {
        let inner = Inner {
            store: store::Store::new(),
            faults: faults::Faults::default(),
            pods: workloads::PodStatuses::new(),
            collects: true,
            client_generation: 0,
        };
        Self { state: Arc::new(State { inner: Mutex::new(inner), told: Sender::new(0) }) }
    }

    /// A client of the present generation, whose default namespace is `namespace`. Unlike a client made from a
    /// configuration it tries nothing twice.
    pub fn client(&self, namespace: &str) -> kube::Client {
        let state = Arc::clone(&self.state);
        let generation = state.inner.lock().client_generation;
        let service =
            tower::service_fn(move |request| service::answer(Arc::clone(&state), generation, request));
        kube::Client::new(service, namespace)
    }

    /// Changes the inside, then wakes the watches.
    fn change<R>(&self, act: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.state.inner.lock();
        let result = act(&mut inner);
        let revision = inner.store.revision;
        drop(inner);
        self.state.tell(revision);
        result
    }

    /// Adds a resource that the fake does not know by itself.
    pub fn register(&self, kind: Kind) {
        self.change(|inner| inner.store.kinds.push(kind));
    }

    /// Lets the `number`-th request from the beginning (the first is 1) fail.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.change(|inner| inner.faults.planned.insert(number, fault));
    }

    /// Lets the `ahead`-th request from now fail; 1 is the next one.
    pub fn fail_next(&self, ahead: u64, fault: Fault) {
        self.change(|inner| {
            let number = inner.faults.log.len() as u64 + ahead;
            inner.faults.planned.insert(number, fault);
        });
    }

    /// Ends every open watch.
    pub fn break_watches(&self, fault: WatchFault) {
        self.change(|inner| {
            inner.faults.watch_generation += 1;
            inner.faults.watch_fault = Some(fault);
        });
    }

    /// Forgets the history: watches and continued lists from before now are told 410.
    pub fn compact(&self) {
        self.change(|inner| {
            inner.store.compacted = inner.store.revision;
            inner.store.history.clear();
        });
    }

    /// After a crash: earlier clients stay dead, [`client`](Self::client) makes living ones. Planned faults
    /// that were not reached are dropped.
    pub fn restart(&self) {
        self.change(|inner| {
            inner.faults.crashed = false;
            inner.faults.planned.clear();
            inner.client_generation += 1;
        });
    }

    /// Whether a planned crash has happened since the last restart.
    pub fn crashed(&self) -> bool {
        self.state.inner.lock().faults.crashed
    }

    /// Every request so far that reached the server, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.inner.lock().faults.log.clone()
    }

    /// How many requests reached the server.
    pub fn request_count(&self) -> u64 {
        self.state.inner.lock().faults.log.len() as u64
    }

    /// How many writes were sent, whether they changed anything or not.
    pub fn writes_sent(&self) -> u64 {
        self.state.inner.lock().faults.log.iter().filter(|request| request.is_write()).count() as u64
    }

    /// How many writes changed an object.
    pub fn writes_effective(&self) -> u64 {
        let inner = self.state.inner.lock();
        inner.faults.log.iter().filter(|request| request.is_write() && request.changed).count() as u64
    }

    /// The server's clock, which stands still.
    pub fn now(&self) -> Timestamp {
        self.state.inner.lock().store.now
    }

    /// Sets the server's clock.
    pub fn set_now(&self, now: Timestamp) {
        self.change(|inner| inner.store.now = now);
    }

    /// Whether garbage is collected after each request; it is from the beginning.
    pub fn collect_automatically(&self, collects: bool) {
        self.change(|inner| inner.collects = collects);
    }

    /// Deletes what has lost its owners, and finishes foreground deletions.
    pub fn collect_garbage(&self) {
        self.change(|inner| collect::collect_garbage(&mut inner.store));
    }

    /// One step of the StatefulSet controller and the kubelet: makes missing pods (of the newest template) and
    /// claims, deletes surplus pods, writes the status of pods and sets.
    pub fn run_workloads(&self) {
        self.change(|inner| {
            workloads::run(&mut inner.store, &inner.pods);
            if inner.collects {
                collect::collect_garbage(&mut inner.store);
            }
        });
    }

    /// From the next [`run_workloads`](Self::run_workloads) on the pod has this `status` instead of being ready;
    /// `None` makes it ready again.
    pub fn set_pod_status(&self, namespace: &str, pod: &str, status: Option<Value>) {
        let at = (namespace.to_owned(), pod.to_owned());
        self.change(|inner| match status {
            Some(status) => drop(inner.pods.insert(at, status)),
            None => drop(inner.pods.remove(&at)),
        });
    }

    /// Every object by `resource/namespace/name` (resource as in `statefulsets.apps`), without uids, versions,
    /// generations, times and field managers.
    pub fn snapshot(&self) -> BTreeMap<String, Value> {
        self.snapshot_without(&[])
    }

    /// Like [`snapshot`](Self::snapshot), without these keys of the `data` of Secrets and ConfigMaps.
    pub fn snapshot_without(&self, data_keys: &[&str]) -> BTreeMap<String, Value> {
        snapshot::take(&self.state.inner.lock().store, data_keys)
    }
}
