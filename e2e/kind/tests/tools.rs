//! `kubectl millrace`, as a person at work has it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use millrace_e2e::{Namespace, Program, SMALL_BROKER, in_namespace, output};
use serde_json::Value;

/// How long anything may take before the test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

const STREAM: &str = "
apiVersion: millrace.dev/v1alpha1
kind: Stream
metadata: {name: orders}
spec:
  capacity: {mode: Provisioned, shards: 2}
  quota: 256Mi
";

/// kubectl with a directory of plugins in its `PATH`.
struct Plugin<'a> {
    namespace: &'a Namespace,
    directory: &'a Path,
}

impl Plugin<'_> {
    fn command(&self, arguments: &[&str]) -> Program {
        let mut kubectl = self.namespace.cluster.program("kubectl");
        let path = std::env::var("PATH").unwrap_or_default();
        kubectl.env("PATH", format!("{}:{path}", self.directory.display()));
        kubectl.arg("millrace").args(arguments).args(["-n", &self.namespace.name]);
        kubectl
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        output(self.command(arguments), "").await
    }
}

#[tokio::test]
async fn people_put_read_split_and_merge_by_kubectl_millrace() -> Result<()> {
    in_namespace("tools", async |namespace| {
        let directory = tempfile::tempdir()?;
        let binary = std::env::var_os("MILLRACE_BINARY").context("MILLRACE_BINARY: make e2e sets it")?;
        std::os::unix::fs::symlink(binary, directory.path().join("kubectl-millrace"))?;
        let plugin = Plugin { namespace, directory: directory.path() };
        namespace.cluster.install().await?;
        namespace.apply(&format!("{SMALL_BROKER}---{STREAM}")).await?;
        // Not ready as yet: 2, so that scripts can tell.
        let status = plugin.command(&["status"]).output().await?;
        assert_eq!(status.status.code(), Some(2), "{}", String::from_utf8_lossy(&status.stdout));
        for what in ["broker/default", "stream/orders"] {
            namespace.await_ready(what, PATIENCE).await?;
        }
        let told = plugin.run(&["status"]).await?;
        assert!(told.contains("1/1") && told.contains("orders") && told.contains("Ready"), "{told}");

        let placed = plugin.run(&["put", "orders", "--key", "customer-7", "one coffee"]).await?;
        assert!(placed.contains("shardId-"), "{placed}");
        plugin.run(&["split", "orders", "0"]).await?;
        plugin.run(&["merge", "orders", "2", "3"]).await?;
        let shards = plugin.run(&["shards", "orders"]).await?;
        assert!(shards.starts_with("orders: 2 open, 3 closed"), "{shards}");

        let read = plugin.run(&["tail", "orders", "--from", "horizon", "--json", "--until-idle"]).await?;
        let records = read.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        assert_eq!(records.len(), 1, "{read}");
        assert!(read.contains("customer-7"), "{read}");

        let refused = plugin.run(&["shards", "nothing"]).await.expect_err("there is no such stream");
        assert!(format!("{refused:#}").contains("nothing"), "{refused:#}");
        Ok(())
    })
    .await
}
