//! Every rule of the definitions, broken by kubectl: what a person reads is the rule's own message.

use std::collections::BTreeSet;

use anyhow::Result;
use millrace_e2e::{Namespace, in_namespace, output};
use serde_json::{Value, json};

/// One rule, broken.
struct Case {
    kind: &'static str,
    name: String,
    /// What is there before, for a rule on changes.
    old: Option<Value>,
    new: Value,
    /// The beginning of the rule's message.
    says: &'static str,
}

fn made(kind: &'static str, new: Value, says: &'static str) -> Case {
    Case { kind, name: "refused".to_owned(), old: None, new, says }
}

fn named(kind: &'static str, name: &str, says: &'static str) -> Case {
    Case { kind, name: name.to_owned(), old: None, new: json!({}), says }
}

fn changed(kind: &'static str, old: Value, new: Value, says: &'static str) -> Case {
    Case { kind, name: "there".to_owned(), old: Some(old), new, says }
}

/// A Broker that no node takes: it is there, and costs nothing.
fn idle(log: Value) -> Value {
    let mut log = log;
    log["scheduling"] = json!({"nodeSelector": {"millrace.dev/none": "such"}});
    json!({"log": log, "scheduling": log["scheduling"], "replicas": 1})
}

fn cases() -> Vec<Case> {
    let storage = |storage: Value| idle(json!({"storage": storage}));
    let capacity = |capacity: Value| json!({"capacity": capacity});
    let window = |field: &str, value: Value| {
        let mut window = json!({"start": "08:00", "end": "18:00", "shards": 20});
        window[field] = value;
        json!({"floor": [window]})
    };
    vec![
        named("Broker", &"b".repeat(41), "give the Broker a name of at most 40 characters"),
        named("Broker", "1st", "give the Broker a name that begins with a letter"),
        made("Broker", json!({"log": {"servers": 4}}), "write 1, 3 or 5"),
        made("Broker", json!({"log": {"replicas": 2}}), "write 1 or 3"),
        made("Broker", json!({"log": {"servers": 1}}), "each replica needs a server of its own"),
        made(
            "Broker",
            json!({"log": {"storage": {"size": "1Mi"}}}),
            "write a size of whole bytes, 1Gi to 1Pi",
        ),
        made(
            "Broker",
            json!({"log": {"storage": {"storageClassName": "Fast SSD"}}}),
            "write the name of a storage class",
        ),
        made(
            "Broker",
            json!({"service": {"annotations": {"millrace.dev/applied": "x"}}}),
            "annotations of millrace.dev/ are the operator's own",
        ),
        made("Broker", json!({"service": {"nodePort": 30999}}), "a ClusterIP Service has no port on nodes"),
        made(
            "Broker",
            json!({"service": {"tls": {"secretName": "other/orders-tls"}}}),
            "write the name of a Secret of this namespace",
        ),
        changed(
            "Broker",
            idle(json!({"servers": 5})),
            idle(json!({"servers": 3})),
            "a server that goes takes replicas",
        ),
        changed(
            "Broker",
            idle(json!({"servers": 1, "replicas": 1})),
            idle(json!({"servers": 3, "replicas": 1})),
            "a single server keeps its streams",
        ),
        changed(
            "Broker",
            storage(json!({"size": "2Gi"})),
            storage(json!({"size": "1Gi"})),
            "a volume can grow but not shrink",
        ),
        changed(
            "Broker",
            storage(json!({"storageClassName": "standard"})),
            storage(json!({"storageClassName": "growing"})),
            "a volume keeps its storage class",
        ),
        named("Stream", &"s".repeat(129), "set spec.streamName"),
        made(
            "Stream",
            json!({"brokerRef": {"name": "other/default"}}),
            "write the name of a Broker of this namespace",
        ),
        made("Stream", json!({"quota": "1Mi"}), "write a quota of whole bytes, 64Mi to 1Pi"),
        made("Stream", json!({"maxRecordSize": "11Mi"}), "write whole bytes of 1Mi to 10Mi"),
        made("Stream", json!({"retention": "1h"}), "write a retention of 24h to 8760h"),
        made(
            "Stream",
            capacity(json!({"targetPerShard": {"bytesPerSecond": "2Gi"}})),
            "write whole bytes a second",
        ),
        made("Stream", capacity(json!({"minShards": 9, "maxShards": 8})), "minShards is above maxShards"),
        made("Stream", capacity(json!({"minShards": 8})), "a stream can't begin with fewer shards"),
        made("Stream", capacity(json!({"maxShards": 2})), "a stream can't begin with more shards"),
        made(
            "Stream",
            capacity(json!({"mode": "Provisioned", "autoscaling": "Apply"})),
            "a Provisioned stream has the shards it was given",
        ),
        made(
            "Stream",
            capacity(json!({"mode": "Provisioned", "floor": window("shards", json!(20))["floor"]})),
            "a floor is for streams whose shards follow their load",
        ),
        made(
            "Stream",
            capacity(window("shards", json!(2_000))),
            "a window of the floor asks for more shards than maxShards",
        ),
        made("Stream", capacity(window("start", json!("8:00"))), "write a time of day as hours and minutes"),
        made("Stream", capacity(window("timeZone", json!("+02:00"))), "write the name of a time zone"),
        changed("Stream", json!({}), json!({"streamName": "other"}), "a stream's name stays"),
        changed(
            "Stream",
            json!({}),
            json!({"brokerRef": {"name": "other"}}),
            "a stream's records lie in its Broker's log",
        ),
    ]
}

