//! The operator as a process.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use millrace_crds::condition::{Kind, find};
use millrace_crds::{Broker, Stream};
use millrace_server::clock::{Clock, SystemClock};
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::apply::{FIELD_MANAGER, INSTANCE, MANAGED_BY};
use crate::broker::Names;
use crate::context::Context;
use crate::events::Teller;
use crate::follow::{Gone, follow_brokers, forget};
use crate::lease::Leadership;
use crate::links::{Changed, Links, NatsLinks};
use crate::metrics::Metrics;
use crate::outlooks::follow_outlooks;
use crate::rounds::Rounds;
use crate::settings::Settings;
use crate::{broker, decisions, orphans, seed, stream};

/// How many objects of a kind are reconciled at once.
const CONCURRENCY: u16 = 8;
/// How many changes may wait until reconcilers have seen them.
const CHANGES_KEPT: usize = 16_384;

/// What the process is started with, beside its [`Settings`].
#[derive(Clone, Debug)]
pub struct Options {
    /// What reconcilers are told.
    pub settings: Settings,
    /// The namespaces that are looked after; all, if there are none.
    pub watch_namespaces: Vec<String>,
    /// The Lease that the leader holds.
    pub lease_name: String,
    /// What this process is called: its pod's name.
    pub identity: String,
}

/// Leads once it can, and reconciles until the Lease is lost or `stop` comes.
///
/// # Errors
/// When the Lease is lost, or what is needed to begin can't be had. The process ends then, and another begins anew:
/// nothing that reconcilers do would stop at once otherwise.
pub async fn run(
    client: Client,
    options: Options,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let namespace = options.settings.namespace.clone();
    let leadership =
        Leadership::new(client.clone(), &namespace, &options.lease_name, options.identity.clone());
    tokio::pin!(stop);
    tokio::select! {
        () = leadership.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    tracing::info!(lease = options.lease_name, identity = options.identity, "this operator leads");
    metrics.lead(true);
    let ended = tokio::select! {
        lost = leadership.hold() => Err(lost.into()),
        ended = lead(client, &options, metrics.clone()) => ended,
        () = &mut stop => Ok(()),
    };
    metrics.lead(false);
    leadership.release().await;
    ended
}

async fn lead(client: Client, options: &Options, metrics: Metrics) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let seed = seed::ensure(&client, &options.settings.namespace, rand::random()).await?;
    let (sender, changes) = mpsc::unbounded_channel();
    let links: Arc<dyn Links> = Arc::new(NatsLinks::new(clock.clone(), sender));
    let teller = Teller::new(client.clone(), Some(options.identity.clone()));
    let scopes = Scope::all(&options.watch_namespaces);
    // A controller fills its store, and reconcilers look into it.
    let (streams, brokers): (Vec<_>, Vec<_>) = scopes
        .iter()
        .map(|scope| {
            let streams = Controller::new(scope.api::<Stream>(&client), watcher::Config::default());
            let brokers = Controller::new(scope.api::<Broker>(&client), watcher::Config::default());
            (streams, brokers)
        })
        .unzip();
    let known = Known { streams: streams.iter().map(Controller::store).collect() };
    let of_namespace = known.clone();
    let context = Arc::new(Context {
        client: client.clone(),
        settings: options.settings.clone(),
        seed,
        links,
        metrics,
        teller,
        clock,
        streams: Arc::new(move |namespace| of_namespace.in_namespace(namespace)),
        keys_made: Mutex::default(),
    });
    // What changes in logs is told to the reconcilers of all scopes.
    let (told, _) = broadcast::channel(CHANGES_KEPT);
    let mut tasks = JoinSet::new();
    for (scope, (streams, brokers)) in scopes.iter().zip(streams.into_iter().zip(brokers)) {
        let gone = Gone::default();
        tasks.spawn(run_brokers(brokers, scope.clone(), context.clone(), gone.clone(), told.subscribe()));
        tasks.spawn(run_streams(streams, scope.clone(), context.clone(), known.clone(), told.subscribe()));
        tasks.spawn(follow_brokers(scope.api(&client), context.clone(), gone, told.clone()));
    }
    let all = known.clone();
    tasks.spawn(follow_outlooks(move || all.all().collect(), context.clone(), told.clone()));
    tasks.spawn(pass_on(changes, context, known, told));
    // None of them ends by itself.
    match tasks.join_next().await {
        Some(Err(error)) => Err(error.into()),
        _ => anyhow::bail!("a control loop has ended"),
    }
}

/// What is looked after: one namespace, or all.
#[derive(Clone, Debug)]
struct Scope {
    namespace: Option<String>,
}

