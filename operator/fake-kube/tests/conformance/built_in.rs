//! Kubernetes' own kinds: what a StatefulSet's pods and a Service can't be.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::refusal;

/// A StatefulSet whose pod says this beside its container, which says that.
fn set(pod: &Value, container: &Value) -> Value {
    let mut spec = json!({ "containers": [{ "name": "a", "image": "a" }] });
    for (name, value) in pod.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    for (name, value) in container.as_object().into_iter().flatten() {
        spec["containers"][0][name] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "a" },
        "spec": {
            "serviceName": "a", "selector": { "matchLabels": { "app": "a" } },
            "template": { "metadata": { "labels": { "app": "a" } }, "spec": spec },
        },
    })
}

async fn apply(client: &Client, ns: &str, object: Value) -> kube::Result<StatefulSet> {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), ns);
    sets.patch("a", &PatchParams::apply("test").force(), &Patch::Apply(object)).await
}

fn node_term(term: Value) -> Value {
    let terms = json!({ "nodeSelectorTerms": [term] });
    json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } } })
}

fn pod_term(term: Value) -> Value {
    json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
}

pub(crate) async fn a_pod_that_can_not_be_is_refused_by_field(client: Client, ns: String) -> Result<()> {
    let spread = |change: Value| {
        let mut constraint =
            json!({ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" });
        for (name, value) in change.as_object().into_iter().flatten() {
            constraint[name] = value.clone();
        }
        json!({ "topologySpreadConstraints": [constraint] })
    };
    let node = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let near = "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
    let refused = [
        (json!({ "nodeSelector": { "a b": "c" } }), "nodeSelector".to_owned()),
        (json!({ "nodeSelector": { "a": "b c" } }), "nodeSelector".to_owned()),
        (json!({ "tolerations": [{}] }), "tolerations[0].operator".to_owned()),
        (json!({ "tolerations": [{ "key": "a", "effect": "x" }] }), "tolerations[0].effect".to_owned()),
        (json!({ "tolerations": [{ "key": "a b" }] }), "tolerations[0].key".to_owned()),
        (
            json!({ "tolerations": [{ "key": "a", "operator": "Exists", "value": "b" }] }),
            "tolerations[0].operator".to_owned(),
        ),
        (
            json!({ "tolerations": [{ "key": "a", "tolerationSeconds": 1 }] }),
            "tolerations[0].effect".to_owned(),
        ),
        (spread(json!({ "maxSkew": 0 })), "topologySpreadConstraints[0].maxSkew".to_owned()),
        (spread(json!({ "topologyKey": "" })), "topologySpreadConstraints[0].topologyKey".to_owned()),
        (
            spread(json!({ "whenUnsatisfiable": "x" })),
            "topologySpreadConstraints[0].whenUnsatisfiable".to_owned(),
        ),
        (spread(json!({ "minDomains": 0 })), "topologySpreadConstraints[0].minDomains".to_owned()),
        (
            spread(json!({ "nodeTaintsPolicy": "x" })),
            "topologySpreadConstraints[0].nodeTaintsPolicy".to_owned(),
        ),
        (
            spread(json!({ "matchLabelKeys": ["a"] })),
            "topologySpreadConstraints[0].matchLabelKeys".to_owned(),
        ),
        (
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [] } } } }),
            node.to_owned(),
        ),
        (
            node_term(json!({ "matchExpressions": [{ "key": "a", "operator": "x" }] })),
            format!("{node}[0].matchExpressions[0].operator"),
        ),
        (
            node_term(json!({ "matchExpressions": [{ "key": "a", "operator": "In" }] })),
            format!("{node}[0].matchExpressions[0].values"),
        ),
        (
            node_term(json!({ "matchFields": [{ "key": "a", "operator": "In", "values": ["b"] }] })),
            format!("{node}[0].matchFields[0].key"),
        ),
        (pod_term(json!({ "topologyKey": "" })), format!("{near}.topologyKey")),
        (
            pod_term(json!({ "topologyKey": "a", "mismatchLabelKeys": ["b"] })),
            format!("{near}.mismatchLabelKeys"),
        ),
        (pod_term(json!({ "topologyKey": "a", "namespaces": ["A"] })), format!("{near}.namespace")),
        (
            pod_term(json!({ "topologyKey": "a", "labelSelector": { "matchLabels": { "a": "b c" } } })),
            format!("{near}.labelSelector.matchLabels"),
        ),
    ];
    for (pod, field) in refused {
        let outcome = apply(&client, &ns, set(&pod, &json!({}))).await;
        let status = refusal(outcome, 422, "Invalid")?;
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        let wanted = format!("spec.template.spec.{field}");
        ensure!(causes.iter().any(|cause| cause.field == wanted), "{pod}: {wanted} is not among {causes:?}");
    }
    Ok(())
}

