use super::*;
use serde_json::json;

/// What is said of a Stream with this spec, as lines of "path: message".
fn said(spec: Value) -> Vec<String> {
    let object = json!({ "metadata": { "name": "orders" }, "spec": spec });
    let violations = admit("Stream", object, None).err().unwrap_or_default();
    violations.into_iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect()
}

#[test]
fn an_empty_spec_gets_every_default() {
    let object = json!({ "metadata": { "name": "orders" }, "spec": {} });
    let stored = admit("Stream", object, None).expect("every field has a default");
    assert_eq!(stored["spec"]["capacity"]["maxShards"], 1_000);
    assert_eq!(stored["spec"]["capacity"]["targetPerShard"]["bytesPerSecond"], "1Mi");
    assert_eq!(stored["spec"]["brokerRef"]["name"], "default");
}

#[test]
fn a_field_within_a_given_part_gets_its_default_too() {
    let object = json!({ "metadata": { "name": "orders" }, "spec": { "capacity": { "shards": 8 } } });
    let stored = admit("Stream", object, None).expect("a count alone is enough");
    assert_eq!(
        (&stored["spec"]["capacity"]["shards"], &stored["spec"]["capacity"]["mode"]),
        (&json!(8), &json!("OnDemand"))
    );
}

#[test]
fn nulls_count_as_absent() {
    assert_eq!(said(json!({ "retention": null, "capacity": { "shards": null } })), [""; 0]);
}

#[test]
fn the_status_is_not_looked_at() {
    let object = json!({ "metadata": { "name": "orders" }, "spec": {}, "status": "nonsense" });
    assert!(admit("Stream", object, None).is_ok());
}

#[test]
fn a_missing_spec_is_asked_for() {
    let object = json!({ "metadata": { "name": "orders" } });
    let violations = admit("Stream", object, None).expect_err("a spec is required");
    assert!(violations[0].message.contains("write `spec: {}`"), "{violations:?}");
}

#[test]
fn an_unknown_field_is_named_with_the_nearest_known_one() {
    assert_eq!(
        said(json!({ "capacity": { "maxShard": 9 } })),
        ["spec.capacity.maxShard: is no known field: did you mean maxShards?"]
    );
    let lines = said(json!({ "partitions": 9 }));
    assert!(
        lines[0].starts_with("spec.partitions: is no known field; there are brokerRef, capacity"),
        "{lines:?}"
    );
}

#[test]
fn a_value_of_another_type_is_told_with_the_type_that_is_wanted() {
    assert_eq!(
        said(json!({ "capacity": { "shards": "four" } })),
        ["spec.capacity.shards: must be a whole number, not the text \"four\""]
    );
    assert_eq!(said(json!({ "capacity": [] })), ["spec.capacity: must be a mapping of fields, not a list"]);
    assert_eq!(said(json!({ "quota": 1.5 })), ["spec.quota: must be a number or a text, not 1.5"]);
}

#[test]
fn a_word_that_is_none_of_the_known_is_told_with_them() {
    assert_eq!(
        said(json!({ "capacity": { "mode": "Ondemand" } })),
        ["spec.capacity.mode: \"Ondemand\" is none of OnDemand, Provisioned"]
    );
}

#[test]
fn numbers_out_of_their_range_are_told_with_the_range() {
    assert_eq!(
        said(json!({ "capacity": { "minShards": 0, "maxShards": 9_000 } })),
        [
            "spec.capacity.maxShards: 9000 is too large: write 1 to 8000",
            "spec.capacity.minShards: 0 is too small: write 1 to 8000"
        ]
    );
}

#[test]
fn texts_of_another_form_are_told_with_an_example() {
    assert_eq!(
        said(json!({ "streamName": "a b" })),
        ["spec.streamName: \"a b\" is no stream's name: write 1 to 128 letters, digits, '_', '.' or '-'"]
    );
    assert!(said(json!({ "retention": "7d" }))[0].contains("such as 24h"));
    assert!(said(json!({ "quota": "10GB" }))[0].contains("such as 512Mi, 10Gi"));
    assert!(said(json!({ "brokerRef": { "name": "" } }))[0].contains("too short"));
}

#[test]
fn a_required_field_that_is_missing_is_named() {
    assert_eq!(said(json!({ "brokerRef": {} })), ["spec.brokerRef: lacks its field name: write it"]);
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let many: Vec<Value> = (0..33).map(|_| json!({ "operator": "Exists" })).collect();
    let object =
        json!({ "metadata": { "name": "default" }, "spec": { "scheduling": { "tolerations": many } } });
    let violations = admit("Broker", object, None).expect_err("32 tolerations are the most");
    assert_eq!(violations[0].path, "spec.scheduling.tolerations");
}

#[test]
fn fields_of_embedded_kubernetes_types_are_checked_too() {
    let spec = json!({ "scheduling": { "tolerations": [{ "operater": "Exists" }] } });
    let object = json!({ "metadata": { "name": "default" }, "spec": spec });
    let violations = admit("Broker", object, None).expect_err("a slip");
    assert_eq!(violations[0].path, "spec.scheduling.tolerations[0].operater");
    assert!(violations[0].message.contains("did you mean operator?"), "{violations:?}");
}

#[test]
fn a_broken_rule_can_be_told_by_its_text() {
    let object = json!({ "metadata": { "name": "orders" }, "spec": { "retention": "90s" } });
    let (stored, broken) = check("Stream", object, None).expect("the schema has nothing to say");
    assert_eq!(broken[0].rule.as_deref(), Some(crate::retention::RANGE_RULE));
    assert_eq!((broken.len(), broken[0].path.as_str()), (1, "spec.retention"));
    assert_eq!(stored["spec"]["quota"], "10Gi");
}
