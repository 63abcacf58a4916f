//! Flux's health checks.

use cel::{Context, Program, Value as CelValue};
use millrace_chart_tests::documents;
use serde_json::Value;

use crate::{Recorded, read, recorded};

fn expressions(kind: &str) -> Value {
    let all = documents(&read("flux/streams.yaml"));
    let kustomization = all.iter().find(|object| object.kind() == "Kustomization").expect("a Kustomization");
    let list = kustomization.0["spec"]["healthCheckExprs"].as_array().expect("health checks");
    list.iter().find(|one| one["kind"] == kind).unwrap_or_else(|| panic!("nothing for {kind}")).clone()
}

/// As Flux does it: an old generation is in progress; then the first expression that holds decides, and an object
/// that none takes is in progress.
fn verdict(expressions: &Value, object: &Value) -> &'static str {
    let observed = &object["status"]["observedGeneration"];
    if !observed.is_null() && *observed != object["metadata"]["generation"] {
        return "InProgress";
    }
    let verdicts = [("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")];
    let first = verdicts.into_iter().find(|(field, _)| {
        let text = expressions[*field].as_str().expect("an expression");
        let program = Program::compile(text).unwrap_or_else(|error| panic!("{field}: {error}"));
        let mut context = Context::default();
        for (name, value) in object.as_object().expect("an object") {
            context.add_variable(name.as_str(), value).expect("JSON is what CEL can hold");
        }
        program.execute(&context).unwrap_or_else(|error| panic!("{field}: {error}")) == CelValue::Bool(true)
    });
    first.map_or("InProgress", |(_, verdict)| verdict)
}

#[test]
fn the_expressions_come_to_the_verdicts_that_flux_came_to() {
    for Recorded { name, flux, object, .. } in recorded() {
        let kind = object["kind"].as_str().expect("a kind");
        assert_eq!(verdict(&expressions(kind), &object), flux, "{name}");
    }
}

#[test]
fn flux_and_kstatus_agree_but_for_their_words() {
    for Recorded { name, flux, kstatus, .. } in recorded() {
        let kstatus = if kstatus == "Terminating" { "InProgress" } else { &kstatus };
        assert_eq!(flux, kstatus, "{name}");
    }
}

#[test]
fn both_kinds_are_judged_alike_and_flux_waits_for_them() {
    let (mut broker, mut stream) = (expressions("Broker"), expressions("Stream"));
    for one in [&mut broker, &mut stream] {
        assert_eq!(one["apiVersion"], "millrace.dev/v1alpha1");
        one.as_object_mut().expect("an object").remove("kind");
    }
    assert_eq!(broker, stream);
    let all = documents(&read("flux/streams.yaml"));
    let kustomization = all.iter().find(|object| object.kind() == "Kustomization").expect("a Kustomization");
    assert_eq!(kustomization.0["spec"]["wait"], true);
}

/// What the example gives the chart, the chart's schema has to take.
#[test]
fn the_examples_give_the_chart_values_that_it_takes() {
    if millrace_chart_tests::skipped() {
        return;
    }
    let release = documents(&read("flux/millrace.yaml"));
    let release = release.iter().find(|object| object.kind() == "HelmRelease").expect("a HelmRelease");
    let application = documents(&read("argocd/application.yaml")).remove(0);
    for values in [&release.0["spec"]["values"], &application.0["spec"]["source"]["helm"]["valuesObject"]] {
        let repository = values["image"]["repository"].as_str().expect("a repository");
        assert_eq!(values.as_object().map(serde_json::Map::len), Some(1));
        millrace_chart_tests::render(&[&format!("image.repository={repository}")]);
    }
}
