//! The definitions as a whole: what lies in `crds/generated/` and in the chart, and what an API server asks of a schema.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use millrace_crds::definition::{definitions, file_name, yaml};
use serde_json::Value;

/// Where copies lie: here, and in the chart, which can hold no file from outside its folder.
const FOLDERS: [&str; 2] = ["generated", "../charts/millrace/files/crds"];

/// `MILLRACE_WRITE=1` (what `make crds` sets) writes the files instead of comparing them.
#[test]
fn the_generated_files_say_what_the_types_say() {
    let mut names: Vec<String> = definitions().iter().map(file_name).collect();
    names.sort();
    for folder in FOLDERS.map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
        for definition in definitions() {
            let file = folder.join(file_name(&definition));
            if std::env::var_os("MILLRACE_WRITE").is_some() {
                std::fs::write(&file, yaml(&definition)).expect("the folder can be written");
            }
            let there = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(there == yaml(&definition), "{} is stale: run `make crds`", file.display());
        }
        let mut there: Vec<String> = std::fs::read_dir(&folder)
            .expect("the folder is there")
            .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
            .collect();
        there.sort();
        assert_eq!(there, names, "{} holds a file that no type makes: remove it", folder.display());
    }
}

#[test]
fn what_is_printed_reads_as_yaml_documents() {
    let text = millrace_crds::definitions_yaml();
    let read: Vec<CustomResourceDefinition> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).expect("a definition"))
        .collect();
    assert_eq!(read, definitions());
}

#[test]
fn every_kind_is_namespaced_and_in_the_category() {
    for definition in definitions() {
        let names = &definition.spec.names;
        assert_eq!(definition.spec.scope, "Namespaced");
        assert_eq!(names.categories.as_deref(), Some(&["millrace".to_owned()][..]));
        assert!(names.short_names.as_ref().is_some_and(|names| !names.is_empty()));
    }
}

#[test]
fn an_object_that_nobody_has_looked_at_is_not_taken_for_ready() {
    for definition in definitions() {
        let schema = schema(&definition);
        assert_eq!(schema["properties"]["status"]["default"]["observedGeneration"], -1);
    }
}

#[test]
fn a_stream_scales_by_its_shards() {
    let stream = definitions().into_iter().find(|definition| definition.spec.names.kind == "Stream");
    let stream = stream.expect("a Stream");
    let scale = stream.spec.versions[0].subresources.as_ref().and_then(|all| all.scale.as_ref());
    assert_eq!(scale.expect("a scale subresource").spec_replicas_path, ".spec.capacity.shards");
}

/// API servers warn of unsigned formats, refuse untyped fields, and estimate rules' costs by bounds.
#[test]
fn schemas_hold_no_unsigned_numbers_and_our_own_texts_and_lists_are_bounded() {
    for definition in definitions() {
        let mut wrong = Vec::new();
        walk(&schema(&definition)["properties"]["spec"], "spec", &mut wrong);
        assert_eq!(wrong, [""; 0], "{}", definition.spec.names.kind);
    }
}

fn walk(schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let foreign = ["affinity", "tolerations", "topologySpreadConstraints", "resources"];
    let inner = foreign.iter().any(|name| path.contains(&format!("{name}[]")) || path.ends_with(name));
    if schema["format"].as_str().is_some_and(|format| format.starts_with("uint")) {
        wrong.push(format!("{path} is unsigned"));
    }
    if schema["nullable"] == true {
        wrong.push(format!("{path} may be null: an API server refuses that where there is an enum"));
    }
    let typed = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
    if !typed {
        wrong.push(format!("{path} has no type"));
    }
    if ["oneOf", "anyOf", "allOf", "$ref"].iter().any(|word| schema.get(word).is_some()) {
        wrong.push(format!("{path} is no structural schema"));
    }
    if schema["type"] == "string" && schema["maxLength"].is_null() && schema["enum"].is_null() && !inner {
        wrong.push(format!("{path} is an unbounded text"));
    }
    if schema["type"] == "array" && schema["maxItems"].is_null() && !inner {
        wrong.push(format!("{path} is an unbounded list"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}.{name}");
        if !inner {
            walk(property, &below, wrong);
        }
    }
    if schema["items"].is_object() && !inner {
        walk(&schema["items"], &format!("{path}[]"), wrong);
    }
}

fn schema(definition: &CustomResourceDefinition) -> Value {
    let schema = definition.spec.versions[0].schema.as_ref().expect("a schema");
    serde_json::to_value(&schema.open_api_v3_schema).expect("a schema is JSON")
}
