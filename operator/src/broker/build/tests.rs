//! What is built, looked at as the API server would.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use millrace_crds::Broker;
use millrace_crds::broker::BrokerSpec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn broker(spec: Value) -> Broker {
    let spec: BrokerSpec = serde_json::from_value(spec).expect("a spec");
    let mut broker = Broker::new("main", spec);
    broker.metadata.namespace = Some("shop".into());
    broker.metadata.uid = Some("uid-1".into());
    broker
}

fn objects(broker: &Broker) -> Vec<Desired> {
    objects_with(broker, &Settings::default())
}

fn objects_with(broker: &Broker, settings: &Settings) -> Vec<Desired> {
    Plan { broker, names: Names::of(broker), settings, claimed_size: None }.objects()
}

fn find<'a>(objects: &'a [Desired], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| (object.kind(), object.name()) == (kind, name));
    &found.unwrap_or_else(|| panic!("there is no {kind} {name}")).object
}

fn pod_spec(objects: &[Desired], name: &str) -> PodSpec {
    let spec = find(objects, "StatefulSet", name)["spec"]["template"]["spec"].clone();
    serde_json::from_value(spec).expect("a pod's spec")
}

/// Every field is one that Kubernetes knows, in its form.
fn is_known<K: DeserializeOwned + Serialize>(object: &Desired) {
    let mut typed = serde_json::from_value::<K>(object.object.clone())
        .map(|typed| serde_json::to_value(typed).expect("it is JSON"))
        .unwrap_or_else(|error| panic!("{} {}: {error}", object.kind(), object.name()));
    let fields = typed.as_object_mut().expect("an object");
    fields.retain(|key, _| key != "apiVersion" && key != "kind");
    assert_eq!(typed, object.object, "{} {}", object.kind(), object.name());
}

const LARGE: &str = r#"{
    "log": {"servers": 3, "replicas": 3, "storage": {"size": "50Gi", "storageClassName": "fast"},
            "resources": {"limits": {"memory": "4Gi"}}},
    "replicas": 3, "durability": "Relaxed",
    "resources": {"requests": {"cpu": "1"}},
    "scheduling": {"nodeSelector": {"disk": "ssd"},
                   "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                   "affinity": {"nodeAffinity": {}},
                   "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]},
    "service": {"type": "LoadBalancer", "port": 443, "nodePort": 30566, "annotations": {"a": "b"},
                "tls": {"secretName": "shop-tls"}}
}"#;

fn large() -> Broker {
    broker(serde_json::from_str(LARGE).expect("JSON"))
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    for broker in [broker(json!({})), large()] {
        for object in objects(&broker) {
            match object.kind() {
                "ConfigMap" => is_known::<ConfigMap>(&object),
                "ServiceAccount" => is_known::<ServiceAccount>(&object),
                "RoleBinding" => is_known::<RoleBinding>(&object),
                "Service" => is_known::<Service>(&object),
                "PodDisruptionBudget" => is_known::<PodDisruptionBudget>(&object),
                "NetworkPolicy" => is_known::<NetworkPolicy>(&object),
                "StatefulSet" => is_known::<StatefulSet>(&object),
                kind => panic!("{kind} is not looked at"),
            }
        }
    }
}

#[test]
fn every_object_belongs_to_its_broker_and_lies_in_its_namespace() {
    for object in objects(&large()) {
        let metadata = &object.object["metadata"];
        assert_eq!(metadata["namespace"], "shop");
        assert_eq!(metadata["ownerReferences"][0]["uid"], "uid-1");
        assert_eq!(metadata["labels"][INSTANCE], "main");
        assert!(object.name().starts_with("main-"), "{}", object.name());
    }
}

#[test]
fn pods_are_restricted_as_pod_security_wants_them() {
    let objects = objects(&large());
    for name in ["main-log", "main-broker"] {
        let pod = pod_spec(&objects, name);
        let security = pod.security_context.expect("a pod's security context");
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.seccomp_profile.map(|profile| profile.type_), Some("RuntimeDefault".into()));
        for container in pod.containers {
            let security = container.security_context.expect("a container's security context");
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.capabilities.and_then(|all| all.drop), Some(vec!["ALL".into()]));
            assert_eq!(security.privileged, None);
        }
    }
}

#[test]
fn only_brokers_may_talk_to_the_api_server() {
    let objects = objects(&large());
    assert_eq!(pod_spec(&objects, "main-log").automount_service_account_token, Some(false));
    let broker = pod_spec(&objects, "main-broker");
    assert_eq!(broker.service_account_name.as_deref(), Some("main-broker"));
    let binding = find(&objects, "RoleBinding", "main-broker");
    assert_eq!(binding["roleRef"]["name"], "millrace-broker");
    assert_eq!(binding["subjects"][0]["namespace"], "shop");
}

#[test]
fn the_log_is_synced_unless_it_is_relaxed() {
    let text = |broker: &Broker| {
        let objects = objects(broker);
        find(&objects, "ConfigMap", "main-log")["data"]["nats-server.conf"].as_str().unwrap_or("").to_owned()
    };
    let synced = text(&broker(json!({})));
    assert!(synced.contains("sync_interval: always"), "{synced}");
    assert!(text(&large()).contains("sync_interval: 2m"));
    // 85 % of 20Gi.
    assert!(synced.contains("max_file_store: 18253610940"), "{synced}");
    assert!(synced.contains("verify: true"), "{synced}");
    assert!(synced.contains("\"tls://main-log-2.main-log.shop.svc:6222\""), "{synced}");
    assert!(synced.contains("http: \"127.0.0.1:8222\""), "{synced}");
}

