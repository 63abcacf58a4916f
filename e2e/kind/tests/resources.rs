//! Brokers and Streams as people and programs use them.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Event, Node};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use millrace_crds::condition::{Kind, find};
use millrace_crds::{Broker, Stream};
use millrace_e2e::{Namespace, SMALL_BROKER, in_namespace, output};
use serde_json::json;

/// How long anything may take before a test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);

fn stream(policy: &str) -> String {
    format!(
        "
apiVersion: millrace.dev/v1alpha1
kind: Stream
metadata: {{name: orders}}
spec:
  capacity: {{shards: 2}}
  quota: 256Mi
  deletionPolicy: {policy}
"
    )
}

async fn gone(namespace: &Namespace, what: &str) -> Result<()> {
    // With all that it owns: a StatefulSet that outlives its Broker makes its volumes again.
    let delete = ["delete", what, "--cascade=foreground", "--timeout=120s"];
    output(namespace.kubectl(&delete), "").await.map(|_| ())
}

fn reason(stream: &Stream) -> Option<&str> {
    let conditions = &stream.status.as_ref()?.conditions;
    find(conditions, Kind::Ready).map(|ready| ready.reason.as_str())
}

async fn was_told(namespace: &Namespace, reason: &str) -> Result<bool> {
    let events = namespace.api::<Event>().list(&ListParams::default()).await?;
    Ok(events.iter().any(|event| event.reason.as_deref() == Some(reason)))
}

#[tokio::test]
async fn records_outlive_their_stream_unless_it_takes_them_along() -> Result<()> {
    in_namespace("retain", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(SMALL_BROKER).await?;
        namespace.apply(&stream("Retain")).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        namespace.await_ready("stream/orders", PATIENCE).await?;
        let endpoint = namespace.endpoint("default").await?;
        let stored = namespace.client(&endpoint, &["put", "orders", "1000"]).await?;
        assert_eq!(stored["stored"], 1000);
        let before = namespace.client(&endpoint, &["read", "orders"]).await?;
        assert_eq!(before.as_array().map(Vec::len), Some(1000));

        gone(namespace, "stream/orders").await?;
        assert_eq!(namespace.client(&endpoint, &["describe", "orders"]).await?["status"], "ABSENT");
        namespace.apply(&stream("Delete")).await?;
        namespace.await_ready("stream/orders", PATIENCE).await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, before);
        assert!(was_told(namespace, "DataFound").await?);

        gone(namespace, "stream/orders").await?;
        namespace.apply(&stream("Retain")).await?;
        namespace.await_ready("stream/orders", PATIENCE).await?;
        assert_eq!(namespace.client(&endpoint, &["read", "orders"]).await?, json!([]));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn control_calls_of_the_api_change_resources() -> Result<()> {
    in_namespace("control", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(SMALL_BROKER).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        let endpoint = namespace.endpoint("default").await?;
        let created = namespace.client(&endpoint, &["create", "Clicks_v1", "2"]).await?;
        assert_eq!(created, json!({"status": "ACTIVE", "shards": 2, "hours": 24}));
        let streams =
            || async { anyhow::Ok(namespace.api::<Stream>().list(&ListParams::default()).await?.items) };
        let made = streams().await?.pop().context("no Stream was made")?;
        assert_eq!(made.stream_name(), "Clicks_v1");

        let scaled = namespace.client(&endpoint, &["scale", "Clicks_v1", "4"]).await?;
        assert_eq!(scaled["shards"], 4);
        let kept = namespace.client(&endpoint, &["keep", "Clicks_v1", "48"]).await?;
        assert_eq!(kept["hours"], 48);
        let spec = streams().await?.pop().context("it is gone")?.spec;
        assert_eq!((spec.capacity.shards, spec.retention.seconds()?), (4, 48 * 3_600));

        // And the other way round.
        let name = made.metadata.name.context("no name")?;
        let scale = namespace.kubectl(&["scale", &format!("stream/{name}"), "--replicas=2"]);
        output(scale, "").await?;
        let has_two =
            |stream: &Stream| stream.status.as_ref().and_then(|status| status.open_shards) == Some(2);
        namespace.await_that::<Stream>(&name, PATIENCE, has_two).await?;

        let deleted = namespace.client(&endpoint, &["delete", "Clicks_v1"]).await?;
        assert_eq!(deleted["status"], "ABSENT");
        assert!(streams().await?.iter().all(|stream| stream.metadata.deletion_timestamp.is_some()));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_missing_is_named_and_made_good_by_itself() -> Result<()> {
    in_namespace("missing", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(&stream("Retain")).await?;
        namespace.await_that::<Stream>("orders", PATIENCE, |it| reason(it) == Some("BrokerNotFound")).await?;
        let no_class = SMALL_BROKER.replace("size: 4Gi", "size: 4Gi, storageClassName: nowhere");
        namespace.expect_broken_pods();
        namespace.apply(&no_class).await?;
        let is_stalled = |broker: &Broker| {
            let conditions = broker.status.as_ref().map_or(&[][..], |status| &status.conditions);
            find(conditions, Kind::Stalled).is_some_and(|stalled| stalled.message.contains("nowhere"))
        };
        namespace.await_that::<Broker>("default", PATIENCE, is_stalled).await?;

        gone(namespace, "broker/default").await?;
        output(namespace.kubectl(&["delete", "pvc", "--all", "--timeout=120s"]), "").await?;
        namespace.apply(SMALL_BROKER).await?;
        namespace.await_ready("stream/orders", PATIENCE).await?;
        let second = stream("Retain")
            .replace("name: orders", "name: second")
            .replace("spec:", "spec:\n  streamName: orders");
        namespace.apply(&second).await?;
        namespace.await_that::<Stream>("second", PATIENCE, |it| reason(it) == Some("NameTaken")).await?;
        gone(namespace, "stream/orders").await?;
        namespace.await_ready("stream/second", PATIENCE).await?;
        Ok(())
    })
    .await
}

/// A volume of 200 MiB that says it has 4 GiB, on the last node.
const SMALL_VOLUME: &str = "
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME}
spec:
  capacity: {storage: 4Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: NAME
  local: {path: PATH}
  nodeAffinity:
    required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [NODE]}]}]}
