//! What Argo CD and Flux make of recorded statuses, by the scripts and expressions in `examples/gitops`.

mod argocd;
mod flux;

use millrace_chart_tests::{documents, repository};
use serde_json::Value;

/// A status, and what others made of it.
struct Recorded {
    name: String,
    /// The verdict of kstatus' own code.
    kstatus: String,
    /// The verdict of Flux's own code on our expressions.
    flux: String,
    object: Value,
}

fn read(file: &str) -> String {
    let file = repository().join("examples/gitops").join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn recorded() -> Vec<Recorded> {
    let list = documents(&read("statuses/statuses.yaml")).remove(0).0;
    let recorded = list.as_array().expect("a list").iter().map(|one| {
        let text = |field: &str| one[field].as_str().expect("a text").to_owned();
        Recorded {
            name: text("name"),
            kstatus: text("kstatus"),
            flux: text("flux"),
            object: one["object"].clone(),
        }
    });
    recorded.collect()
}

#[test]
fn every_verdict_is_recorded_at_least_once() {
    let recorded = recorded();
    for verdict in ["InProgress", "Failed", "Current", "Terminating"] {
        assert!(recorded.iter().any(|one| one.kstatus == verdict), "{verdict}");
    }
    for kind in ["Broker", "Stream"] {
        assert!(recorded.iter().any(|one| one.object["kind"] == kind), "{kind}");
    }
}
