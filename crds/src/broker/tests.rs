use super::*;
use crate::admission::{Violation, admit};
use serde_json::{Value, json};

fn object(spec: Value) -> Value {
    json!({ "metadata": { "name": "default" }, "spec": spec })
}

fn stored(spec: Value) -> Value {
    admit("Broker", object(spec), None).expect("a spec that is in order")
}

fn refused(spec: Value) -> String {
    one(admit("Broker", object(spec), None))
}

fn refused_change(old: Value, new: Value) -> String {
    one(admit("Broker", object(new), Some(&stored(old))))
}

fn one(outcome: Result<Value, Vec<Violation>>) -> String {
    let violations = outcome.expect_err("a rule is broken");
    assert_eq!(violations.len(), 1, "{violations:?}");
    format!("{}: {}", violations[0].path, violations[0].message)
}

#[test]
fn an_empty_spec_is_the_default_of_the_types() {
    let spec: BrokerSpec =
        serde_json::from_value(stored(json!({}))["spec"].clone()).expect("our own defaults");
    assert_eq!(spec, BrokerSpec::default());
}

#[test]
fn servers_and_replicas_are_odd() {
    assert!(refused(json!({ "log": { "servers": 4 } })).contains("write 1, 3 or 5"));
    assert!(refused(json!({ "log": { "replicas": 2 } })).contains("write 1 or 3"));
    stored(json!({ "log": { "servers": 5, "replicas": 3 } }));
    stored(json!({ "log": { "servers": 1, "replicas": 1 } }));
}

#[test]
fn each_replica_has_a_server_of_its_own() {
    let said = refused(json!({ "log": { "servers": 1 } }));
    assert!(said.contains("raise servers or lower replicas"), "{said}");
}

#[test]
fn servers_are_only_added() {
    let fewer = refused_change(json!({ "log": { "servers": 5 } }), json!({ "log": { "servers": 3 } }));
    assert!(fewer.contains("servers can only be added"), "{fewer}");
    let more = admit("Broker", object(json!({ "log": { "servers": 5 } })), Some(&stored(json!({}))));
    assert!(more.is_ok(), "{more:?}");
}

#[test]
fn a_volume_grows_and_keeps_its_class() {
    let storage = |size: &str, class: Option<&str>| {
        let mut storage = json!({ "size": size });
        if let Some(class) = class {
            storage["storageClassName"] = json!(class);
        }
        json!({ "log": { "storage": storage } })
    };
    assert!(refused_change(storage("20Gi", None), storage("10Gi", None)).contains("can grow but not shrink"));
    assert!(
        refused_change(storage("20Gi", Some("a")), storage("20Gi", Some("b")))
            .contains("keeps its storage class")
    );
    assert!(
        refused_change(storage("20Gi", Some("a")), storage("20Gi", None)).contains("keeps its storage class")
    );
    let grown =
        admit("Broker", object(storage("40Gi", Some("a"))), Some(&stored(storage("20Gi", Some("a")))));
    assert!(grown.is_ok(), "{grown:?}");
    assert!(refused(storage("1Mi", None)).contains("1Gi to 1Pi"));
}

#[test]
fn a_long_name_is_refused() {
    let mut long = object(json!({}));
    long["metadata"]["name"] = json!("b".repeat(41));
    assert!(one(admit("Broker", long, None)).contains("at most 40 characters"));
}

#[test]
fn a_name_that_no_service_can_have_is_refused() {
    for name in ["a.b", "1st"] {
        let mut object = object(json!({}));
        object["metadata"]["name"] = json!(name);
        assert!(one(admit("Broker", object, None)).contains("begins with a letter and has no dots"));
    }
}

#[test]
fn a_single_server_stays_single() {
    let one = json!({ "log": { "servers": 1, "replicas": 1 } });
    let said = refused_change(one, json!({ "log": { "servers": 3, "replicas": 1 } }));
    assert!(said.contains("make another Broker with more"), "{said}");
}

#[test]
fn a_port_on_nodes_needs_a_service_that_has_one() {
    let said = refused(json!({ "service": { "nodePort": 30566 } }));
    assert!(said.contains("set type: NodePort"), "{said}");
    stored(json!({ "service": { "type": "NodePort", "nodePort": 30566 } }));
}

#[test]
fn pods_are_placed_as_kubernetes_says_it() {
    let spec = stored(json!({
        "resources": { "requests": { "cpu": "500m", "memory": "1Gi" } },
        "scheduling": {
            "nodeSelector": { "disk": "fast" },
            "tolerations": [{ "key": "dedicated", "operator": "Exists", "effect": "NoSchedule" }],
            "topologySpreadConstraints": [
                { "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule" }
            ],
        },
        "service": { "type": "LoadBalancer", "port": 443, "annotations": { "a/b": "c" } },
    }));
    let spec: BrokerSpec = serde_json::from_value(spec["spec"].clone()).expect("what was admitted");
    assert_eq!(spec.scheduling.tolerations[0].key.as_deref(), Some("dedicated"));
    assert_eq!((spec.service.type_, spec.service.port), (ServiceType::LoadBalancer, 443));
}

#[test]
fn amounts_of_resources_are_amounts() {
    for amount in [json!("500m"), json!(2), json!("1.5Gi"), json!("2e9"), json!(".5")] {
        stored(json!({ "resources": { "requests": { "cpu": amount } } }));
    }
    for amount in ["much", "-1", "1 Gi", "", "1.5m5"] {
        let said = refused(json!({ "log": { "resources": { "limits": { "memory": amount } } } }));
        assert!(said.contains("such as 500m, 2 or 1Gi"), "{amount}: {said}");
    }
}

#[test]
fn a_storage_class_has_a_name_that_an_object_can_have() {
    let said = refused(json!({ "log": { "storage": { "storageClassName": "Fast SSD" } } }));
    assert!(said.contains("kubectl get storageclass"), "{said}");
}

#[test]
fn the_operators_own_annotations_are_left_to_it() {
    let said = refused(json!({ "service": { "annotations": { "millrace.dev/applied": "x" } } }));
    assert!(said.contains("leave them out"), "{said}");
}

#[test]
fn a_certificate_is_named_as_a_secret_of_this_namespace_is() {
    let tls = |name: &str| json!({ "service": { "tls": { "secretName": name } } });
    stored(tls("shop-tls"));
    stored(tls("shop.tls-2"));
    for name in ["other/shop-tls", "Shop", "-", "../x"] {
        assert!(refused(tls(name)).contains("write the name of a Secret of this namespace"), "{name}");
    }
    assert!(refused(json!({ "service": { "tls": {} } })).contains("secretName"));
}
