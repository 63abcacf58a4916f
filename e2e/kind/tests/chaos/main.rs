//! A stream under load on three nodes: its shards follow the load, and what was acknowledged is all there, each record
//! once, in order and in its place, also while pods are killed and a node is drained.
//!
//! `MILLRACE_CHAOS_ROUNDS` says how often each of the four is struck; once without it.

mod attempts;
mod strikes;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use millrace_crds::Stream;
use millrace_e2e::{Endpoint, Namespace, in_namespace, output};
use serde_json::{Value, json};
use tokio::process::Child;

use attempts::Attempts;

/// How long anything may take before the test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(300);
/// What comes in, in records a second.
const RATE: u32 = 800;
/// What one shard shall carry, in records a second.
const TARGET: u32 = 125;
/// Over how many seconds a shard's rate is looked at.
const RATE_SECONDS: f64 = 8.0;

fn resources() -> String {
    format!(
        "
apiVersion: millrace.dev/v1alpha1
kind: Broker
metadata: {{name: default}}
spec:
  log: {{servers: 3, replicas: 3, storage: {{size: 4Gi}}}}
  replicas: 3
  service: {{type: NodePort, nodePort: 30566}}
---
apiVersion: millrace.dev/v1alpha1
kind: Stream
metadata: {{name: orders}}
spec:
  capacity:
    shards: 1
    targetPerShard: {{recordsPerSecond: {TARGET}}}
    mergeAfterSeconds: 2
  quota: 1Gi
"
    )
}

/// `clients/load.py write`, which ends when its standard input does.
struct Load {
    child: Child,
}

impl Load {
    fn begin(namespace: &Namespace, endpoint: &Endpoint, file: &Path) -> Result<Load> {
        let mut python = namespace.program("load.py", endpoint);
        python.args(["write", "orders", &RATE.to_string()]).arg(file);
        let child = python
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("load.py")?;
        Ok(Load { child })
    }

    async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.context("load.py does not end: some record is never acknowledged")??;
        ensure!(status.success(), "load.py ended with {status}");
        Ok(())
    }
}

fn open_shards(stream: &Stream) -> i32 {
    stream.status.as_ref().and_then(|status| status.open_shards).unwrap_or(0)
}

async fn check(namespace: &Namespace, endpoint: &Endpoint, file: &Path) -> Result<Value> {
    let mut python = namespace.program("load.py", endpoint);
    python.args(["check", "orders"]).arg(file);
    Ok(serde_json::from_str(&output(python, "").await?)?)
}

/// Waits until no shard takes more than its target and nothing is refused.
async fn await_no_overload(file: &Path) -> Result<()> {
    let calm = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let attempts = Attempts::read(file)?;
            let busiest = attempts.busiest_shard(RATE_SECONDS);
            if attempts.refused(RATE_SECONDS) == 0 && busiest > 0.0 && busiest <= f64::from(TARGET) {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, calm).await.context("shards stay above their target")?
}

#[tokio::test]
async fn shards_follow_the_load_and_nothing_is_lost_while_pods_and_a_node_go() -> Result<()> {
    in_namespace("chaos", async |namespace| {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("attempts.jsonl");
        namespace.cluster.install().await?;
        namespace.apply(&resources()).await?;
        for what in ["broker/default", "stream/orders"] {
            namespace.await_ready(what, PATIENCE).await?;
        }
        // Pods that a node is taken from wait; some begin while the log is away.
        namespace.expect_broken_pods();

        let endpoint = namespace.endpoint_on_nodes("default").await?;
        let load = Load::begin(namespace, &endpoint, &file)?;
        let began = Instant::now();
        namespace.await_that::<Stream>("orders", PATIENCE, |stream| open_shards(stream) > 1).await?;
        let split_after = began.elapsed();
        await_no_overload(&file).await?;
        let calm_after = began.elapsed();
        let stream = namespace.api::<Stream>().get("orders").await?;
        let most = open_shards(&stream);

        let mut struck = Vec::new();
        for number in 0..strikes::rounds() {
            struck.extend(strikes::round(namespace, &file, number).await?);
        }
        load.end().await?;
        let ended = Instant::now();
        namespace.await_that::<Stream>("orders", PATIENCE, |stream| open_shards(stream) == 1).await?;
        let merged_after = ended.elapsed();

        let found = check(namespace, &endpoint, &file).await?;
        let attempts = Attempts::read(&file)?;
        println!(
            "{RATE} records/s at a target of {TARGET}: children in the status after {:.1} s, no shard above its \
             target after {:.1} s with {most} shards, one again {:.1} s after the end; recovery {}; {found}",
            split_after.as_secs_f64(),
            calm_after.as_secs_f64(),
            merged_after.as_secs_f64(),
            strikes::report(&struck, &attempts),
        );
        assert_eq!(found["faults"], json!({}));
        assert_eq!(found["open"], 1);
        assert!(found["acknowledged"].as_u64().is_some_and(|count| count > 1_000), "{found}");
        Ok(())
    })
    .await
}
