//! The log servers: nats-server, each with a volume of its own and a keeper beside it.

use k8s_openapi::api::core::v1::ResourceRequirements;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::names::KEEPER_PORT;
use super::nats_config::configuration;
use super::pod::{container_security, pod_security, probe, resources, schedule, tls_volume};
use super::{Component, Plan};
use crate::apply::{BILLION, Desired, amount};

/// What a log server's pod asks for if nobody says.
const MEMORY: &str = "512Mi";
/// Of a container's memory, where the garbage collector of nats-server grows eager.
const GO_MEMORY_PERCENT: i128 = 80;

/// Pods are replaced one at a time by us and not by Kubernetes, which does not know when the log has caught up:
/// hence `OnDelete`. All start at once, since none is ready before most are there.
pub(super) fn stateful_set(plan: &Plan<'_>) -> Desired {
    let log = &plan.broker.spec.log;
    let selector = plan.selector(Component::Log);
    let size = plan.claimed_size.clone().unwrap_or_else(|| log.storage.size.to_string());
    let mut claim = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    });
    if let Some(class) = &log.storage.storage_class_name {
        claim["storageClassName"] = json!(class);
    }
    Desired::new(
        "apps",
        "v1",
        "StatefulSet",
        json!({
            "metadata": plan.metadata(&plan.names.log(), Some(Component::Log)),
            "spec": {
                "replicas": log.servers,
                "serviceName": plan.names.log(),
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "OnDelete"},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {
                        "labels": plan.labels(Some(Component::Log)),
                        // A server reads its configuration when it starts: another one makes another pod.
                        "annotations": {"millrace.dev/configuration": digest(&configuration(plan))},
                    },
                    "spec": pod(plan),
                },
                "volumeClaimTemplates": [{
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data", "labels": selector},
                    "spec": claim,
                }],
            },
        }),
    )
}

fn pod(plan: &Plan<'_>) -> Value {
    let log = &plan.broker.spec.log;
    let settings = plan.settings;
    let mut keeper = vec![
        "keeper".to_owned(),
        "--tls-dir=/etc/nats/tls".to_owned(),
        "--pid-file=/run/nats/nats.pid".to_owned(),
        "--store-dir=/data".to_owned(),
        format!("--monitor=http://127.0.0.1:{}", super::super::names::MONITOR_PORT),
        format!("--listen=0.0.0.0:{KEEPER_PORT}"),
    ];
    if settings.metrics {
        keeper.push("--metrics".to_owned());
    }
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // The keeper tells nats-server by a signal that its certificate has changed.
        "shareProcessNamespace": true,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 60,
        "containers": [
            {
                "name": "nats-server",
                "image": settings.log_image,
                "imagePullPolicy": settings.image_pull_policy,
                "command": ["/usr/local/bin/nats-server", "--config", "/etc/nats/nats-server.conf"],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "GOMEMLIMIT", "value": go_memory_bytes(log.resources.as_ref()).to_string()},
                ],
                "ports": [
                    {"name": "nats", "containerPort": super::super::names::NATS_PORT},
                    {"name": "route", "containerPort": super::super::names::ROUTE_PORT},
                ],
                "resources": resources(log.resources.as_ref(), "100m", MEMORY),
                "securityContext": container_security(),
                // A server that has read a large store takes its time; one that serves answers at once.
                "startupProbe": probe("/health", KEEPER_PORT, 2, 300),
                "readinessProbe": probe("/ready", KEEPER_PORT, 2, 2),
                "livenessProbe": probe("/health", KEEPER_PORT, 10, 6),
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "configuration", "mountPath": "/etc/nats", "readOnly": true},
                    {"name": "tls", "mountPath": "/etc/nats/tls", "readOnly": true},
                    {"name": "run", "mountPath": "/run/nats"},
                ],
            },
            {
                "name": "keeper",
                "image": settings.image,
                "imagePullPolicy": settings.image_pull_policy,
                "args": keeper,
                "ports": [{"name": "keeper", "containerPort": KEEPER_PORT}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                "securityContext": container_security(),
                "volumeMounts": [
                    // It only looks how much room is left.
                    {"name": "data", "mountPath": "/data", "readOnly": true},
                    {"name": "tls", "mountPath": "/etc/nats/tls", "readOnly": true},
                    {"name": "run", "mountPath": "/run/nats", "readOnly": true},
                ],
            },
        ],
        "volumes": [
            {"name": "configuration", "configMap": {"name": plan.names.log()}},
            tls_volume(&plan.names.log_tls()),
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ],
    });
    schedule(&mut spec, plan, Component::Log, &log.scheduling);
    spec
}

fn digest(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest.truncate(16);
    digest
}

/// `GOMEMLIMIT` in bytes, by the memory that the container may use or else asks for.
fn go_memory_bytes(asked: Option<&ResourceRequirements>) -> i128 {
    let of = |amounts: Option<&std::collections::BTreeMap<String, _>>| {
        let memory: &k8s_openapi::apimachinery::pkg::api::resource::Quantity = amounts?.get("memory")?;
        // A limit of nothing is none.
        amount(&memory.0).filter(|bytes| *bytes > 0)
    };
    let said = asked.and_then(|asked| of(asked.limits.as_ref()).or_else(|| of(asked.requests.as_ref())));
    said.or_else(|| amount(MEMORY)).unwrap_or_default() / BILLION * GO_MEMORY_PERCENT / 100
}
