use super::parse::Resources;
use super::source::Source;
use super::*;

const HEAD: &str = "apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata:\n  name: orders\n";

fn source(text: &str) -> Source {
    Source { name: "orders.yaml".to_owned(), text: text.to_owned() }
}

fn good(text: &str) -> Resources {
    parse(&[source(text)]).expect("a file that is in order")
}

/// The only problem of a file.
fn bad(text: &str) -> String {
    let problems = parse(&[source(text)]).expect_err("something is wrong with it");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

#[test]
fn a_stream_with_an_empty_spec_has_every_default() {
    let resources = good(&format!("{HEAD}spec: {{}}\n"));
    assert_eq!(resources.streams.len(), 1);
    let stream = &resources.streams[0];
    assert_eq!((stream.name.as_str(), stream.config.shards, stream.config.merge_after_s), ("orders", 4, 300));
    assert_eq!((stream.at.as_str(), resources.warnings.len()), ("orders.yaml:4", 0));
}

#[test]
fn one_file_holds_several_documents_and_brokers_are_taken_too() {
    let text = format!(
        "---\n# first\n{HEAD}spec: {{}}\n---\n---\napiVersion: millrace.dev/v1alpha1\nkind: Broker\n\
         metadata: {{name: default}}\nspec: {{durability: Relaxed}}\n"
    );
    let resources = good(&text);
    assert_eq!((resources.streams.len(), resources.brokers.len()), (1, 1));
}

#[test]
fn every_example_is_in_order_for_a_cluster_too() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let sources = Watched::new(vec![examples.clone(), examples.join("quickstart")]).read().unwrap();
    let mut streams = Vec::new();
    // One by one: they are not meant to be applied together.
    for source in &sources {
        let resources = parse(std::slice::from_ref(source)).expect("an example is in order");
        assert_eq!(resources.warnings, [], "{}", source.name);
        streams.extend(resources.streams);
    }
    let events = streams.into_iter().find(|stream| stream.name == "events").unwrap();
    let defaults = good(&format!("{HEAD}spec: {{}}\n")).streams.remove(0);
    let named = DeclaredStream { name: defaults.name.clone(), at: defaults.at.clone(), ..events };
    assert_eq!(named, defaults, "examples/stream.yaml says that it writes the defaults out");
}

#[test]
fn a_time_zone_that_is_not_known_is_refused_where_it_stands() {
    let window = "start: \"08:00\"\n      end: \"18:00\"\n      shards: 20\n      timeZone: Europe/Berln\n";
    let text = format!("{HEAD}spec:\n  capacity:\n    floor:\n    - {window}");
    assert_eq!(
        bad(&text),
        "orders.yaml:11:7: spec.capacity.floor[0].timeZone: the window 08:00-18:00 Europe/Berln has no time zone that \
         is known: did you mean Europe/Berlin?"
    );
    let config = good(&text.replace("Berln", "Berlin")).streams.remove(0).config;
    assert_eq!(config.floor.0[0].to_string(), "08:00-18:00 Europe/Berlin");
}

#[test]
fn what_kubectl_prints_is_taken_back() {
    let text = format!(
        "{HEAD}  namespace: shop\n  uid: 1b4e\n  resourceVersion: \"7\"\nspec: {{retention: 48h}}\nstatus:\n  openShards: 4\n"
    );
    assert_eq!(good(&text).streams[0].config.retention_s, 48 * 3_600);
}

#[test]
fn a_short_retention_is_taken_here_with_a_warning() {
    let resources = good(&format!("{HEAD}spec:\n  retention: 90s\n"));
    assert_eq!(resources.streams[0].config.retention_s, 90);
    let warning = resources.warnings[0].to_string();
    assert!(warning.starts_with("orders.yaml:6:3: spec.retention: 90s is good here only"), "{warning}");
    assert!(bad(&format!("{HEAD}spec:\n  retention: 9000h\n")).contains("write a retention of 24h to 8760h"));
    // Shorter than what brokers rely on.
    assert!(bad(&format!("{HEAD}spec:\n  retention: 59s\n")).contains("write a retention of 24h to 8760h"));
}

#[test]
fn a_value_out_of_range_is_told_at_its_line() {
    assert_eq!(
        bad(&format!("{HEAD}spec:\n  capacity:\n    maxShards: 9000\n")),
        "orders.yaml:7:5: spec.capacity.maxShards: 9000 is too large: write 1 to 8000"
    );
}

#[test]
fn an_unknown_field_is_told_with_the_nearest_known_one() {
    assert_eq!(
        bad(&format!("{HEAD}spec: {{capacity: {{maxShard: 9}}}}\n")),
        "orders.yaml:5:19: spec.capacity.maxShard: is no known field: did you mean maxShards?"
    );
    assert!(bad(&format!("{HEAD}sepc: {{}}\n")).contains("sepc: is no known field: did you mean spec?"));
}

#[test]
fn a_rule_over_several_fields_is_told_where_they_stand() {
    let said = bad(&format!(
        "{HEAD}spec:\n  capacity:\n    minShards: 9\n    maxShards: 8\n    mode: Provisioned\n"
    ));
    assert!(
        said.starts_with("orders.yaml:7:5: spec.capacity.minShards: minShards is above maxShards"),
        "{said}"
    );
}

