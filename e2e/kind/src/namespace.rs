//! A namespace for one test.

use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::{FutureExt, StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace as Object, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, wait, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{Cluster, Program, evidence, output, why_not_started};

/// A namespace that is deleted after its test.
pub struct Namespace {
    /// The cluster it is in.
    pub cluster: Cluster,
    /// Its name.
    pub name: String,
    broken_pods_expected: AtomicBool,
}

/// Runs a test in a namespace of its own, whose name begins with `test`. When the test fails or panics, what was found
/// is kept under `target/e2e/<test>`, and the error says so. With `MILLRACE_E2E_KEEP` set the namespace stays.
pub async fn in_namespace(test: &str, body: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    let cluster = Cluster::get().await?;
    let object = Object {
        metadata: kube::api::ObjectMeta { generate_name: Some(format!("{test}-")), ..Default::default() },
        ..Default::default()
    };
    let all = Api::<Object>::all(cluster.client());
    let name = all
        .create(&PostParams::default(), &object)
        .await?
        .metadata
        .name
        .context("a namespace without name")?;
    let namespace = Namespace { cluster, name, broken_pods_expected: AtomicBool::new(false) };
    let result = AssertUnwindSafe(body(&namespace)).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(anyhow!("{}", message_of(&*panic))));
    let result = match result {
        Ok(()) => Ok(()),
        Err(error) => Err(namespace.with_evidence(test, error).await),
    };
    if std::env::var_os("MILLRACE_E2E_KEEP").is_none() {
        all.delete(&namespace.name, &DeleteParams::default()).await?;
    }
    result
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the test panicked")
}

impl Namespace {
    /// The API of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.name)
    }

    /// `kubectl` in this namespace.
    pub fn kubectl(&self, arguments: &[&str]) -> Program {
        let mut program = self.cluster.program("kubectl");
        program.args(["--namespace", &self.name]).args(arguments);
        program
    }

    /// Applies YAML, as `kubectl apply -f` does.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        output(self.kubectl(&["apply", "-f", "-"]), yaml).await?;
        Ok(())
    }

    /// Waits as people do, by `kubectl wait`, until an object such as `stream/orders` is ready.
    pub async fn await_ready(&self, what: &str, within: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", within.as_secs());
        output(self.kubectl(&["wait", "--for=condition=Ready", what, &timeout]), "").await.map(drop)
    }

    /// Awaiting no longer fails when a pod can't start: for tests of just that.
    pub fn expect_broken_pods(&self) {
        self.broken_pods_expected.store(true, Ordering::Relaxed);
    }

    /// Awaits that an object is as `condition` says, and returns it. Fails at once when a pod here can't start, with
    /// the reason, and after `within` with what the object was like.
    pub async fn await_that<K>(
        &self,
        name: &str,
        within: Duration,
        condition: impl Fn(&K) -> bool,
    ) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + serde::Serialize + Send + 'static,
    {
        let api = self.api::<K>();
        let kind = K::kind(&());
        let met =
            wait::await_condition(api.clone(), name, |object: Option<&K>| object.is_some_and(&condition));
        let awaited = timeout(within, met);
        let broken = self.await_broken_pod();
        pin_mut!(awaited, broken);
        tokio::select! {
            met = &mut awaited => match met {
                Ok(object) => object?.with_context(|| format!("{kind} {name} is gone")),
                Err(_) => {
                    let object = api.get_opt(name).await?;
                    let seen = object.map_or_else(|| Ok("there is none".into()), |it| serde_yaml::to_string(&it))?;
                    bail!("{kind} {name} was not as awaited within {} s:\n{seen}", within.as_secs())
                }
            },
            why = &mut broken => bail!("while {kind} {name} was awaited, {}", why?),
        }
    }

    /// Returns when a pod can't start, unless that is expected.
    async fn await_broken_pod(&self) -> Result<String> {
        let pods = watcher(self.api::<Pod>(), watcher::Config::default()).default_backoff().applied_objects();
        let broken = pods.try_filter_map(async |pod| {
            Ok(why_not_started(&pod).filter(|_| !self.broken_pods_expected.load(Ordering::Relaxed)))
        });
        pin_mut!(broken);
        loop {
            // The watch goes on after errors; it only ends with the test.
            if let Some(Ok(why)) = broken.next().await {
                return Ok(why);
            }
        }
    }

    async fn with_evidence(&self, test: &str, error: anyhow::Error) -> anyhow::Error {
        let kept = async {
            let directory = evidence::directory(test)?;
            std::fs::write(directory.join("failure.txt"), format!("{error:?}\n"))?;
            evidence::keep(&self.cluster, &self.name, &directory).await?;
            anyhow::Ok(directory)
        };
        match kept.await {
            Ok(directory) => {
                error.context(format!("logs, events and objects lie in {}", directory.display()))
            }
            Err(why) => error.context(format!("logs, events and objects could not be kept: {why:#}")),
        }
    }
}
