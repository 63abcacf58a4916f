//! The story of `e2e/clients`, told by SDKs to brokers on Kubernetes, where each stream becomes a resource.

use std::time::Duration;

use anyhow::{Context, Result};
use millrace_e2e::{Namespace, Program, SMALL_BROKER, in_namespace, output};
use millrace_e2e_clients::{STORY, go, java};

/// How long the Broker may take to be ready. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

async fn tell(namespace: &Namespace, client: impl Into<Program>) -> Result<()> {
    let endpoint = namespace.endpoint("default").await?;
    let told = output(endpoint.for_program(client), "").await?;
    assert_eq!(told, STORY);
    Ok(())
}

#[tokio::test]
async fn the_sdks_for_go_and_java_find_on_kubernetes_what_they_find_in_one_process() -> Result<()> {
    in_namespace("clients", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(SMALL_BROKER).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        tell(namespace, go("told-by-go")).await.context("Go")?;
        tell(namespace, java("told-by-java")).await.context("Java")
    })
    .await
}
