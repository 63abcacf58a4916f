//! Values: what is refused, and that none is without a place in the schema and a word of explanation.

use std::collections::BTreeSet;

use millrace_chart_tests::{chart, documents, refusal, skipped};
use serde_json::Value;

#[test]
fn a_wrong_value_is_refused_with_a_message_that_names_its_key() {
    if skipped() {
        return;
    }
    let wrong = [
        ("replicas=0", "/replicas"),
        ("replicas=two", "/replicas"),
        ("replica=2", "replica"),
        ("image.name=millrace", "name"),
        ("image.repository=", "/image/repository"),
        ("image.repository=Millrace:", "/image/repository"),
        ("image.tag=a b", "/image/tag"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.pullSecrets={Secret_1}", "/image/pullSecrets/0"),
        ("brokerImage=-x", "/brokerImage"),
        ("logImage=-x", "/logImage"),
        ("region=US", "/region"),
        ("rotateCertificatesHours=0", "/rotateCertificatesHours"),
        ("watchNamespaces=shop", "/watchNamespaces"),
        ("watchNamespaces={Shop}", "/watchNamespaces/0"),
        ("watchNamespaces={shop,shop}", "/watchNamespaces"),
        ("clusterDomain=cluster.local.", "/clusterDomain"),
        ("logFilter=7", "/logFilter"),
        ("resources.request.cpu=1", "request"),
        ("tolerations=none", "/tolerations"),
        ("podLabels.team=7", "/podLabels/team"),
        ("crds.install=perhaps", "/crds/install"),
        ("rbac.aggregate=perhaps", "/rbac/aggregate"),
        ("networkPolicy.metricsFrom=all", "/networkPolicy/metricsFrom"),
        ("metrics.enabled=perhaps", "/metrics/enabled"),
        ("serviceMonitor.interval=30", "/serviceMonitor/interval"),
        ("serviceMonitor.enabled=true", "/metrics/enabled"),
        ("prometheusRule.runbookUrl=", "/prometheusRule/runbookUrl"),
        ("dashboard.labels=grafana", "/dashboard/labels"),
    ];
    for (value, key) in wrong {
        let said = refusal(&[value]);
        assert!(said.contains("schema") && said.contains(key), "{value}: {said}");
    }
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let text = std::fs::read_to_string(chart().join("values.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    let values = documents(&read_values()).remove(0).0;
    let mut wrong = Vec::new();
    compare(&schema, &values, "", &mut wrong);
    // Helm adds `global` to the values of every chart that another one holds.
    assert_eq!(wrong, ["/global has no default"]);
}

fn compare(schema: &Value, values: &Value, path: &str, wrong: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    if schema["additionalProperties"] != false {
        wrong.push(format!("{path} takes any key"));
    }
    let empty = serde_json::Map::new();
    let there = values.as_object().unwrap_or(&empty);
    let names: BTreeSet<&String> = properties.keys().chain(there.keys()).collect();
    for name in names {
        let below = format!("{path}/{name}");
        match (properties.get(name), there.get(name)) {
            (None, _) => wrong.push(format!("{below} is not in the schema")),
            (_, None) => wrong.push(format!("{below} has no default")),
            (Some(schema), Some(value)) if name != "resources" => compare(schema, value, &below, wrong),
            _ => {}
        }
    }
}

#[test]
fn every_value_is_explained_by_a_comment_above_it_or_above_its_group() {
    let text = read_values();
    let mut explained = false;
    for line in text.lines() {
        let top = line.chars().next().is_some_and(|first| first.is_ascii_lowercase());
        match line.trim_start() {
            "" => explained = false,
            comment if comment.starts_with('#') => explained = true,
            // A group whose first line is a comment explains itself below.
            group if top && group.ends_with(':') => explained = true,
            key => assert!(explained, "nothing is said of `{key}`"),
        }
    }
}

fn read_values() -> String {
    std::fs::read_to_string(chart().join("values.yaml")).expect("the values")
}