#[test]
fn a_single_log_server_is_no_cluster() {
    let objects = objects(&broker(json!({"log": {"servers": 1, "replicas": 1}})));
    let text = find(&objects, "ConfigMap", "main-log")["data"]["nats-server.conf"].to_string();
    assert!(!text.contains("cluster"), "{text}");
}

#[test]
fn another_configuration_makes_other_pods_and_the_same_makes_the_same() {
    let template =
        |broker: &Broker| find(&objects(broker), "StatefulSet", "main-log")["spec"]["template"].clone();
    let plain = broker(json!({}));
    assert_eq!(template(&plain), template(&plain.clone()));
    assert_ne!(template(&plain), template(&broker(json!({"durability": "Relaxed"}))));
    assert_ne!(template(&plain), template(&broker(json!({"log": {"storage": {"size": "30Gi"}}}))));
    // The brokers do not mind.
    let brokers = |broker: &Broker| find(&objects(broker), "StatefulSet", "main-broker").clone();
    assert_eq!(brokers(&plain), brokers(&broker(json!({"durability": "Relaxed"}))));
}

#[test]
fn what_the_user_says_of_pods_and_services_is_done() {
    let objects = objects(&large());
    let brokers = pod_spec(&objects, "main-broker");
    assert_eq!(brokers.node_selector.expect("a selector")["disk"], "ssd");
    assert_eq!(brokers.tolerations.map(|all| all.len()), Some(1));
    assert_eq!(brokers.topology_spread_constraints.expect("constraints")[0].topology_key, "rack");
    let api = find(&objects, "Service", "main-api");
    assert_eq!(api["spec"]["type"], "LoadBalancer");
    assert_eq!(api["spec"]["ports"][0]["port"], 443);
    assert_eq!(api["spec"]["ports"][0]["nodePort"], 30566);
    assert_eq!(api["metadata"]["annotations"]["a"], "b");
    let log = pod_spec(&objects, "main-log");
    let environment = log.containers[0].env.clone().unwrap_or_default();
    let limit =
        environment.iter().find(|variable| variable.name == "GOMEMLIMIT").and_then(|v| v.value.clone());
    // 80 % of 4Gi.
    assert_eq!(limit.as_deref(), Some("3435973836"));
}

#[test]
fn clients_are_shown_the_certificate_of_the_users_secret() {
    let objects = objects(&large());
    let brokers = pod_spec(&objects, "main-broker");
    let container = &brokers.containers[0];
    let args = container.args.clone().unwrap_or_default();
    for flag in ["--tls-cert=/etc/millrace/client-tls/tls.crt", "--tls-key=/etc/millrace/client-tls/tls.key"]
    {
        assert!(args.iter().any(|arg| arg == flag), "{args:?}");
    }
    let mounts = container.volume_mounts.clone().unwrap_or_default();
    let mount = mounts.iter().find(|mount| mount.mount_path == "/etc/millrace/client-tls").expect("a mount");
    let volume = brokers.volumes.unwrap_or_default().into_iter().find(|volume| volume.name == mount.name);
    let secret = volume.and_then(|volume| volume.secret).expect("a Secret");
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("shop-tls"), None));
    let api = &find(&objects, "Service", "main-api")["spec"]["ports"][0];
    assert_eq!((&api["name"], &api["targetPort"]), (&json!("https-api"), &json!(4566)));
    assert_eq!(container.ports.as_ref().expect("ports")[0].name.as_deref(), Some("https-api"));
    let (names, settings) = (Names::of(&large()), Settings::default());
    let endpoint = names.endpoint(&large().spec.service, &settings);
    assert_eq!(endpoint, "https://main-api.shop.svc.cluster.local:443");
    let plain = broker(json!({}));
    assert!(names.endpoint(&plain.spec.service, &settings).starts_with("http://"));
}

#[test]
fn claims_of_a_set_that_is_there_ask_for_what_they_asked_for() {
    let broker = large();
    let settings = Settings::default();
    let claimed_size = Some("10Gi".to_owned());
    let objects =
        Plan { broker: &broker, names: Names::of(&broker), settings: &settings, claimed_size }.objects();
    let claim = &find(&objects, "StatefulSet", "main-log")["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "10Gi");
    assert_eq!(claim["storageClassName"], "fast");
}

#[test]
fn only_brokers_and_the_operator_reach_the_log() {
    let objects = objects(&large());
    let policy = find(&objects, "NetworkPolicy", "main-log");
    let clients = &policy["spec"]["ingress"][0];
    assert_eq!(clients["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"], "broker");
    assert_eq!(
        clients["from"][1]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "millrace-system"
    );
    assert_eq!(clients["ports"][0]["port"], 4222);
}

#[test]
fn the_first_access_key_is_one_that_clients_take() {
    let names = Names { namespace: "shop".into(), broker: "main".into() };
    let secret = root_access_key(&names, json!({}), &[7; 36]);
    let value = |key: &str| secret["stringData"][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(value("AWS_ACCESS_KEY_ID"), "MILLHHHHHHHHHHHHHHHH");
    assert_eq!(value("AWS_SECRET_ACCESS_KEY").len(), 40);
    assert!(value("credentials").starts_with("[shop]\naws_access_key_id = MILL"));
    assert_ne!(secret, root_access_key(&names, json!({}), &[8; 36]));
}
