//! Millrace's life by Helm: upgraded with other values, given an image that can't be had, taken away, and installed
//! again. What was stored before is read after each of these.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use millrace_crds::condition::{Kind, find};
use millrace_crds::{Broker, Stream};
use millrace_e2e::{IMAGE, Namespace, OPERATOR_NAMESPACE, in_namespace, is_ready, output};

/// How long anything may take before the test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

const RESOURCES: &str = "
apiVersion: millrace.dev/v1alpha1
kind: Broker
metadata: {name: default}
spec:
  log: {servers: 1, replicas: 1, storage: {size: 4Gi}}
  replicas: 2
  service: {type: NodePort, nodePort: 30566}
---
apiVersion: millrace.dev/v1alpha1
kind: Stream
metadata: {name: orders}
spec:
  capacity: {shards: 2}
  quota: 256Mi
";

fn is_condition(broker: &Broker, kind: Kind, says: &str) -> bool {
    let conditions = broker.status.as_ref().map_or(&[][..], |status| &status.conditions);
    find(conditions, kind).is_some_and(|found| found.status == "True" && found.message.contains(says))
}

async fn all_ready(namespace: &Namespace) -> Result<()> {
    for what in ["broker/default", "stream/orders"] {
        namespace.await_ready(what, PATIENCE).await?;
    }
    Ok(())
}

async fn arguments_of(namespace: &Namespace, pod: &Pod) -> Result<Vec<String>> {
    let spec = namespace.api::<Pod>().get(&pod.name_any()).await?.spec.context("a pod without spec")?;
    Ok(spec.containers.into_iter().flat_map(|container| container.args.unwrap_or_default()).collect())
}

/// Awaits that each pod of the Broker runs with an argument, or without it, and is ready.
async fn await_pods(namespace: &Namespace, argument: &str, wanted: bool) -> Result<()> {
    let as_wanted = async {
        loop {
            let pods = namespace.api::<Pod>().list(&ListParams::default()).await?.items;
            let mut right = pods.len() == 3;
            for pod in &pods {
                let has =
                    arguments_of(namespace, pod).await.is_ok_and(|all| all.iter().any(|it| it == argument));
                right &= is_ready(pod) && has == wanted;
            }
            if right {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(PATIENCE, as_wanted)
        .await
        .with_context(|| format!("not all pods have {argument}"))?
}

#[tokio::test]
async fn records_outlive_upgrades_a_bad_image_and_an_uninstalled_chart() -> Result<()> {
    in_namespace("helm", async |namespace| {
        let cluster = &namespace.cluster;
        cluster.install_with(&[]).await?;
        namespace.apply(RESOURCES).await?;
        all_ready(namespace).await?;
        let endpoint = namespace.endpoint_on_nodes("default").await?;
        assert_eq!(namespace.client(&endpoint, &["put", "orders", "500"]).await?["stored"], 500);
        let before = namespace.client(&endpoint, &["read", "orders"]).await?;

        // Other values reach every pod, one after another.
        cluster.install_with(&["metrics.enabled=true"]).await?;
        await_pods(namespace, "--metrics", true).await?;
        all_ready(namespace).await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, before);

        // An image that can't be had is named, and takes one broker and no more.
        namespace.expect_broken_pods();
        let log_image = format!("logImage={IMAGE}");
        cluster
            .install_with(&["metrics.enabled=true", "brokerImage=millrace.invalid/none:1", &log_image])
            .await?;
        let is_named = |broker: &Broker| is_condition(broker, Kind::Stalled, "millrace.invalid/none:1");
        namespace.await_that::<Broker>("default", PATIENCE, is_named).await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, before);
        cluster.install_with(&[]).await?;
        await_pods(namespace, "--metrics", false).await?;
        all_ready(namespace).await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, before);

        // Without the chart definitions, resources and pods stay, and go on serving.
        cluster.uninstall().await?;
        let mut gone = cluster.program("kubectl");
        gone.args(["wait", "--for=delete", "pods", "--all", "-n", OPERATOR_NAMESPACE, "--timeout=120s"]);
        output(gone, "").await?;
        Api::<CustomResourceDefinition>::all(cluster.client()).get("streams.millrace.dev").await?;
        namespace.api::<Stream>().get("orders").await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, before);
        assert_eq!(namespace.client(&endpoint, &["put", "orders", "10"]).await?["stored"], 10);

        // Installed again, it takes up what it finds: a Stream that is made anew under the name has the records.
        cluster.install_with(&[]).await?;
        all_ready(namespace).await?;
        output(namespace.kubectl(&["delete", "stream/orders", "--timeout=120s"]), "").await?;
        namespace.apply(RESOURCES).await?;
        all_ready(namespace).await?;
        let after = namespace.client(&endpoint, &["read", "orders"]).await?;
        assert_eq!(after.as_array().map(Vec::len), Some(510));
        Ok(())
    })
    .await
}
