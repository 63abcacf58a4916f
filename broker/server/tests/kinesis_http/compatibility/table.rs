//! `docs/kinesis-compatibility.md`: the model with what differs here, as `differences.yaml` tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::errors::answered;
use super::model::{Operation, operations};
use crate::api::Api;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    /// Parameters that are passed over, and why.
    pub(super) parameters: BTreeMap<String, String>,
    /// Errors that are not answered where the model has them, unless an operation has more to say.
    errors: BTreeMap<String, String>,
    operations: BTreeMap<String, Differing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Differing {
    /// What the operation does otherwise.
    differs: Option<String>,
    /// Errors that it does not answer with, and why.
    #[serde(default)]
    errors: BTreeMap<String, String>,
}

impl Differences {
    pub(super) fn read() -> Differences {
        serde_yaml::from_str(include_str!("differences.yaml")).expect("differences.yaml")
    }

    fn of(&self, operation: &str) -> &Differing {
        static NONE: Differing = Differing { differs: None, errors: BTreeMap::new() };
        self.operations.get(operation).unwrap_or(&NONE)
    }
}

/// Channels and queues are not built.
pub(super) fn is_built(operation: &str) -> bool {
    !["Channel", "Queue"].iter().any(|kind| operation.contains(kind))
}

/// `MILLRACE_WRITE=1` writes the table instead of comparing it.
#[tokio::test]
async fn the_table_tells_of_every_operation_parameter_and_error_of_the_model() {
    let (operations, differences) = (operations(), Differences::read());
    let answered = answered(&operations).await;
    let api = Api::start().await;
    for operation in operations.iter().filter(|operation| !is_built(&operation.name)) {
        let told = api.call(&operation.name, json!({})).await.error();
        assert_eq!(told, ("NotImplementedException".into(), 501), "{}", operation.name);
    }
    let wrong = untold(&operations, &differences, &answered);
    assert!(wrong.is_empty(), "differences.yaml is not true:\n{}", wrong.join("\n"));

    let table = table(&operations, &differences, &answered);
    let file = file();
    if std::env::var_os("MILLRACE_WRITE").is_some() {
        std::fs::write(&file, &table).expect("the folder can be written");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == table,
        "{} is stale: run `MILLRACE_WRITE=1 cargo test -p millrace-server --test kinesis_http compatibility`, and \
         read the difference",
        file.display()
    );
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kinesis-compatibility.md")
}

/// What the differences leave untold, and what they tell that is not so.
fn untold(
    operations: &[Operation],
    differences: &Differences,
    answered: &BTreeSet<(String, String)>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for operation in operations.iter().filter(|operation| is_built(&operation.name)) {
        let its = &differences.of(&operation.name).errors;
        for error in &operation.errors {
            let seen = answered.contains(&(operation.name.clone(), error.clone()));
            match (seen, its.contains_key(error), differences.errors.contains_key(error)) {
                (true, true, _) => wrong.push(format!("{} answers with {error}", operation.name)),
                (false, false, false) => {
                    wrong.push(format!("{} does not answer with {error}", operation.name))
                }
                (false, false, true) => drop(used.insert(error.clone())),
                _ => {}
            }
        }
        let unknown = its.keys().filter(|error| !operation.errors.contains(error));
        wrong.extend(unknown.map(|error| format!("the model has no {error} of {}", operation.name)));
    }
    let unused = differences.errors.keys().filter(|error| !used.contains(*error));
    wrong.extend(unused.map(|error| format!("every operation that has {error} answers with it")));
    let known = |name: &String| operations.iter().any(|operation| operation.name == *name);
    let unknown = differences.operations.keys().filter(|name| !known(name));
    wrong.extend(unknown.map(|name| format!("the model has no operation {name}")));
    wrong
}

fn table(
    operations: &[Operation],
    differences: &Differences,
    answered: &BTreeSet<(String, String)>,
) -> String {
    let (built, not_built): (Vec<&Operation>, Vec<&Operation>) =
        operations.iter().partition(|operation| is_built(&operation.name));
    let differing = |operation: &&Operation| {
        let its = differences.of(&operation.name);
        its.differs.is_some() || !its.errors.is_empty()
    };
    let count = built.len();
    let (other, same): (Vec<&Operation>, Vec<&Operation>) = built.into_iter().partition(differing);
    let mut text = format!(
        "# Kinesis Data Streams, operation by operation\n\n\
         Written by a test, from the service model of botocore (2013-12-02) and `differences.yaml` beside that test: \
         don't change\nit by hand. [kinesis.md](kinesis.md) says the same in brief.\n\n\
         Of {} operations {} are there: {} as the service has them, {} with the differences below. Every parameter \
         that is listed\nis read and held to the model's constraints, and every error that is listed was seen: the \
         test tries them all. `Exception`\nat the end of errors' names is left out.\n\n",
        operations.len(),
        count,
        same.len(),
        other.len(),
    );
    let row = |operation: &Operation| {
        let parameters: Vec<&str> = operation
            .parameters
            .iter()
            .map(|parameter| parameter.shown.as_str())
            .filter(|shown| !differences.parameters.contains_key(*shown))
            .collect();
        let errors: Vec<&str> = operation
            .errors
            .iter()
            .filter(|error| answered.contains(&(operation.name.clone(), (*error).clone())))
            .map(|error| short(error))
            .collect();
        format!("| {} | {} | {} |", operation.name, parameters.join(", "), errors.join(", "))
    };
    text.push_str("## As the service\n\n| operation | parameters | errors |\n|---|---|---|\n");
    for operation in same {
        let _ = writeln!(text, "{}", row(operation));
    }
    text.push_str(
        "\n## With differences\n\n| operation | parameters | errors | what differs |\n|---|---|---|---|\n",
    );
    for operation in other {
        let its = differences.of(&operation.name);
        let errors = its.errors.iter().map(|(error, why)| format!("{}: {why}", short(error)));
        let told: Vec<String> = its.differs.iter().cloned().chain(errors).collect();
        let _ = writeln!(text, "{} {} |", row(operation), told.join(" "));
    }
    text.push_str("\n## Passed over\n\n| parameter | |\n|---|---|\n");
    for (parameter, why) in &differences.parameters {
        let _ = writeln!(text, "| {parameter} | {why} |");
    }
    text.push_str(
        "\n## Errors that are not answered\n\nThe model has them of operations beyond those that list them above.\n\n\
         | error | |\n|---|---|\n",
    );
    for (error, why) in &differences.errors {
        let _ = writeln!(text, "| {} | {why} |", short(error));
    }
    text.push_str("\n## Not there\n\nThese answer `NotImplementedException` (501), with any parameters: ");
    let names: Vec<&str> = not_built.iter().map(|operation| operation.name.as_str()).collect();
    let _ = writeln!(text, "{}.", names.join(", "));
    text
}

fn short(error: &str) -> &str {
    error.strip_suffix("Exception").unwrap_or(error)
}