/// The messages of all rules of a schema.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let rules = fields.get("x-kubernetes-validations").and_then(Value::as_array);
            for rule in rules.into_iter().flatten() {
                found.extend(rule["message"].as_str().map(str::to_owned));
            }
            fields.values().for_each(|field| messages(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

fn object(case: &Case, spec: &Value) -> String {
    json!({
        "apiVersion": "millrace.dev/v1alpha1",
        "kind": case.kind,
        "metadata": {"name": case.name},
        "spec": spec,
    })
    .to_string()
}

/// What kubectl says of an object that is refused.
async fn refusal(namespace: &Namespace, object: &str) -> Result<String> {
    let tried =
        output(namespace.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"]), object).await;
    let error = tried.expect_err(object);
    Ok(format!("{error:#}"))
}

#[test]
fn each_rule_has_a_case_here() {
    let mut rules = BTreeSet::new();
    for definition in millrace_crds::definitions() {
        messages(&json!(definition), &mut rules);
    }
    let cases = cases();
    let untested: Vec<_> =
        rules.iter().filter(|rule| !cases.iter().any(|case| rule.starts_with(case.says))).collect();
    assert!(untested.is_empty(), "no case for {untested:#?}");
    let unknown: Vec<_> = cases
        .iter()
        .map(|case| case.says)
        .filter(|says| !rules.iter().any(|rule| rule.starts_with(says)))
        .collect();
    assert!(unknown.is_empty(), "no rule says {unknown:#?}");
}

#[tokio::test]
async fn kubectl_says_what_to_do_where_a_rule_is_broken() -> Result<()> {
    in_namespace("refused", async |namespace| {
        namespace.cluster.install().await?;
        for case in cases() {
            if let Some(old) = &case.old {
                namespace.apply(&object(&case, old)).await?;
            }
            let said = refusal(namespace, &object(&case, &case.new)).await?;
            assert!(said.contains(case.says), "{} {:?}: {said}", case.kind, case.new);
            if case.old.is_some() {
                let kind = format!("{}.millrace.dev", case.kind.to_lowercase());
                output(namespace.kubectl(&["delete", &kind, &case.name, "--timeout=120s"]), "").await?;
            }
        }
        // What the schema alone forbids is named by its path.
        let none = json!({"capacity": {"shards": 0}});
        let said = refusal(namespace, &object(&made("Stream", json!({}), ""), &none)).await?;
        assert!(said.contains("spec.capacity.shards"), "{said}");
        let elsewhere = json!({"brokerRef": {"name": "default", "namespace": "other"}});
        let said = refusal(namespace, &object(&made("Stream", json!({}), ""), &elsewhere)).await?;
        assert!(said.contains("namespace"), "{said}");
        Ok(())
    })
    .await
}