pub(crate) async fn a_pod_that_can_be_is_taken(client: Client, ns: String) -> Result<()> {
    let selector = json!({ "matchExpressions": [{ "key": "a.b/c", "operator": "NotIn", "values": ["d"] }] });
    let near = json!({ "topologyKey": "a", "labelSelector": selector, "namespaces": ["b"], "matchLabelKeys": ["c"] });
    let pod = json!({
        "nodeSelector": { "example.com/disk": "fast" },
        "tolerations": [{ "operator": "Exists" }, { "key": "a", "effect": "NoExecute", "tolerationSeconds": 1 }],
        "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "minDomains": 1, "nodeAffinityPolicy": "Honor", "labelSelector": selector }],
        "affinity": {
            "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "preference": {
                "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] } }] },
            "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
                { "weight": 1, "podAffinityTerm": near }] },
        },
    });
    let container = json!({ "resources": { "requests": { "cpu": 2, "memory": "1.5Gi", "example.com/gpu": "1" },
        "limits": { "cpu": "2500m", "memory": "2e9", "example.com/gpu": "1" } } });
    apply(&client, &ns, set(&pod, &container)).await?;
    Ok(())
}

pub(crate) async fn amounts_are_kept_in_a_form_of_their_own(client: Client, ns: String) -> Result<()> {
    let written = [
        ("0.5", "500m"),
        (".5", "500m"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1023", "1023"),
        ("0.5Ki", "512"),
        ("1000e6", "1e9"),
        ("1e1", "10"),
        ("0", "0"),
        ("100u", "1m"),
        ("1.0001", "1001m"),
        ("1.001Gi", "1074815565824m"),
        ("1.5m", "2m"),
    ];
    for (text, kept) in written {
        let container = json!({ "resources": { "limits": { "memory": text } } });
        let stored = serde_json::to_value(apply(&client, &ns, set(&json!({}), &container)).await?)?;
        let limits = stored.pointer("/spec/template/spec/containers/0/resources/limits/memory");
        ensure!(limits == Some(&json!(kept)), "{text}: {limits:?} and not {kept}");
    }
    Ok(())
}

pub(crate) async fn an_amount_that_is_none_can_not_be_read(client: Client, ns: String) -> Result<()> {
    let container = json!({ "resources": { "requests": { "cpu": "much" } } });
    let outcome = apply(&client, &ns, set(&json!({}), &container)).await;
    let status = refusal(outcome, 500, "")?;
    ensure!(status.message.contains("quantities must match the regular expression"), "{}", status.message);
    Ok(())
}

pub(crate) async fn a_node_port_out_of_its_range_is_refused(client: Client, ns: String) -> Result<()> {
    let services: Api<Service> = Api::namespaced(client, &ns);
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a" },
        "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": 80 }] } });
    let params = PatchParams::apply("test").force();
    let status = refusal(services.patch("a", &params, &Patch::Apply(service)).await, 422, "Invalid")?;
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    ensure!(causes.iter().any(|cause| cause.field == "spec.ports[0].nodePort"), "{causes:?}");
    Ok(())
}

pub(crate) async fn an_annotation_of_no_name_is_refused(client: Client, ns: String) -> Result<()> {
    let services: Api<Service> = Api::namespaced(client, &ns);
    let service = json!({ "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "a", "annotations": { "a b": "c" } }, "spec": { "ports": [{ "port": 80 }] } });
    let params = PatchParams::apply("test").force();
    let status = refusal(services.patch("a", &params, &Patch::Apply(service)).await, 422, "Invalid")?;
    ensure!(status.message.contains("metadata.annotations"), "{}", status.message);
    Ok(())
}
