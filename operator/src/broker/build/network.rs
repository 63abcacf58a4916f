//! How pods are reached, by whom, and how many may be away at once.

use millrace_crds::broker::ServiceType;
use serde_json::{Value, json};

use super::super::names::{ADMIN_PORT, API_PORT, KEEPER_PORT, NATS_PORT, Names, PEER_PORT, ROUTE_PORT};
use super::{Component, Plan};
use crate::apply::Desired;

pub(super) fn objects(plan: &Plan<'_>) -> Vec<Desired> {
    let (log, brokers) = (plan.names.log(), plan.names.brokers());
    vec![
        headless(plan, &log, Component::Log, json!([port("nats", NATS_PORT), port("route", ROUTE_PORT)])),
        headless(plan, &brokers, Component::Broker, json!([port("peers", PEER_PORT)])),
        api(plan),
        disruption_budget(plan, &log, Component::Log),
        disruption_budget(plan, &brokers, Component::Broker),
        log_policy(plan),
        broker_policy(plan),
    ]
}

fn port(name: &str, number: u16) -> Value {
    json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP"})
}

/// Names for the pods. Servers find each other before they are ready.
fn headless(plan: &Plan<'_>, name: &str, component: Component, ports: Value) -> Desired {
    Desired::new(
        "",
        "v1",
        "Service",
        json!({
            "metadata": plan.metadata(name, Some(component)),
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": true,
                "selector": plan.selector(component),
                "ports": ports,
            },
        }),
    )
}

fn api(plan: &Plan<'_>) -> Desired {
    let service = &plan.broker.spec.service;
    let type_ = match service.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let mut metadata = plan.metadata(&plan.names.api(), Some(Component::Broker));
    if !service.annotations.is_empty() {
        metadata["annotations"] = json!(service.annotations);
    }
    let mut port = json!({"name": Names::api_port(service), "port": service.port, "targetPort": API_PORT, "protocol": "TCP"});
    if let Some(number) = service.node_port {
        port["nodePort"] = json!(number);
    }
    Desired::new(
        "",
        "v1",
        "Service",
        json!({
            "metadata": metadata,
            "spec": {"type": type_, "selector": plan.selector(Component::Broker), "ports": [port]},
        }),
    )
}

fn disruption_budget(plan: &Plan<'_>, name: &str, component: Component) -> Desired {
    Desired::new(
        "policy",
        "v1",
        "PodDisruptionBudget",
        json!({
            "metadata": plan.metadata(name, Some(component)),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": plan.selector(component)},
                // A pod that is not ready serves nobody: it shall not hold a node back for ever.
                "unhealthyPodEvictionPolicy": match component {
                    Component::Log => "IfHealthyBudget",
                    Component::Broker => "AlwaysAllow",
                },
            },
        }),
    )
}

/// Only brokers of this Broker, its log servers and the operator reach nats-server.
fn log_policy(plan: &Plan<'_>) -> Desired {
    let log = json!({"podSelector": {"matchLabels": plan.selector(Component::Log)}});
    let brokers = json!({"podSelector": {"matchLabels": plan.selector(Component::Broker)}});
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": plan.settings.namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
    });
    policy(
        plan,
        &plan.names.log(),
        Component::Log,
        json!([
            {"from": [brokers, operator], "ports": [tcp(NATS_PORT)]},
            {"from": [log], "ports": [tcp(NATS_PORT), tcp(ROUTE_PORT)]},
            {"ports": [tcp(KEEPER_PORT)]},
        ]),
    )
}

/// Everybody reaches the APIs, where SigV4 decides; only brokers reach brokers.
fn broker_policy(plan: &Plan<'_>) -> Desired {
    let brokers = json!({"podSelector": {"matchLabels": plan.selector(Component::Broker)}});
    policy(
        plan,
        &plan.names.brokers(),
        Component::Broker,
        json!([
            {"from": [brokers], "ports": [tcp(PEER_PORT)]},
            {"ports": [tcp(API_PORT), tcp(ADMIN_PORT)]},
        ]),
    )
}

fn tcp(port: u16) -> Value {
    json!({"port": port, "protocol": "TCP"})
}

fn policy(plan: &Plan<'_>, name: &str, component: Component, ingress: Value) -> Desired {
    Desired::new(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        json!({
            "metadata": plan.metadata(name, Some(component)),
            "spec": {
                "podSelector": {"matchLabels": plan.selector(component)},
                "policyTypes": ["Ingress"],
                "ingress": ingress,
            },
        }),
    )
}
