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
    fn window(start: &str) -> Vec<FloorWindow> {
        let window = json!({ "start": start, "end": "18:00", "shards": 2_000 });
        vec![serde_json::from_value(window).expect("a window")]
    }
    assert_eq!(
        with(|spec| spec.capacity.floor = window("8am")),
        "spec.capacity.floor[0].start: \"8am\" is no time of day: write hours and minutes, such as 08:00"
    );
    assert_eq!(
        with(|spec| spec.capacity.floor = window("08:00")),
        "spec.capacity.floor[0].shards: 2000 is no number of shards here: write 1 to 1000, or raise maxShards"
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

/// A spec with a floor of one window, in which something is different.
fn with_window(change: Value) -> Value {
    let mut window = json!({ "start": "08:00", "end": "18:00", "shards": 20 });
    window.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({ "capacity": { "maxShards": 30, "floor": [window] } })
}

#[test]
fn a_floor_is_read_with_every_day_and_utc_unless_something_else_is_said() {
    let floor = |spec: Value| {
        let spec: StreamSpec =
            serde_json::from_value(stored(spec)["spec"].clone()).expect("what was admitted");
        spec.config().expect("what was admitted").floor.0[0].to_string()
    };
    assert_eq!(floor(with_window(json!({}))), "08:00-18:00 UTC");
    let nights =
        json!({ "start": "22:00", "end": "00:00", "days": ["Fri", "Sat"], "timeZone": "Asia/Kathmandu" });
    assert_eq!(floor(with_window(nights)), "Fri-Sat 22:00-00:00 Asia/Kathmandu");
}

#[test]
fn a_windows_times_are_hours_and_minutes() {
    for bad in ["8:00", "24:00", "08:60", "", "8am"] {
        for field in ["start", "end"] {
            let said = refused(with_window(json!({ field: bad })));
            let path = format!("spec.capacity.floor[0].{field}");
            assert_eq!(
                said,
                format!("{path}: write a time of day as hours and minutes, 00:00 to 23:59, such as 08:00")
            );
        }
    }
    for good in ["00:00", "09:59", "19:00", "23:59"] {
        stored(with_window(json!({ "start": good, "end": good })));
    }
}

#[test]
fn a_windows_time_zone_has_the_form_of_one() {
    for bad in ["", "+02:00", "Europe/../etc", "Europe Berlin"] {
        let said = refused(with_window(json!({ "timeZone": bad })));
        assert!(said.starts_with("spec.capacity.floor[0].timeZone: write the name of a time zone"), "{said}");
    }
    for good in ["UTC", "Europe/Berlin", "Etc/GMT+5", "America/Port-au-Prince"] {
        stored(with_window(json!({ "timeZone": good })));
    }
}

#[test]
fn a_floor_is_bounded_by_the_most_shards_and_by_a_number_of_windows() {
    let many = refused(with_window(json!({ "shards": 31 })));
    assert!(
        many.starts_with("spec.capacity.floor: ") && many.contains("lower its shards or raise maxShards"),
        "{many}"
    );
    stored(with_window(json!({ "shards": 30 })));
    let window = with_window(json!({}))["capacity"]["floor"][0].clone();
    let floor = |windows| json!({ "capacity": { "floor": vec![window.clone(); windows] } });
    stored(floor(32));
    assert!(refused(floor(33)).contains("has 33 entries: write at most 32"));
}

#[test]
fn a_provisioned_stream_has_no_floor() {
    let mut spec = with_window(json!({}));
    spec["capacity"]["mode"] = json!("Provisioned");
    let said = refused(spec.clone());
    assert!(
        said.starts_with("spec.capacity.floor: ") && said.contains("set mode: OnDemand, or leave floor"),
        "{said}"
    );
    spec["capacity"]["floor"] = json!([]);
    stored(spec);
}

#[test]
fn a_time_zone_that_is_not_known_is_named_with_its_window_and_the_one_that_was_meant() {
    let said = |change: Value| {
        let spec = stored(with_window(change))["spec"].clone();
        let spec: StreamSpec = serde_json::from_value(spec).expect("what was admitted");
        spec.config().expect_err("no such zone").to_string()
    };
    assert_eq!(
        said(json!({ "timeZone": "Europe/Berln", "days": ["Mon"] })),
        "spec.capacity.floor[0].timeZone: the window Mon 08:00-18:00 Europe/Berln has no time zone that is known: did \
         you mean Europe/Berlin?"
    );
    assert!(
        said(json!({ "timeZone": "Nowhere_at_all" }))
            .ends_with("write the name of a time zone as the IANA database has it, such as Europe/Berlin")
    );
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
