//! The cluster and the harness themselves.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use millrace_e2e::{IMAGE, SHELL_IMAGE, in_namespace, output};

/// How long anything may take before a test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(180);

fn log_server(image: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: log}}
spec:
  clusterIP: None
  selector: {{app: log}}
  ports: [{{name: monitor, port: 8222}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: log}}
spec:
  replicas: 1
  serviceName: log
  selector: {{matchLabels: {{app: log}}}}
  template:
    metadata: {{labels: {{app: log}}}}
    spec:
      terminationGracePeriodSeconds: 5
      securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
        - name: nats-server
          image: {image}
          imagePullPolicy: IfNotPresent
          command: [nats-server, --jetstream, --store_dir, /data, --http_port, '8222']
          readinessProbe: {{httpGet: {{path: '/healthz?js-enabled-only=true', port: 8222}}, periodSeconds: 1}}
          securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
          volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
    - metadata: {{name: data}}
      spec:
        accessModes: [ReadWriteOnce]
        resources: {{requests: {{storage: 1Gi}}}}
"
    )
}

/// A pod on another node than the log server, which asks it for its health and ends.
fn visitor() -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: visitor}}
spec:
  restartPolicy: Never
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - {{topologyKey: kubernetes.io/hostname, labelSelector: {{matchLabels: {{app: log}}}}}}
  containers:
    - name: visitor
      image: {SHELL_IMAGE}
      imagePullPolicy: IfNotPresent
      command: [wget, -q, -O, '-', 'http://log-0.log:8222/healthz']
"
    )
}

fn has_one_ready_replica(set: &StatefulSet) -> bool {
    set.status.as_ref().and_then(|status| status.ready_replicas) == Some(1)
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[tokio::test]
async fn a_log_server_gets_a_volume_and_is_reached_from_another_node() -> Result<()> {
    in_namespace("log-server", async |namespace| {
        namespace.apply(&log_server(IMAGE)).await?;
        namespace.await_that("log", PATIENCE, has_one_ready_replica).await?;
        let claim = namespace.api::<PersistentVolumeClaim>().get("data-log-0").await?;
        assert_eq!(claim.status.context("no status")?.phase.as_deref(), Some("Bound"));

        namespace.apply(&visitor()).await?;
        let visitor: Pod = namespace.await_that("visitor", PATIENCE, has_ended).await?;
        assert_eq!(visitor.status.context("no status")?.phase.as_deref(), Some("Succeeded"));
        let said = output(namespace.kubectl(&["logs", "visitor"]), "").await?;
        assert!(said.contains("ok"), "{said}");
        let server = namespace.api::<Pod>().get("log-0").await?;
        let node_of = |pod: Option<k8s_openapi::api::core::v1::PodSpec>| pod.and_then(|spec| spec.node_name);
        assert_ne!(node_of(server.spec), node_of(visitor.spec));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_failure_says_why_at_once_and_where_its_evidence_lies() -> Result<()> {
    let failure = in_namespace("failure", async |namespace| {
        namespace.apply(&log_server("millrace.invalid/none:1")).await?;
        namespace.await_that("log", PATIENCE, has_one_ready_replica).await?;
        Ok(())
    })
    .await
    .expect_err("its image is nowhere");
    let text = format!("{failure:#}");
    assert!(text.contains("while StatefulSet log was awaited, pod log-0 can't start"), "{text}");

    let directory =
        text.split("lie in ").nth(1).and_then(|rest| rest.split(':').next()).context(text.clone())?;
    let directory = std::path::Path::new(directory);
    let namespace = std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.is_dir()
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("failure-"))
        })
        .context("no directory of the namespace")?;
    let read = |file: &str| std::fs::read_to_string(namespace.join(file));
    assert!(read("objects.yaml")?.contains("millrace.invalid/none:1"));
    assert!(read("events.txt")?.contains("Failed to pull image"), "{}", read("events.txt")?);
    assert!(std::fs::read_to_string(directory.join("failure.txt"))?.contains("can't start"));
    let journals =
        std::fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    assert_eq!(journals.filter(|name| name.starts_with("kubelet-")).count(), 3);
    Ok(())
}

#[tokio::test]
async fn an_assertion_that_fails_leaves_its_message() -> Result<()> {
    let failure = in_namespace("assertion", async |_| {
        assert_eq!(1 + 1, 3, "arithmetic");
        Ok(())
    })
    .await
    .expect_err("it panicked");
    assert!(format!("{failure:#}").contains("arithmetic"), "{failure:#}");
    Ok(())
}
