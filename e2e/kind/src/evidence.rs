//! What is kept of a failure.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::{Cluster, OPERATOR_NAMESPACE, Program, output};

/// Everything of a namespace that tells a story. Not its Secrets.
const KINDS: &str = "pods,services,endpointslices,configmaps,persistentvolumeclaims,statefulsets,deployments,\
                     poddisruptionbudgets,networkpolicies";

/// The directory that a test's evidence goes to, emptied.
pub(crate) fn directory(test: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let directory = target.join("e2e").join(test);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory).with_context(|| format!("can't make {}", directory.display()))?;
    Ok(directory.canonicalize()?)
}

/// Writes logs, events and objects of a namespace and of the operator, and the ends of the nodes' journals. What can't
/// be had is told in the file where it would be, so that one gap doesn't cost the rest.
pub(crate) async fn keep(cluster: &Cluster, namespace: &str, directory: &Path) -> Result<()> {
    for namespace in [namespace, OPERATOR_NAMESPACE] {
        let directory = directory.join(namespace);
        std::fs::create_dir_all(&directory)?;
        keep_namespace(cluster, namespace, &directory).await?;
    }
    write(&directory.join("nodes.yaml"), kubectl(cluster, &["get", "nodes", "-o", "yaml"])).await?;
    for node in Api::<Node>::all(cluster.client()).list(&ListParams::default()).await? {
        let mut journal = cluster.on_node(&node.name_any());
        journal.args(["journalctl", "--no-pager", "--lines", "300", "--unit", "kubelet"]);
        write(&directory.join(format!("kubelet-{}.log", node.name_any())), journal).await?;
    }
    Ok(())
}

async fn keep_namespace(cluster: &Cluster, namespace: &str, directory: &Path) -> Result<()> {
    let get = |what: &str, form: &str| kubectl(cluster, &["-n", namespace, "get", what, "-o", form]);
    write(&directory.join("objects.yaml"), get(KINDS, "yaml")).await?;
    write(&directory.join("millrace.yaml"), get("brokers.millrace.dev,streams.millrace.dev", "yaml")).await?;
    write(&directory.join("pods.txt"), get("pods", "wide")).await?;
    let events = ["-n", namespace, "events"];
    write(&directory.join("events.txt"), kubectl(cluster, &events)).await?;
    for pod in Api::<Pod>::namespaced(cluster.client(), namespace).list(&ListParams::default()).await? {
        let name = pod.name_any();
        let logs = ["-n", namespace, "logs", &name, "--all-containers", "--prefix", "--timestamps"];
        write(&directory.join(format!("{name}.log")), kubectl(cluster, &logs)).await?;
        let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        for container in statuses.iter().filter(|container| container.restart_count > 0) {
            let previous = ["-n", namespace, "logs", &name, "-c", &container.name, "--previous"];
            let file = format!("{name}-{}-previous.log", container.name);
            write(&directory.join(file), kubectl(cluster, &previous)).await?;
        }
    }
    Ok(())
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Program {
    let mut program = cluster.program("kubectl");
    program.args(arguments);
    program
}

async fn write(file: &Path, program: Program) -> Result<()> {
    let text = output(program, "").await.unwrap_or_else(|error| format!("{error:#}"));
    std::fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
}
