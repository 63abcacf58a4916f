//! What `millrace status` reads from a cluster. Parts that the user may not see are left out and said to be.

use anyhow::anyhow;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use millrace_crds::admission::nearest;
use millrace_crds::{Broker, Stream};
use serde::de::DeserializeOwned;

use super::broker::BrokerPicture;
use super::events::is_about;
use super::stream::StreamPicture;
use crate::kubernetes::{Asked, Cluster, Seen, explain, is_absent, named, no_stream, seen};

/// All objects of a kind in one namespace, or in all of them.
pub async fn list<K>(cluster: &Cluster, resource: &str, namespace: Option<&str>) -> anyhow::Result<Vec<K>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let asked = Asked { verb: "list", resource, name: None, namespace };
    let api = match namespace {
        Some(namespace) => Api::<K>::namespaced(cluster.api.clone(), namespace),
        None => Api::all(cluster.api.clone()),
    };
    Ok(api.list(&ListParams::default()).await.map_err(|error| explain(asked, &error))?.items)
}

/// A Stream, its Broker, and what happened to it.
pub(super) async fn stream(cluster: &Cluster, name: &str) -> anyhow::Result<StreamPicture> {
    let namespace = cluster.namespace.as_str();
    let streams: Vec<Stream> = list(cluster, "streams.millrace.dev", Some(namespace)).await?;
    let stream = named(&streams, name).ok_or_else(|| no_stream(&streams, name, namespace))?.clone();
    let broker = &stream.spec.broker_ref.name;
    let asked = Asked {
        verb: "get",
        resource: "brokers.millrace.dev",
        name: Some(broker),
        namespace: Some(namespace),
    };
    let found = Api::<Broker>::namespaced(cluster.api.clone(), namespace).get_opt(broker).await;
    let broker = seen(asked, found)?;
    let object = stream.name_any();
    let events = match events(cluster).await? {
        Seen::Yes(all) => {
            Seen::Yes(all.into_iter().filter(|event| is_about(event, "Stream", &object)).collect())
        }
        hidden @ Seen::Hidden(_) => hidden,
    };
    Ok(StreamPicture { stream, broker, events })
}

/// A Broker, what it is made of, and what happened to all of that.
pub(super) async fn broker(cluster: &Cluster, name: &str) -> anyhow::Result<BrokerPicture> {
    let namespace = cluster.namespace.as_str();
    let asked =
        Asked { verb: "get", resource: "brokers.millrace.dev", name: Some(name), namespace: Some(namespace) };
    let broker = match Api::<Broker>::namespaced(cluster.api.clone(), namespace).get(name).await {
        Ok(broker) => broker,
        Err(error) if is_absent(&error) => return Err(no_broker(cluster, name).await?),
        Err(error) => return Err(explain(asked, &error)),
    };
    let pods = parts::<Pod>(cluster, "pods", name).await?;
    let volumes = parts::<PersistentVolumeClaim>(cluster, "persistentvolumeclaims", name).await?;
    let events = match events(cluster).await? {
        Seen::Yes(all) => {
            let about = |event: &Event| is_about_broker(event, name, &pods, &volumes);
            Seen::Yes(all.into_iter().filter(about).collect())
        }
        hidden @ Seen::Hidden(_) => hidden,
    };
    Ok(BrokerPicture { broker, pods, volumes, events })
}

fn is_about_broker(
    event: &Event,
    name: &str,
    pods: &Seen<Vec<Pod>>,
    volumes: &Seen<Vec<PersistentVolumeClaim>>,
) -> bool {
    let any_pod = || pods.value().into_iter().flatten().any(|pod| is_about(event, "Pod", &pod.name_any()));
    let any_volume = || {
        let mut volumes = volumes.value().into_iter().flatten();
        volumes.any(|volume| is_about(event, "PersistentVolumeClaim", &volume.name_any()))
    };
    is_about(event, "Broker", name)
        || ["log", "broker"].iter().any(|part| is_about(event, "StatefulSet", &format!("{name}-{part}")))
        || any_pod()
        || any_volume()
}

async fn no_broker(cluster: &Cluster, name: &str) -> anyhow::Result<anyhow::Error> {
    let namespace = cluster.namespace.as_str();
    let brokers: Vec<Broker> = list(cluster, "brokers.millrace.dev", Some(namespace)).await?;
    let names: Vec<String> = brokers.iter().map(ResourceExt::name_any).collect();
    if names.is_empty() {
        return Ok(anyhow!("there is no Broker {name} in namespace {namespace}, nor any other: apply one"));
    }
    let meant = nearest(name, names.iter().map(String::as_str));
    let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
    Ok(anyhow!("there is no Broker {name} in namespace {namespace}; {hint}there are: {}", names.join(", ")))
}

/// What a Broker is made of, by its labels, in the order of names.
async fn parts<K>(cluster: &Cluster, resource: &str, broker: &str) -> anyhow::Result<Seen<Vec<K>>>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let namespace = cluster.namespace.as_str();
    let labels = format!("app.kubernetes.io/instance={broker},app.kubernetes.io/component in (log,broker)");
    let found = Api::<K>::namespaced(cluster.api.clone(), namespace)
        .list(&ListParams::default().labels(&labels))
        .await;
    let asked = Asked { verb: "list", resource, name: None, namespace: Some(namespace) };
    seen(asked, found.map(|list| list.items))
}

/// All events of the namespace: the API server keeps them for an hour, and orders them by name. They are read in
/// the core group, since the role `view` of Kubernetes allows that and not `events.k8s.io`.
async fn events(cluster: &Cluster) -> anyhow::Result<Seen<Vec<Event>>> {
    let namespace = cluster.namespace.as_str();
    let found = Api::<Event>::namespaced(cluster.api.clone(), namespace).list(&ListParams::default()).await;
    let asked = Asked { verb: "list", resource: "events", name: None, namespace: Some(namespace) };
    seen(asked, found.map(|list| list.items))
}