impl Scope {
    fn all(namespaces: &[String]) -> Vec<Scope> {
        match namespaces.is_empty() {
            true => vec![Scope { namespace: None }],
            false => namespaces.iter().map(|name| Scope { namespace: Some(name.clone()) }).collect(),
        }
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

/// The Streams that watches have told of.
#[derive(Clone)]
struct Known {
    streams: Vec<Store<Stream>>,
}

impl Known {
    fn all(&self) -> impl Iterator<Item = Arc<Stream>> {
        self.streams.iter().flat_map(Store::state)
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Arc<Stream>> {
        self.all().filter(|stream| stream.namespace().as_deref() == Some(namespace)).collect()
    }

    fn of_broker(&self, broker: &Names) -> Vec<Arc<Stream>> {
        let mut streams = self.in_namespace(&broker.namespace);
        streams.retain(|stream| stream.spec.broker_ref.name == broker.broker);
        streams
    }

    /// The Streams that a change is about.
    fn touched(&self, changed: &Changed) -> Vec<ObjectRef<Stream>> {
        let (broker, name) = match changed {
            Changed::Broker(broker) => (broker, None),
            Changed::Stream { broker, stream } => (broker, Some(stream)),
            Changed::Decided { broker, told } => (broker, Some(&told.name)),
        };
        let streams = self.of_broker(broker).into_iter();
        let touched = streams.filter(|stream| name.is_none_or(|name| stream.stream_name() == name));
        touched.map(|stream| ObjectRef::from_obj(&*stream)).collect()
    }
}

/// Passes on what connections to logs tell. A Stream that no watch has told of as yet is reconciled when one does.
async fn pass_on(
    mut changes: mpsc::UnboundedReceiver<Changed>,
    context: Arc<Context>,
    known: Known,
    told: broadcast::Sender<Changed>,
) {
    while let Some(changed) = changes.recv().await {
        match &changed {
            Changed::Broker(broker) => {
                if let Err(error) = orphans::retain(broker, &context).await {
                    tracing::warn!(namespace = broker.namespace, broker = broker.broker, "{error}");
                }
            }
            Changed::Decided { broker, told } => {
                decisions::tell(told, &known.of_broker(broker), &context).await;
            }
            Changed::Stream { .. } => {}
        }
        let _ = told.send(changed);
    }
}

async fn run_brokers(
    controller: Controller<Broker>,
    scope: Scope,
    context: Arc<Context>,
    gone: Gone,
    told: broadcast::Receiver<Changed>,
) {
    let client = context.client.clone();
    let ours = || watcher::Config::default().labels(&format!("{MANAGED_BY}={FIELD_MANAGER}"));
    let of_pod = |pod: Pod| of_labels(&pod);
    let of_claim = |claim: PersistentVolumeClaim| of_labels(&claim);
    let linked = BroadcastStream::new(told).filter_map(|changed| async move {
        match changed {
            Ok(Changed::Broker(names)) => Some(ObjectRef::new(&names.broker).within(&names.namespace)),
            _ => None,
        }
    });
    let store = controller.store();
    let rounds = Rounds::of("Broker", context.clone());
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .owns(scope.api::<StatefulSet>(&client), ours())
        .owns(scope.api::<Service>(&client), ours())
        .owns(scope.api::<ConfigMap>(&client), ours())
        .owns(scope.api::<ServiceAccount>(&client), ours())
        .owns(scope.api::<RoleBinding>(&client), ours())
        .owns(scope.api::<PodDisruptionBudget>(&client), ours())
        .owns(scope.api::<NetworkPolicy>(&client), ours())
        .watches(scope.api::<Pod>(&client), ours(), of_pod)
        .watches(scope.api::<PersistentVolumeClaim>(&client), ours(), of_claim)
        .reconcile_on(linked)
        .run(
            move |broker, rounds: Arc<Rounds>| {
                let gone = gone.clone();
                async move {
                    let round = broker::reconcile(broker.clone(), rounds.context.clone());
                    let result = rounds.time(&*broker, round).await;
                    if gone.has(broker.metadata.uid.as_deref().unwrap_or_default()) {
                        forget(&Names::of(&broker), &rounds.context);
                    }
                    result
                }
            },
            |broker, error, rounds| rounds.pause(&*broker, error),
            Arc::new(rounds),
        )
        .for_each(|_| async {
            let stalled = |broker: &Arc<Broker>| {
                broker.status.as_ref().is_some_and(|status| is_stalled(&status.conditions))
            };
            context.metrics.stalled("Broker", store.state().iter().filter(|broker| stalled(broker)).count());
        })
        .await;
}

async fn run_streams(
    controller: Controller<Stream>,
    scope: Scope,
    context: Arc<Context>,
    known: Known,
    told: broadcast::Receiver<Changed>,
) {
    let store = controller.store();
    let all = known.clone();
    let changed = BroadcastStream::new(told).flat_map(move |changed| {
        let touched = match changed {
            Ok(changed) => all.touched(&changed),
            // Some were missed: any may have changed.
            Err(BroadcastStreamRecvError::Lagged(_)) => {
                all.all().map(|stream| ObjectRef::from_obj(&*stream)).collect()
            }
        };
        futures::stream::iter(touched)
    });
    // One that goes leaves its name to others that wait for it.
    let others = move |gone: Stream| {
        let namespace = gone.namespace().unwrap_or_default();
        let mut others = known.in_namespace(&namespace);
        others.retain(|other| {
            other.metadata.uid != gone.metadata.uid && other.stream_name() == gone.stream_name()
        });
        others.into_iter().map(|stream| ObjectRef::from_obj(&*stream)).collect::<Vec<_>>()
    };
    let rounds = Rounds::of("Stream", context.clone());
    controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .watches(scope.api::<Stream>(&context.client), watcher::Config::default(), others)
        .reconcile_on(changed)
        .run(
            |stream, rounds: Arc<Rounds>| async move {
                let round = stream::reconcile(stream.clone(), rounds.context.clone());
                rounds.time(&*stream, round).await
            },
            |stream, error, rounds| rounds.pause(&*stream, error),
            Arc::new(rounds),
        )
        .for_each(|_| async {
            let stalled = |stream: &Arc<Stream>| {
                stream.status.as_ref().is_some_and(|status| is_stalled(&status.conditions))
            };
            context.metrics.stalled("Stream", store.state().iter().filter(|stream| stalled(stream)).count());
        })
        .await;
}

fn is_stalled(conditions: &[Condition]) -> bool {
    find(conditions, Kind::Stalled).is_some()
}

/// The Broker that an object was made for.
fn of_labels<K: Resource>(object: &K) -> Option<ObjectRef<Broker>> {
    let broker = object.meta().labels.as_ref()?.get(INSTANCE)?;
    Some(ObjectRef::new(broker).within(object.meta().namespace.as_deref()?))
}
