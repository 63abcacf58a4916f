//! What the chart lets whom do.

use std::collections::BTreeSet;

use millrace_chart_tests::{Document, NAMESPACE, render, skipped};
use serde_json::Value;

use crate::VALUES;

fn roles(objects: &[Document]) -> impl Iterator<Item = &Document> {
    objects.iter().filter(|object| matches!(object.kind(), "Role" | "ClusterRole"))
}

fn rules(role: &Document) -> &[Value] {
    role.0["rules"].as_array().expect("a role has rules")
}

fn words<'a>(rule: &'a Value, field: &str) -> BTreeSet<&'a str> {
    rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn no_rule_holds_a_wildcard() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let objects = render(values);
        for rule in roles(&objects).flat_map(rules) {
            assert!(!rule.to_string().contains('*'), "{values:?}: {rule}");
        }
    }
}

#[test]
fn secrets_are_read_by_name_and_in_the_operators_own_namespace_alone() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let objects = render(values);
        for role in roles(&objects) {
            for rule in rules(role).iter().filter(|rule| words(rule, "resources").contains("secrets")) {
                let reads = !words(rule, "verbs").is_subset(&BTreeSet::from(["create", "patch"]));
                let own = role.kind() == "Role" && role.namespace() == NAMESPACE;
                let named = words(rule, "resourceNames") == BTreeSet::from(["millrace-seed"]);
                assert!(!reads || (own && named), "{values:?}: {} has {rule}", role.title());
                let all = BTreeSet::from(["list", "watch", "deletecollection"]);
                assert!(words(rule, "verbs").is_disjoint(&all), "{values:?}: {} has {rule}", role.title());
            }
        }
    }
}

#[test]
fn the_operator_can_hand_out_the_brokers_role_and_no_other() {
    if skipped() {
        return;
    }
    let mut handed_out = 0;
    for values in VALUES {
        let objects = render(values);
        for rule in roles(&objects).flat_map(rules) {
            let verbs = words(rule, "verbs");
            assert!(!verbs.contains("escalate") && !verbs.contains("impersonate"), "{values:?}: {rule}");
            if verbs.contains("bind") {
                assert_eq!(words(rule, "resourceNames"), BTreeSet::from(["millrace-broker"]), "{values:?}");
                handed_out += 1;
            }
        }
        assert!(roles(&objects).any(|role| role.name() == "millrace-broker"), "{values:?}");
    }
    assert_eq!(handed_out, 5, "one rule for each ClusterRole or watched namespace");
}

#[test]
fn with_watched_namespaces_nothing_but_storage_classes_is_granted_cluster_wide() {
    if skipped() {
        return;
    }
    let objects = render(&["watchNamespaces={shop,sensors}"]);
    let bound: Vec<&str> = objects
        .iter()
        .filter(|object| object.kind() == "ClusterRoleBinding")
        .filter_map(|object| object.0["roleRef"]["name"].as_str())
        .collect();
    assert_eq!(bound, ["millrace-operator"]);
    let role = roles(&objects).find(|role| role.kind() == "ClusterRole" && role.name() == bound[0]);
    let resources: Vec<_> =
        rules(role.expect("it is there")).iter().map(|rule| words(rule, "resources")).collect();
    assert_eq!(resources, [BTreeSet::from(["storageclasses"])]);
    for namespace in ["shop", "sensors"] {
        let binding = objects
            .iter()
            .find(|object| object.kind() == "RoleBinding" && object.namespace() == namespace)
            .unwrap_or_else(|| panic!("the operator has no rights in {namespace}"));
        assert_eq!(binding.0["roleRef"]["kind"], "Role");
        assert_eq!(binding.0["subjects"][0]["namespace"], NAMESPACE);
    }
    let without = render(&["watchNamespaces={shop}", "rbac.storageClasses=false"]);
    assert!(!without.iter().any(|object| object.kind() == "ClusterRoleBinding"));
}

#[test]
fn every_binding_names_a_role_and_an_account_that_the_chart_makes() {
    if skipped() {
        return;
    }
    for values in VALUES {
        let objects = render(values);
        let there = |kind: &str, namespace: &str, name: &str| {
            objects
                .iter()
                .any(|object| (object.kind(), object.namespace(), object.name()) == (kind, namespace, name))
        };
        for binding in objects.iter().filter(|object| object.kind().ends_with("RoleBinding")) {
            let role = &binding.0["roleRef"];
            let kind = role["kind"].as_str().expect("a kind");
            let namespace = if kind == "Role" { binding.namespace() } else { "" };
            assert!(there(kind, namespace, role["name"].as_str().expect("a name")), "{}", binding.title());
            let subject = &binding.0["subjects"][0];
            assert_eq!(subject["namespace"], NAMESPACE, "{}", binding.title());
            assert!(there("ServiceAccount", NAMESPACE, subject["name"].as_str().expect("a name")));
        }
    }
}

/// What is granted changes only where somebody has read the difference. `MILLRACE_WRITE=1` writes the files.
#[test]
fn what_is_granted_is_what_the_snapshots_say() {
    if skipped() {
        return;
    }
    let sets: [(&str, &[&str]); 2] =
        [("every-namespace", &[]), ("watched-namespaces", &["watchNamespaces={shop,sensors}"])];
    for (name, values) in sets {
        let objects = render(values);
        let mut text = String::new();
        for role in roles(&objects) {
            text += &format!("# {}\n", role.title());
            text += &serde_yaml::to_string(rules(role)).expect("rules are YAML");
        }
        let file =
            millrace_chart_tests::repository().join(format!("charts/tests/snapshots/rights-{name}.yaml"));
        if std::env::var_os("MILLRACE_WRITE").is_some() {
            std::fs::write(&file, &text).expect("the snapshot can be written");
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == text,
            "{} is stale: run `MILLRACE_WRITE=1 cargo test -p millrace-chart-tests`, and read the difference",
            file.display()
        );
    }
}
