//! The brokers: they hold no data, and each may take any other's place.

use serde_json::{Value, json};

use super::super::names::{ADMIN_PORT, API_PORT, Names, PEER_PORT};
use super::pod::{container_security, pod_security, probe, resources, schedule, tls_volume};
use super::{Component, Plan};
use crate::apply::Desired;

/// The volume with the certificate that clients are shown.
const CLIENT_TLS: &str = "client-tls";
const CLIENT_TLS_DIR: &str = "/etc/millrace/client-tls";

pub(super) fn stateful_set(plan: &Plan<'_>) -> Desired {
    Desired::new(
        "apps",
        "v1",
        "StatefulSet",
        json!({
            "metadata": plan.metadata(&plan.names.brokers(), Some(Component::Broker)),
            "spec": {
                "replicas": plan.broker.spec.replicas,
                "serviceName": plan.names.brokers(),
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "OnDelete"},
                "selector": {"matchLabels": plan.selector(Component::Broker)},
                "template": {
                    "metadata": {"labels": plan.labels(Some(Component::Broker))},
                    "spec": pod(plan),
                },
            },
        }),
    )
}

fn pod(plan: &Plan<'_>) -> Value {
    let spec = &plan.broker.spec;
    let names = &plan.names;
    let mut args = vec![
        "broker".to_owned(),
        format!("--nats={}", names.nats_urls(spec.log.servers).join(",")),
        format!("--replicas={}", spec.log.replicas),
        format!("--listen=0.0.0.0:{API_PORT}"),
        format!("--peer-listen=0.0.0.0:{PEER_PORT}"),
        format!("--peer-address=$(POD_IP):{PEER_PORT}"),
        format!("--admin-listen=0.0.0.0:{ADMIN_PORT}"),
        "--tls-dir=/etc/millrace/tls".to_owned(),
        "--credentials=/etc/millrace/access-keys/credentials".to_owned(),
        format!("--declare-in={}", names.namespace),
        format!("--broker-name={}", names.broker),
    ];
    if plan.settings.metrics {
        args.push("--metrics".to_owned());
    }
    let mut pod = json!({
        "serviceAccountName": names.brokers(),
        "enableServiceLinks": false,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 60,
        "containers": [{
            "name": "broker",
            "image": plan.settings.image,
            "imagePullPolicy": plan.settings.image_pull_policy,
            "args": args,
            "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "ports": [
                {"name": Names::api_port(&spec.service), "containerPort": API_PORT},
                {"name": "peers", "containerPort": PEER_PORT},
                {"name": "admin", "containerPort": ADMIN_PORT},
            ],
            "resources": resources(spec.resources.as_ref(), "100m", "256Mi"),
            "securityContext": container_security(),
            "readinessProbe": probe("/ready", ADMIN_PORT, 2, 2),
            "livenessProbe": probe("/health", ADMIN_PORT, 10, 6),
            // Clients are led elsewhere before the broker takes no more of them.
            "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
            "volumeMounts": [
                {"name": "tls", "mountPath": "/etc/millrace/tls", "readOnly": true},
                {"name": "access-keys", "mountPath": "/etc/millrace/access-keys", "readOnly": true},
            ],
        }],
        "volumes": [
            tls_volume(&names.broker_tls()),
            {
                "name": "access-keys",
                "secret": {
                    "secretName": names.root_access_key(),
                    "defaultMode": 0o440,
                    "items": [{"key": "credentials", "path": "credentials"}],
                },
            },
        ],
    });
    if let Some(tls) = &spec.service.tls {
        show_certificate(&mut pod, &tls.secret_name);
    }
    schedule(&mut pod, plan, Component::Broker, &spec.scheduling);
    pod
}

/// Has the kubelet bring a certificate from the user's own Secret, which nobody else here reads.
fn show_certificate(pod: &mut Value, secret: &str) {
    let items = ["tls.crt", "tls.key"].map(|key| json!({"key": key, "path": key}));
    let volume = json!({
        "name": CLIENT_TLS,
        "secret": {"secretName": secret, "defaultMode": 0o440, "items": items},
    });
    let mount = json!({"name": CLIENT_TLS, "mountPath": CLIENT_TLS_DIR, "readOnly": true});
    let flags =
        [format!("--tls-cert={CLIENT_TLS_DIR}/tls.crt"), format!("--tls-key={CLIENT_TLS_DIR}/tls.key")];
    let container = &mut pod["containers"][0];
    container["args"].as_array_mut().expect("a list").extend(flags.map(Value::from));
    container["volumeMounts"].as_array_mut().expect("a list").push(mount);
    pod["volumes"].as_array_mut().expect("a list").push(volume);
}
