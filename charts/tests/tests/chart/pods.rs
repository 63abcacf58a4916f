//! The pods of the chart under the Pod Security Standard `restricted`.

use millrace_chart_tests::{Document, render, skipped};
use serde_json::{Value, json};

use crate::VALUES;

/// What in this pod's spec `restricted` refuses, as far as the chart could come near it.
fn refused(pod: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    let mut demand = |holds: bool, what: String| {
        if !holds {
            refused.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        demand(pod[field] != true, format!("{field} is set"));
    }
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    for volume in volumes {
        let kinds =
            ["configMap", "csi", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"];
        demand(kinds.iter().any(|kind| volume[kind].is_object()), format!("the volume {volume}"));
    }
    let of_pod = &pod["securityContext"];
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    for container in containers.iter().filter_map(|field| pod[field].as_array()).flatten() {
        let (name, own) = (&container["name"], &container["securityContext"]);
        let or_pods = |field: &str| if own[field].is_null() { &of_pod[field] } else { &own[field] };
        demand(or_pods("runAsNonRoot") == true, format!("{name} may run as root"));
        demand(or_pods("runAsUser") != 0, format!("{name} runs as root"));
        let seccomp = or_pods("seccompProfile")["type"].as_str();
        demand(
            matches!(seccomp, Some("RuntimeDefault" | "Localhost")),
            format!("{name} has no seccomp profile"),
        );
        demand(own["allowPrivilegeEscalation"] == false, format!("{name} may escalate"));
        demand(own["privileged"] != true, format!("{name} is privileged"));
        demand(own["capabilities"]["drop"] == json!(["ALL"]), format!("{name} keeps capabilities"));
        demand(own["capabilities"]["add"].is_null(), format!("{name} adds capabilities"));
        let ports = container["ports"].as_array().into_iter().flatten();
        for port in ports {
            demand(port["hostPort"].is_null(), format!("{name} takes a port of its node"));
        }
        // Beyond the standard.
        demand(own["readOnlyRootFilesystem"] == true, format!("{name} may write to its image"));
    }
    refused
}

fn pods(objects: &[Document]) -> Vec<&Value> {
    let templates = objects.iter().map(|object| &object.0["spec"]["template"]["spec"]);
    templates.filter(|spec| spec["containers"].is_array()).collect()
}

#[test]
fn every_pod_is_restricted() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let objects = render(values);
        let pods = pods(&objects);
        assert_eq!(pods.len(), 1, "the operator's");
        for pod in pods {
            assert_eq!(refused(pod), [""; 0], "{values:?}");
            assert_eq!(
                (&pod["securityContext"]["runAsUser"], &pod["enableServiceLinks"]),
                (&json!(65532), &json!(false))
            );
        }
    }
}

#[test]
fn the_check_of_pods_sees_what_is_not_restricted() {
    let found = refused(&json!({
        "hostPID": true,
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
        "containers": [{"name": "c", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}}],
    }));
    assert_eq!(found.len(), 9, "{found:?}");
}

#[test]
fn more_than_one_operator_spreads_over_nodes_and_is_never_wholly_evicted() {
    if skipped() {
        return;
    }
    let budgets = |values: &[&str]| {
        render(values).iter().filter(|object| object.kind() == "PodDisruptionBudget").count()
    };
    assert_eq!((budgets(&[]), budgets(&["replicas=2"])), (0, 1));
    let objects = render(&["replicas=2"]);
    assert_eq!(pods(&objects)[0]["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
}

/// The environment of the operator's container: `name=value`, but for what comes from the pod itself.
fn environment(objects: &[Document]) -> Vec<String> {
    let container = &pods(objects)[0]["containers"][0];
    let variables = container["env"].as_array().expect("an environment").iter();
    variables
        .filter_map(|variable| {
            Some(format!("{}={}", variable["name"].as_str()?, variable["value"].as_str()?))
        })
        .collect()
}

#[test]
fn values_reach_the_operator_as_its_options() {
    if skipped() {
        return;
    }
    let version = env!("CARGO_PKG_VERSION");
    let plain = [
        &format!("MILLRACE_IMAGE=millrace:{version}"),
        "MILLRACE_IMAGE_PULL_POLICY=IfNotPresent",
        "MILLRACE_LISTEN=0.0.0.0:8080",
        "MILLRACE_LEASE_NAME=millrace-operator",
        "MILLRACE_CLUSTER_DOMAIN=cluster.local",
        "MILLRACE_REGION=us-east-1",
        "MILLRACE_ROTATE_CERTIFICATES_HOURS=720",
    ];
    assert_eq!(environment(&render(&[])), plain);
    let changed = environment(&render(&[
        "image.repository=registry.example/millrace",
        "image.tag=v7",
        "image.pullPolicy=Never",
        "image.pullSecrets={one,two}",
        "logImage=registry.example/nats:1",
        "rotateCertificatesHours=24",
        "watchNamespaces={a,b}",
        "metrics.enabled=true",
        "clusterDomain=cluster.example",
        "logFilter=debug",
    ]));
    for variable in [
        "MILLRACE_IMAGE=registry.example/millrace:v7",
        "MILLRACE_LOG_IMAGE=registry.example/nats:1",
        "MILLRACE_IMAGE_PULL_POLICY=Never",
        "MILLRACE_IMAGE_PULL_SECRETS=one,two",
        "MILLRACE_ROTATE_CERTIFICATES_HOURS=24",
        "MILLRACE_WATCH_NAMESPACES=a,b",
        "MILLRACE_METRICS=true",
        "MILLRACE_CLUSTER_DOMAIN=cluster.example",
        "MILLRACE_LOG=debug",
    ] {
        assert!(changed.iter().any(|there| there == variable), "{variable} is not in {changed:?}");
    }
    let apart = environment(&render(&["brokerImage=registry.example/broker:1"]));
    assert!(apart.contains(&"MILLRACE_IMAGE=registry.example/broker:1".to_owned()), "{apart:?}");
}
