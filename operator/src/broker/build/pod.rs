//! What the pods of both components have in common.

use k8s_openapi::api::core::v1::ResourceRequirements;
use millrace_crds::broker::Scheduling;
use serde_json::{Value, json};

use super::{Component, Plan};

/// The user and group that containers run as: nobody's.
const USER: i64 = 65_532;

/// A container's security context, as the Pod Security Standard `restricted` wants it.
/// Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>.
pub(super) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// A pod's security context. Its volumes belong to its group, so that it can write there.
pub(super) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// What a container asks for: what the user says, or enough to begin with.
pub(super) fn resources(asked: Option<&ResourceRequirements>, cpu: &str, memory: &str) -> Value {
    match asked {
        Some(asked) => json!(asked),
        None => json!({"requests": {"cpu": cpu, "memory": memory}}),
    }
}

/// Puts into a pod's spec where it may run. Unless the user says how pods spread, they spread over nodes, and over
/// zones where there are several; a cluster that can't spread them runs them all the same.
pub(super) fn schedule(spec: &mut Value, plan: &Plan<'_>, component: Component, scheduling: &Scheduling) {
    spec["topologySpreadConstraints"] = match scheduling.topology_spread_constraints.is_empty() {
        false => json!(scheduling.topology_spread_constraints),
        true => ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
            .map(|key| {
                json!({
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": plan.selector(component)},
                })
            })
            .to_vec()
            .into(),
    };
    if !scheduling.node_selector.is_empty() {
        spec["nodeSelector"] = json!(scheduling.node_selector);
    }
    if !scheduling.tolerations.is_empty() {
        spec["tolerations"] = json!(scheduling.tolerations);
    }
    if let Some(affinity) = &scheduling.affinity {
        spec["affinity"] = json!(affinity);
    }
    let secrets: Vec<Value> =
        plan.settings.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    if !secrets.is_empty() {
        spec["imagePullSecrets"] = json!(secrets);
    }
}

/// A probe by HTTP.
pub(super) fn probe(path: &str, port: u16, period_s: i32, failures: i32) -> Value {
    json!({
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period_s,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    })
}

/// A volume with a certificate.
pub(super) fn tls_volume(secret: &str) -> Value {
    json!({"name": "tls", "secret": {"secretName": secret, "defaultMode": 0o440}})
}