#[test]
fn a_missing_or_foreign_version_is_told() {
    assert!(
        bad("kind: Stream\nmetadata: {name: a}\nspec: {}\n")
            .contains("write `apiVersion: millrace.dev/v1alpha1`")
    );
    let old = bad("apiVersion: millrace.dev/v1\nkind: Stream\nmetadata: {name: a}\nspec: {}\n");
    assert_eq!(
        old,
        "orders.yaml:1:1: apiVersion: millrace.dev/v1 is not served: write millrace.dev/v1alpha1"
    );
    let foreign = bad("apiVersion: apps/v1\nkind: Deployment\n");
    assert!(foreign.contains("apps/v1 belongs to Kubernetes or another project"), "{foreign}");
}

#[test]
fn an_unknown_kind_is_told_with_the_known_ones() {
    let said = bad("apiVersion: millrace.dev/v1alpha1\nkind: Topic\nmetadata: {name: a}\nspec: {}\n");
    assert_eq!(
        said,
        "orders.yaml:2:1: kind: Topic is no kind that is served here: there are Broker and Stream"
    );
    let slip = bad("apiVersion: millrace.dev/v1alpha1\nkind: stream\nmetadata: {name: a}\nspec: {}\n");
    assert!(slip.ends_with("did you mean Stream?"), "{slip}");
    assert!(bad("apiVersion: millrace.dev/v1alpha1\nspec: {}\n").contains("kind is missing"));
}

#[test]
fn names_are_objects_names() {
    let named = |name: &str| {
        bad(&format!(
            "apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        ))
    };
    assert!(named("Orders_v1").contains("goes into spec.streamName"));
    assert!(named("-a").contains("is no object's name"));
    assert!(named("7").contains("write a name as a text"));
    assert!(
        bad("apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata: {generateName: a-}\nspec: {}\n")
            .contains("write metadata.name")
    );
    assert!(
        bad("apiVersion: millrace.dev/v1alpha1\nkind: Stream\nspec: {}\n")
            .contains("metadata.name: is missing")
    );
}

#[test]
fn a_broker_in_another_namespace_is_refused() {
    let said = bad(&format!("{HEAD}spec:\n  brokerRef: {{name: default, namespace: shop}}\n"));
    assert!(
        said.contains("spec.brokerRef.namespace: a Stream's Broker lies in the Stream's own namespace"),
        "{said}"
    );
}

#[test]
fn a_missing_spec_is_asked_for() {
    assert!(bad(HEAD).contains("spec: is missing: write `spec: {}`"));
}

#[test]
fn two_streams_of_one_name_are_told_with_both_places() {
    let other = Source { name: "b.yaml".to_owned(), text: format!("{HEAD}spec: {{}}\n") };
    let problems = parse(&[source(&format!("{HEAD}spec: {{}}\n")), other]).expect_err("a duplicate");
    let said = problems[0].to_string();
    assert!(
        said.starts_with("b.yaml:4: metadata.name: a stream named orders is declared at orders.yaml:4"),
        "{said}"
    );
}

#[test]
fn an_empty_file_is_told() {
    for text in ["", "# nothing\n", "---\n---\n"] {
        assert_eq!(bad(text), "orders.yaml: holds no resource: write a Stream into it, or remove it");
    }
}

#[test]
fn a_tab_is_told_as_one() {
    assert_eq!(
        bad("apiVersion: a\nspec:\n\tcapacity: 1\n"),
        "orders.yaml:3:1: is indented with a tab: YAML takes spaces only"
    );
}

#[test]
fn a_text_that_is_no_yaml_is_told_at_its_place() {
    let said = bad("kind: [Stream\n");
    assert!(said.starts_with("orders.yaml:") && said.contains("is not good YAML"), "{said}");
    let twice = bad(&format!("{HEAD}spec:\n  quota: 1Gi\n  quota: 2Gi\n"));
    assert!(twice.contains("duplicate entry with key \"quota\""), "{twice}");
    assert!(bad("just words\n").contains("begins with apiVersion and kind"));
}

#[test]
fn every_problem_is_told_at_once() {
    let text = format!("{HEAD}spec: {{quota: much, retention: long}}\n---\nkind: Stream\n");
    assert_eq!(parse(&[source(&text)]).expect_err("three problems").len(), 3);
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names_and_one_without_yaml_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(vec![dir.path().to_owned()]);
    let said = watched.read().unwrap_err().to_string();
    assert!(said.contains("put one into it whose name ends in .yaml"), "{said}");
    for name in ["b.yaml", "a.yml", "notes.txt"] {
        std::fs::write(dir.path().join(name), HEAD).unwrap();
    }
    let names: Vec<String> = watched.read().unwrap().into_iter().map(|source| source.name).collect();
    assert_eq!(names.len(), 2);
    assert!(names[0].ends_with("a.yml") && names[1].ends_with("b.yaml"));
}

#[test]
fn files_that_are_missing_or_no_text_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.yaml");
    let mut watched = Watched::new(vec![file.clone()]);
    assert!(watched.read().unwrap_err().to_string().starts_with("can't read "));
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(watched.read().unwrap_err().to_string().contains("is no text"));
}

#[test]
fn a_change_is_seen_once_it_is_made_and_no_longer_once_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.yaml");
    std::fs::write(&file, "a: 1").unwrap();
    let mut watched = Watched::new(vec![file.clone()]);
    assert!(watched.has_changed(), "nothing was read as yet");
    watched.read().unwrap();
    assert!(!watched.has_changed());
    std::fs::write(&file, "a: 2").unwrap();
    assert!(watched.has_changed(), "neither size nor, perhaps, time differ");
    watched.read().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(watched.has_changed());
    assert!(watched.read().is_err());
    assert!(!watched.has_changed(), "a problem is told once");
}
