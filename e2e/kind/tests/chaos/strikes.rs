//! Pods that are killed, and a node that is drained, each followed by waiting until all is well.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt};
use millrace_crds::Broker;
use millrace_crds::condition::{Kind, find};
use millrace_e2e::{Namespace, OPERATOR_NAMESPACE, is_ready, output};

use super::attempts::Attempts;
use super::{PATIENCE, await_no_overload};

/// What befell a part, and when, in Unix seconds.
pub(crate) struct Strike {
    what: String,
    at: f64,
    well_after_s: f64,
}

/// How often each part is struck.
pub(crate) fn rounds() -> u32 {
    std::env::var("MILLRACE_CHAOS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A broker, a log server, the operator and a node, one after another; in each round other ones.
pub(crate) async fn round(namespace: &Namespace, file: &Path, number: u32) -> Result<Vec<Strike>> {
    let mut strikes = Vec::new();
    for component in ["broker", "log"] {
        strikes.push(kill(namespace, &format!("default-{component}-{}", number % 3)).await?);
        await_no_overload(file).await?;
    }
    strikes.push(kill_operator(namespace).await?);
    await_no_overload(file).await?;
    strikes.push(drain(namespace, number).await?);
    await_no_overload(file).await?;
    Ok(strikes)
}

/// What each strike cost writers, and how long it took until all was well.
pub(crate) fn report(strikes: &[Strike], attempts: &Attempts) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut recoveries: Vec<f64> = Vec::new();
    for (number, strike) in strikes.iter().enumerate() {
        let until = strikes.get(number + 1).map_or(f64::INFINITY, |next| next.at);
        let recovery = attempts.recovery(strike.at, until);
        recoveries.push(recovery);
        told.push(format!("{} {recovery:.1} s (all ready after {:.1} s)", strike.what, strike.well_after_s));
    }
    recoveries.sort_by(f64::total_cmp);
    let at = |share: f64| recoveries[((recoveries.len() as f64 * share).ceil() as usize).max(1) - 1];
    format!("p50 {:.1} s, p95 {:.1} s: {}", at(0.5), at(0.95), told.join(", "))
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn strike(what: impl Into<String>, at: f64) -> Strike {
    Strike { what: what.into(), at, well_after_s: now() - at }
}

async fn kill(namespace: &Namespace, pod: &str) -> Result<Strike> {
    let before = namespace.api::<Pod>().get(pod).await?.uid();
    let at = now();
    output(namespace.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]), "").await?;
    let is_new = |seen: &Pod| seen.uid() != before && is_ready(seen);
    let anew = await_condition(namespace.api::<Pod>(), pod, |seen: Option<&Pod>| seen.is_some_and(is_new));
    tokio::time::timeout(PATIENCE, anew).await.with_context(|| format!("{pod} does not come back"))??;
    broker_is_well(namespace).await?;
    Ok(strike(pod, at))
}

async fn kill_operator(namespace: &Namespace) -> Result<Strike> {
    let client = namespace.cluster.client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let ours = ListParams::default().labels("app.kubernetes.io/component=operator");
    let at = now();
    for pod in pods.list(&ours).await? {
        let (name, uid) = (pod.name_any(), pod.uid().unwrap_or_default());
        let mut kubectl = namespace.cluster.program("kubectl");
        kubectl.args(["delete", "pod", "-n", OPERATOR_NAMESPACE, &name, "--grace-period=0", "--force"]);
        output(kubectl, "").await?;
        let gone = await_condition(pods.clone(), &name, conditions::is_deleted(&uid));
        tokio::time::timeout(PATIENCE, gone).await.context("the operator's pod does not go")??;
    }
    let operators: Api<Deployment> = Api::namespaced(client, OPERATOR_NAMESPACE);
    let serves = |seen: Option<&Deployment>| {
        seen.and_then(|seen| seen.status.as_ref()?.ready_replicas).is_some_and(|ready| ready > 0)
    };
    let back = await_condition(operators, "millrace-operator", serves);
    tokio::time::timeout(PATIENCE, back).await.context("the operator does not come back")??;
    Ok(strike("the operator", at))
}

/// Drains one of the workers, and lets pods come back.
async fn drain(namespace: &Namespace, number: u32) -> Result<Strike> {
    let nodes = Api::<Node>::all(namespace.cluster.client()).list(&ListParams::default()).await?;
    let mut workers: Vec<String> = nodes.iter().map(ResourceExt::name_any).collect();
    workers.retain(|node| node.contains("-worker"));
    let node = workers.get(number as usize % workers.len().max(1)).context("no workers")?.clone();
    let at = now();
    let drain = ["drain", &node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s"];
    let drained = output(namespace.kubectl(&drain), "").await;
    output(namespace.kubectl(&["uncordon", &node]), "").await?;
    drained?;
    broker_is_well(namespace).await?;
    Ok(strike(format!("node {node}"), at))
}

/// All of a Broker's pods are there and ready, and the operator says so of the newest spec.
async fn broker_is_well(namespace: &Namespace) -> Result<()> {
    let serves = |broker: &Broker| {
        let Some(status) = &broker.status else { return false };
        let ready = find(&status.conditions, Kind::Ready).is_some_and(|ready| ready.status == "True");
        ready && (status.ready_log_servers, status.ready_brokers) == (Some(3), Some(3))
    };
    let pods_are_ready = async {
        loop {
            let pods = namespace.api::<Pod>().list(&ListParams::default()).await?;
            if pods.iter().filter(|pod| is_ready(pod)).count() == 6 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(PATIENCE, pods_are_ready).await.context("six pods are not ready")??;
    namespace.await_that::<Broker>("default", PATIENCE, serves).await.map(|_| ())
}
