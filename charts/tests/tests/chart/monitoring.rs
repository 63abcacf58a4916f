//! Alerts, runbooks and the dashboard.

use std::collections::BTreeSet;
use std::path::Path;

use millrace_chart_tests::{chart, documents, render, repository, skipped};
use serde_json::Value;

fn alerts() -> Vec<Value> {
    let text = std::fs::read_to_string(chart().join("files/alerts.yaml")).expect("the alerts");
    let groups = documents(&text).remove(0).0["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn dashboard() -> Value {
    let text = std::fs::read_to_string(chart().join("files/dashboard.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("the dashboard is JSON")
}

/// Words such as `millrace_append_seconds_bucket`, without what Prometheus adds to a histogram's name.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let words = words.filter(|word| word.starts_with("millrace_"));
    let base = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

/// What is said in expressions and queries, each with where it stands.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for alert in alerts() {
        queries
            .push((format!("alert {}", alert["alert"]), alert["expr"].as_str().expect("a text").to_owned()));
    }
    let dashboard = dashboard();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((
                format!("panel {}", panel["title"]),
                target["expr"].as_str().expect("a text").to_owned(),
            ));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(query) = variable["definition"].as_str() {
            queries.push((format!("variable {}", variable["name"]), query.to_owned()));
        }
    }
    queries
}

#[test]
fn every_metric_of_an_alert_or_a_panel_is_one_that_the_code_has() {
    let mut names = BTreeSet::new();
    for folder in ["broker", "operator"] {
        literals(&repository().join(folder), &mut names);
    }
    for (place, query) in queries() {
        let used = metrics(&query);
        assert!(!used.is_empty(), "{place} asks for nothing of ours: {query}");
        for name in used {
            assert!(names.contains(&name), "{place} asks for {name}, which no code has");
        }
    }
}

/// The literals in Rust files below a folder that could name a metric.
fn literals(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            literals(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).expect("Rust is UTF-8");
            names.extend(text.split('"').filter(|word| word.starts_with("millrace_")).map(str::to_owned));
        }
    }
}

#[test]
fn every_alert_has_its_runbook_and_every_runbook_its_alert() {
    let folder = repository().join("docs/runbooks");
    let mut runbooks: BTreeSet<String> = std::fs::read_dir(&folder)
        .expect("the runbooks")
        .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
        .collect();
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a name");
        assert!(runbooks.remove(&format!("{name}.md")), "{name} has no runbook, or is there twice");
        let text = std::fs::read_to_string(folder.join(format!("{name}.md"))).expect("the runbook");
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        assert!(
            text.contains("## Look\n") && text.contains("## Do\n") && text.contains("\nkubectl "),
            "{name}"
        );
        assert_eq!(alert["annotations"]["runbook_url"], format!("RUNBOOKS/{name}.md"));
        assert!(matches!(alert["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
        for field in ["summary", "description"] {
            assert!(alert["annotations"][field].is_string(), "{name} has no {field}");
        }
    }
    assert_eq!(runbooks, BTreeSet::new(), "no alert leads to these");
}

#[test]
fn the_rules_are_rendered_with_the_runbooks_address_and_the_time_of_rotation() {
    if skipped() {
        return;
    }
    let objects = render(&[
        "prometheusRule.enabled=true",
        "prometheusRule.runbookUrl=https://docs.example/runbooks/",
        "rotateCertificatesHours=24",
    ]);
    let rule = objects.iter().find(|object| object.kind() == "PrometheusRule").expect("the rules");
    let rendered = rule.0["spec"].to_string();
    assert!(rendered.contains("\"https://docs.example/runbooks/MillraceNoLeader.md\""));
    assert!(rendered.contains("- time() < 43200\""));
    assert!(!rendered.contains("RUNBOOKS") && !rendered.contains("HALF_A_ROTATION"));
    let count = rule.0["spec"]["groups"].as_array().expect("groups").iter();
    let count: usize = count.map(|group| group["rules"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(count, alerts().len());
}

#[test]
fn the_dashboard_reaches_grafana_as_it_is() {
    if skipped() {
        return;
    }
    let objects = render(&["dashboard.enabled=true"]);
    let map = objects.iter().find(|object| object.kind() == "ConfigMap").expect("a ConfigMap");
    let text = map.0["data"]["millrace.json"].as_str().expect("the dashboard");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), dashboard());
    assert_eq!(map.0["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn no_panel_of_the_dashboard_covers_another() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let place = |field: &str| panel["gridPos"][field].as_u64().expect("a number");
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} covers another", panel["title"]);
            }
        }
        assert!(ids.insert(panel["id"].as_u64()), "{} has another's id", panel["title"]);
    }
}
