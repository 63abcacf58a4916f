//! The story of `e2e/clients`, told by SDKs to brokers on Kubernetes, where each stream becomes a resource.

use anyhow::{Context, Result};
use millrace_e2e::{Namespace, Program, in_namespace, output};
use millrace_e2e_clients::{STORY, go, java};

const BROKER: &str = "
apiVersion: millrace.dev/v1alpha1
kind: Broker
metadata: {name: default}
spec:
  log: {servers: 1, replicas: 1, storage: {size: 4Gi}}
  replicas: 1
";

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
        namespace.apply(BROKER).await?;
        let ready = namespace.kubectl(&["wait", "--for=condition=Ready", "broker/default", "--timeout=240s"]);
        output(ready, "").await?;
        tell(namespace, go("told-by-go")).await.context("Go")?;
        tell(namespace, java("told-by-java")).await.context("Java")
    })
    .await
}
