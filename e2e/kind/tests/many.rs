//! A thousand Streams on one operator.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::api::ListParams;
use millrace_crds::Stream;
use millrace_crds::condition::{Kind, find};
use millrace_e2e::{Namespace, OPERATOR_NAMESPACE, in_namespace, output};
use serde_json::Value;

/// How many there are.
const STREAMS: usize = 1_000;
/// How long they may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long nothing is to be asked, at rest.
const REST: Duration = Duration::from_secs(20);

const BROKER: &str = "
apiVersion: millrace.dev/v1alpha1
kind: Broker
metadata: {name: default}
spec:
  log: {servers: 1, replicas: 1, storage: {size: 100Gi}, resources: {requests: {memory: 1Gi}}}
  replicas: 1
";

fn streams() -> String {
    let stream = |number| {
        format!(
            "apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata: {{name: stream-{number}}}\n\
             spec: {{capacity: {{shards: 1}}, quota: 64Mi, deletionPolicy: Delete}}\n"
        )
    };
    (0..STREAMS).map(stream).collect::<Vec<_>>().join("---\n")
}

fn is_ready(stream: &Stream) -> bool {
    let conditions = stream.status.as_ref().map_or(&[][..], |status| &status.conditions);
    find(conditions, Kind::Ready).is_some_and(|ready| ready.status == "True")
}

async fn raw(namespace: &Namespace, path: &str) -> Result<String> {
    output(namespace.kubectl(&["get", "--raw", path]), "").await
}

/// How many requests for Streams and Brokers the API server has answered: those that write, and those that read
/// single objects. Lists are ours and the watches' own.
async fn requests(namespace: &Namespace) -> Result<(f64, f64)> {
    let (mut writes, mut reads) = (0.0, 0.0);
    for line in raw(namespace, "/metrics").await?.lines() {
        if !line.starts_with("apiserver_request_total{") || !line.contains(r#"group="millrace.dev""#) {
            continue;
        }
        let count: f64 = line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0.0);
        let is = |verb: &str| line.contains(&format!(r#"verb="{verb}""#));
        if ["APPLY", "PATCH", "PUT", "POST", "DELETE"].iter().any(|verb| is(verb)) {
            writes += count;
        } else if is("GET") {
            reads += count;
        }
    }
    Ok((writes, reads))
}

/// The working set of the operator's container, in bytes, as its kubelet tells.
async fn operator_memory(namespace: &Namespace) -> Result<u64> {
    let nodes = output(namespace.kubectl(&["get", "nodes", "-o", "name"]), "").await?;
    for node in nodes.lines().filter_map(|line| line.strip_prefix("node/")) {
        let summary: Value = serde_json::from_str(
            &raw(namespace, &format!("/api/v1/nodes/{node}/proxy/stats/summary")).await?,
        )?;
        let pods = summary["pods"].as_array().context("no pods")?;
        let operator = pods.iter().find(|pod| pod["podRef"]["namespace"] == OPERATOR_NAMESPACE);
        if let Some(bytes) =
            operator.and_then(|pod| pod["containers"][0]["memory"]["workingSetBytes"].as_u64())
        {
            return Ok(bytes);
        }
    }
    anyhow::bail!("no kubelet tells of the operator")
}

async fn await_streams(namespace: &Namespace, are: impl Fn(&[Stream]) -> bool) -> Result<Duration> {
    let began = Instant::now();
    let awaited = async {
        loop {
            let streams = namespace.api::<Stream>().list(&ListParams::default().match_any()).await?.items;
            if are(&streams) {
                return anyhow::Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, awaited).await.context("the Streams are not as awaited")?
}

#[tokio::test]
async fn a_thousand_streams_are_ready_and_ask_for_nothing_at_rest() -> Result<()> {
    in_namespace("many", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(BROKER).await?;
        namespace.await_ready("broker/default", Duration::from_secs(240)).await?;
        let memory_before = operator_memory(namespace).await?;
        let before = requests(namespace).await?;
        let began = Instant::now();
        output(namespace.kubectl(&["create", "-f", "-"]), &streams()).await?;
        let created = began.elapsed();
        await_streams(namespace, |streams| streams.len() == STREAMS && streams.iter().all(is_ready)).await?;
        let all_ready = began.elapsed();
        let after = requests(namespace).await?;
        let per_stream = |after: f64, before: f64| (after - before) / STREAMS as f64;

        // At rest nothing is asked: what the reconcilers last did is over when two looks see the same.
        let at_rest = async {
            loop {
                let before = requests(namespace).await?;
                tokio::time::sleep(REST).await;
                if requests(namespace).await? == before {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, at_rest).await.context("there is no rest")??;
        let memory = operator_memory(namespace).await?;

        let deleting = Instant::now();
        output(namespace.kubectl(&["delete", "streams", "--all", "--wait=false"]), "").await?;
        await_streams(namespace, <[_]>::is_empty).await?;
        println!(
            "{STREAMS} Streams: created by kubectl in {:.1} s, all Ready {:.1} s after the first; for each {:.2} writes \
             (kubectl's among them) and {:.2} reads; the operator has {} MiB, {} MiB before; all deleted in {:.1} s",
            created.as_secs_f64(),
            all_ready.as_secs_f64(),
            per_stream(after.0, before.0),
            per_stream(after.1, before.1),
            memory >> 20,
            memory_before >> 20,
            deleting.elapsed().as_secs_f64(),
        );
        Ok(())
    })
    .await
}
