//! What the chart makes, and what it leaves alone.

use std::collections::BTreeSet;

use millrace_chart_tests::{chart, documents, helm, render, skipped};

use crate::VALUES;

#[test]
fn helm_finds_nothing_to_say_against_the_chart() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let folder = chart();
        let mut args = vec!["lint", "--strict", folder.to_str().expect("a path of UTF-8")];
        args.extend(values.iter().flat_map(|value| ["--set", value]));
        let said = helm(&args);
        assert!(said.status.success(), "{values:?}: {}", String::from_utf8_lossy(&said.stdout));
    }
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let text = std::fs::read_to_string(chart().join("Chart.yaml")).expect("Chart.yaml");
    let chart = documents(&text).remove(0).0;
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!((chart["version"].as_str(), chart["appVersion"].as_str()), (Some(ours), Some(ours)));
}

#[test]
fn all_that_is_optional_is_off_by_default() {
    if skipped() {
        return;
    }
    let kinds: BTreeSet<String> = render(&[]).iter().map(|object| object.kind().to_owned()).collect();
    let needed = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), needed);
    let policy = render(&[]).into_iter().find(|object| object.kind() == "NetworkPolicy");
    assert_eq!(policy.expect("a policy").0["spec"]["ingress"], serde_json::json!([]));

    let all = render(VALUES[3]);
    for kind in
        ["ConfigMap", "PodDisruptionBudget", "PodMonitor", "PrometheusRule", "Service", "ServiceMonitor"]
    {
        assert!(all.iter().any(|object| object.kind() == kind), "{kind} can't be turned on");
    }
}

#[test]
fn the_definitions_are_the_generated_ones_and_stay_when_the_chart_goes() {
    if skipped() {
        return;
    }
    let mut rendered = 0;
    for mut object in render(&[]).into_iter().filter(|object| object.kind() == "CustomResourceDefinition") {
        let annotations = object.0["metadata"].as_object_mut().expect("metadata").remove("annotations");
        assert_eq!(annotations.expect("annotations")["helm.sh/resource-policy"], "keep");
        let plural = object.0["spec"]["names"]["plural"].as_str().expect("a plural").to_owned();
        let file = chart().join(format!("files/crds/{plural}.yaml"));
        let text = std::fs::read_to_string(file).expect("the generated definition");
        assert_eq!(documents(&text), [object]);
        rendered += 1;
    }
    assert_eq!(rendered, 2);
    let without = render(&["crds.install=false"]);
    assert!(without.iter().all(|object| object.kind() != "CustomResourceDefinition"));
}

#[test]
fn no_object_is_made_twice_and_each_is_known_as_part_of_the_release() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let mut titles = BTreeSet::new();
        for object in render(values) {
            assert!(titles.insert(object.title()), "{values:?}: {} is there twice", object.title());
            let labelled = object.0["metadata"]["labels"]["app.kubernetes.io/name"] == "millrace";
            assert!(labelled || object.kind() == "CustomResourceDefinition", "{}", object.title());
        }
    }
}
