use super::*;
use crate::admission::{Violation, admit};
use millrace_core::{CapacityMode, StreamConfig};
use serde_json::{Value, json};

fn object(spec: Value) -> Value {
    json!({ "apiVersion": "millrace.dev/v1alpha1", "kind": "Stream", "metadata": { "name": "orders" }, "spec": spec })
}

fn stored(spec: Value) -> Value {
    admit("Stream", object(spec), None).expect("a spec that is in order")
}

/// The one rule that a new Stream with this spec breaks, as "path: message".
fn refused(spec: Value) -> String {
    one(admit("Stream", object(spec), None))
}

/// The one rule that this change breaks.
fn refused_change(old: Value, new: Value) -> String {
    one(admit("Stream", object(new), Some(&stored(old))))
}

fn one(outcome: Result<Value, Vec<Violation>>) -> String {
    let violations = outcome.expect_err("a rule is broken");
    assert_eq!(violations.len(), 1, "{violations:?}");
    format!("{}: {}", violations[0].path, violations[0].message)
}

#[test]
fn an_empty_spec_is_the_default_of_the_types_and_all_but_the_quota_of_the_core() {
    let spec: StreamSpec =
        serde_json::from_value(stored(json!({}))["spec"].clone()).expect("our own defaults");
    assert_eq!(spec, StreamSpec::default());
    assert_eq!(spec.config(), Ok(StreamConfig { quota_bytes: 10 << 30, ..StreamConfig::default() }));
}

#[test]
fn a_whole_spec_becomes_a_configuration() {
    let spec = stored(json!({
        "capacity": {
            "mode": "Provisioned", "shards": 16,
            "targetPerShard": { "bytesPerSecond": 2_097_152, "recordsPerSecond": 2_000 },
        },
        "retention": "168h", "quota": "1Ti", "limits": "None",
    }));
    let spec: StreamSpec = serde_json::from_value(spec["spec"].clone()).expect("what was admitted");
    let config = spec.config().expect("what was admitted");
    assert_eq!((config.mode, config.shards), (CapacityMode::Provisioned, 16));
    assert_eq!((config.target_bytes_per_s, config.target_records_per_s), (2 << 20, 2_000));
    assert_eq!((config.retention_s, config.quota_bytes), (7 * 86_400, 1 << 40));
    assert_eq!(config.limits, millrace_core::Limits::None);
}

#[test]
fn a_spec_that_no_rule_has_seen_is_refused_in_a_sentence() {
    let with = |change: fn(&mut StreamSpec)| {
        let mut spec = StreamSpec::default();
        change(&mut spec);
        spec.config().expect_err("it can't be").to_string()
    };
    assert_eq!(
        with(|spec| spec.capacity.shards = 0),
        "spec.capacity.shards: 0 is no number of shards: write 1 to 8000"
    );
    assert_eq!(
        with(|spec| spec.capacity.min_shards = 2_000),
        "spec.capacity.minShards: 2000 is above maxShards, 1000: lower the one or raise the other"
    );
    assert!(
        with(|spec| spec.quota = ByteQuantity::new("much")).starts_with("spec.quota: \"much\" is no amount")
    );
    assert_eq!(
        with(|spec| spec.max_record_size = ByteQuantity::new("11Mi")),
        "spec.maxRecordSize: 11534336 bytes is no size of a record: write 1Mi to 10Mi"
    );
    assert!(
        with(|spec| spec.retention = Retention::new("7d"))
            .starts_with("spec.retention: \"7d\" is no duration")
    );
    assert!(
        with(|spec| spec.capacity.target_per_shard.records_per_second = -1)
            .starts_with("spec.capacity.targetPerShard.recordsPerSecond: -1 is no rate")
    );
}

#[test]
fn the_name_is_the_objects_unless_it_is_said() {
    let mut stream = Stream::new("orders", StreamSpec::default());
    assert_eq!(stream.stream_name(), "orders");
    stream.spec.stream_name = Some("Orders_v1.raw".to_owned());
    assert_eq!(stream.stream_name(), "Orders_v1.raw");
}

#[test]
fn the_name_stays() {
    let renamed = refused_change(json!({}), json!({ "streamName": "other" }));
    assert!(renamed.contains("a stream's name stays"), "{renamed}");
    let unnamed = refused_change(json!({ "streamName": "other" }), json!({}));
    assert!(unnamed.contains("a stream's name stays"), "{unnamed}");
    let told = admit("Stream", object(json!({ "streamName": "orders" })), Some(&stored(json!({}))));
    assert!(told.is_ok(), "saying the name that it has is no change: {told:?}");
}