";

#[tokio::test]
async fn a_full_volume_is_named_and_serves_again_once_there_is_room() -> Result<()> {
    in_namespace("full", async |namespace| {
        namespace.cluster.install().await?;
        let nodes = Api::<Node>::all(namespace.cluster.client()).list(&ListParams::default()).await?;
        let node = nodes.iter().map(ResourceExt::name_any).max().context("no nodes")?;
        let name = &namespace.name;
        let path = format!("/var/{name}");
        let on_node = async |script: &str| {
            let mut shell = namespace.cluster.on_node(&node);
            shell.args(["sh", "-c", script]);
            output(shell, "").await
        };
        on_node(&format!("mkdir -p {path} && mount -t tmpfs -o size=200m tmpfs {path} && chmod 777 {path}"))
            .await?;
        namespace
            .apply(&SMALL_VOLUME.replace("NAME", name).replace("PATH", &path).replace("NODE", &node))
            .await?;
        namespace
            .apply(&SMALL_BROKER.replace("size: 4Gi", &format!("size: 4Gi, storageClassName: {name}")))
            .await?;
        namespace.apply(&stream("Delete")).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        namespace.await_ready("stream/orders", PATIENCE).await?;
        let endpoint = namespace.endpoint("default").await?;
        assert_eq!(namespace.client(&endpoint, &["put", "orders", "100"]).await?["stored"], 100);

        on_node(&format!("dd if=/dev/zero of={path}/other bs=1M count=195 2> /dev/null || true")).await?;
        let is_full = |broker: &Broker| {
            let conditions = broker.status.as_ref().map_or(&[][..], |status| &status.conditions);
            find(conditions, Kind::StorageFull)
                .is_some_and(|full| full.reason == "VolumeFull" && full.message.contains("pod default-log-0"))
        };
        namespace.await_that::<Broker>("default", PATIENCE, is_full).await?;

        on_node(&format!("rm {path}/other")).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        let endpoint = namespace.endpoint("default").await?;
        assert_eq!(namespace.client(&endpoint, &["put", "orders", "100"]).await?["stored"], 100);
        let found = namespace.client(&endpoint, &["read", "orders"]).await?;
        assert_eq!(found.as_array().map(Vec::len), Some(200));

        gone(namespace, "stream/orders").await?;
        gone(namespace, "broker/default").await?;
        output(namespace.kubectl(&["delete", "pvc", "--all", "--timeout=120s"]), "").await?;
        output(namespace.kubectl(&["delete", "pv", name, "--timeout=120s"]), "").await?;
        on_node(&format!("umount {path}")).await?;
        Ok(())
    })
    .await
}
