//! The objects that a Broker consists of. Pure, and can't fail: the API server has checked the Broker.

mod access;
mod brokers;
mod log;
mod nats_config;
mod network;
mod pod;
#[cfg(test)]
mod tests;

pub use access::root_access_key;
pub use nats_config::capacity_bytes;

use millrace_crds::Broker;
use serde_json::{Value, json};

use super::names::Names;
use crate::apply::{Desired, FIELD_MANAGER, INSTANCE, MANAGED_BY};
use crate::settings::Settings;

/// What objects are built from.
pub struct Plan<'a> {
    /// The Broker.
    pub broker: &'a Broker,
    /// What its objects are called.
    pub names: Names,
    /// What the operator was told.
    pub settings: &'a Settings,
    /// The size that claims of the present log StatefulSet ask for: Kubernetes lets nobody change that, so that
    /// volumes grow by their claims.
    pub claimed_size: Option<String>,
}

/// A part of a Broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// nats-servers.
    Log,
    /// Brokers.
    Broker,
}

impl Component {
    /// The value of the label `app.kubernetes.io/component`.
    pub fn label(self) -> &'static str {
        match self {
            Component::Log => "log",
            Component::Broker => "broker",
        }
    }
}

impl Plan<'_> {
    /// Every object but Secrets, in the order in which they are applied: what pods need comes before the pods. A
    /// crash in between leaves some as they were; the next round finds which.
    pub fn objects(&self) -> Vec<Desired> {
        let mut objects = vec![nats_config::config_map(self)];
        objects.extend(access::objects(self));
        objects.extend(network::objects(self));
        objects.push(log::stateful_set(self));
        objects.push(brokers::stateful_set(self));
        objects
    }

    /// The metadata of an object of this Broker, which goes when the Broker goes.
    pub(in crate::broker) fn metadata(&self, name: &str, component: Option<Component>) -> Value {
        json!({
            "name": name,
            "namespace": self.names.namespace,
            "labels": self.labels(component),
            "ownerReferences": [{
                "apiVersion": millrace_crds::API_VERSION,
                "kind": "Broker",
                "name": self.names.broker,
                "uid": self.broker.metadata.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        })
    }

    pub(in crate::broker) fn labels(&self, component: Option<Component>) -> Value {
        let mut labels = json!({
            "app.kubernetes.io/name": "millrace",
            INSTANCE: self.names.broker,
            MANAGED_BY: FIELD_MANAGER,
        });
        if let Some(component) = component {
            labels["app.kubernetes.io/component"] = json!(component.label());
        }
        labels
    }

    /// What selects the pods of a component.
    fn selector(&self, component: Component) -> Value {
        json!({
            "app.kubernetes.io/name": "millrace",
            INSTANCE: self.names.broker,
            "app.kubernetes.io/component": component.label(),
        })
    }
}