#[test]
fn an_object_with_a_long_name_needs_a_stream_name() {
    let mut long = object(json!({}));
    long["metadata"]["name"] = json!("a".repeat(129));
    assert!(one(admit("Stream", long.clone(), None)).contains("set spec.streamName"));
    long["spec"]["streamName"] = json!("short");
    assert!(admit("Stream", long, None).is_ok());
}

#[test]
fn the_broker_stays() {
    let moved = refused_change(json!({}), json!({ "brokerRef": { "name": "other" } }));
    assert!(moved.starts_with("spec.brokerRef: ") && moved.contains("can't move"), "{moved}");
}

#[test]
fn the_bounds_of_capacity_agree() {
    let crossed = refused(json!({ "capacity": { "minShards": 9, "maxShards": 8, "mode": "Provisioned" } }));
    assert!(crossed.contains("minShards is above maxShards"), "{crossed}");
    let few = refused(json!({ "capacity": { "minShards": 8 } }));
    assert!(few.contains("raise shards or lower minShards"), "{few}");
    let many = refused(json!({ "capacity": { "shards": 8, "maxShards": 6 } }));
    assert!(many.contains("lower shards or raise maxShards"), "{many}");
    stored(json!({ "capacity": { "mode": "Provisioned", "shards": 2_000 } }));
}

#[test]
fn a_provisioned_stream_does_not_scale_by_itself() {
    let both = refused(json!({ "capacity": { "mode": "Provisioned", "autoscaling": "Apply" } }));
    assert!(both.contains("set mode: OnDemand, or autoscaling: Recommend"), "{both}");
    stored(json!({ "capacity": { "mode": "Provisioned", "autoscaling": "Recommend" } }));
    let capacity = |mode| Capacity { mode, ..Capacity::default() };
    assert_eq!(capacity(Mode::Provisioned).autoscaling(), Autoscaling::Disabled);
    assert_eq!(capacity(Mode::OnDemand).autoscaling(), Autoscaling::Apply);
}

#[test]
fn retention_is_a_day_to_a_year() {
    for bad in ["23h59m", "8761h", "90s"] {
        let said = refused(json!({ "retention": bad }));
        assert_eq!(said, format!("spec.retention: {}", crate::retention::RANGE_MESSAGE));
    }
    for good in ["24h", "8760h", "1440m"] {
        stored(json!({ "retention": good }));
    }
}

#[test]
fn the_quota_is_whole_bytes_and_not_tiny() {
    for bad in [json!("63Mi"), json!(1), json!("0.5")] {
        assert!(refused(json!({ "quota": bad })).contains("64Mi to 1Pi"));
    }
    for good in [json!("64Mi"), json!("1.5Gi"), json!(107_374_182_400i64)] {
        stored(json!({ "quota": good }));
    }
}

#[test]
fn a_shards_target_lies_within_what_a_shard_can_do() {
    for bad in ["1023", "2Gi"] {
        let said = refused(json!({ "capacity": { "targetPerShard": { "bytesPerSecond": bad } } }));
        assert!(said.starts_with("spec.capacity.targetPerShard.bytesPerSecond: write whole bytes"), "{said}");
    }
}

#[test]
fn a_broker_of_another_namespace_can_not_be_named() {
    for name in
        ["other/default", "default.other", "../../other/brokers/default", "default?x", "a b", "Default"]
    {
        let said = refused(json!({ "brokerRef": { "name": name } }));
        assert!(
            said.starts_with("spec.brokerRef.name: write the name of a Broker of this namespace"),
            "{said}"
        );
    }
}

#[test]
fn a_record_has_a_mebibyte_to_ten() {
    for bad in [json!("1023Ki"), json!("10241Ki"), json!(1), json!("1.5")] {
        let said = refused(json!({ "maxRecordSize": bad }));
        assert_eq!(said, "spec.maxRecordSize: write whole bytes of 1Mi to 10Mi, such as 1Mi");
    }
    for good in [json!("1Mi"), json!("10Mi"), json!("1500Ki"), json!(2_000_000)] {
        stored(json!({ "maxRecordSize": good }));
    }
}
