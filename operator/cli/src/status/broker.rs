//! One Broker in full. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use millrace_crds::Broker;

use super::events;
use super::stream::{conditions, next_steps};
use super::table::{age, fields, span, table};
use super::verdict::Said;
use crate::kubernetes::{Seen, is_ready};

/// What is drawn of a Broker.
pub(super) struct BrokerPicture {
    pub(super) broker: Broker,
    pub(super) pods: Seen<Vec<Pod>>,
    pub(super) volumes: Seen<Vec<PersistentVolumeClaim>>,
    pub(super) events: Seen<Vec<Event>>,
}

/// Draws it.
pub(super) fn draw(picture: &BrokerPicture, now: Timestamp) -> String {
    let broker = &picture.broker;
    let said = Said::from(broker);
    let namespace = broker.namespace().unwrap_or_default();
    let mut drawn = format!("Broker {} in namespace {namespace}: {}\n", broker.name_any(), said.word());
    drawn += &fields(&facts(broker, now));
    drawn += &conditions(said.conditions, now);
    drawn += &part("Pods", &picture.pods, |pods| pod_rows(pods, now));
    drawn += &part("Volumes", &picture.volumes, volume_rows);
    drawn += &events::draw(&picture.events, now);
    let mut steps = said.next();
    if !said.is_ready() {
        steps.extend(troubled(picture));
    }
    drawn + &next_steps(&steps)
}

fn facts(broker: &Broker, now: Timestamp) -> Vec<(&'static str, String)> {
    let (spec, status) = (&broker.spec, broker.status.clone().unwrap_or_default());
    let class = spec.log.storage.storage_class_name.as_ref();
    let class = class.map(|class| format!(" of class {class}")).unwrap_or_default();
    let mut facts = vec![
        ("Brokers", format!("{} of {} ready", status.ready_brokers.unwrap_or(0), spec.replicas)),
        ("Log servers", format!("{} of {} ready", status.ready_log_servers.unwrap_or(0), spec.log.servers)),
        (
            "Storage",
            format!(
                "{}{class} on each log server, records on {} of them",
                spec.log.storage.size, spec.log.replicas
            ),
        ),
        ("Durability", format!("{:?}", status.durability.unwrap_or(spec.durability))),
    ];
    facts.extend(status.endpoint.map(|endpoint| ("Endpoint", endpoint)));
    facts.extend(status.certificates.map(|certificates| {
        let left = certificates.expire_at.0.as_second() - now.as_second();
        let told = if left > 0 { format!("expire in {}", span(left)) } else { "have expired".to_owned() };
        (
            "Certificates",
            format!("{told} ({}), replaced from {}", certificates.expire_at.0, certificates.renew_at.0),
        )
    }));
    facts
}

/// A table of what could be seen, or why it could not.
fn part<T>(title: &str, seen: &Seen<Vec<T>>, draw: impl Fn(&[T]) -> String) -> String {
    match seen {
        Seen::Yes(found) if found.is_empty() => format!("\n{title}: none\n"),
        Seen::Yes(found) => format!("\n{title}\n{}", draw(found)),
        Seen::Hidden(why) => format!("\n{title}: not shown, {why}\n"),
    }
}

fn pod_rows(pods: &[Pod], now: Timestamp) -> String {
    let rows = pods.iter().map(|pod| {
        let containers = containers(pod);
        let ready = containers.iter().filter(|container| container.ready).count();
        let restarts: i32 = containers.iter().map(|container| container.restart_count).sum();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let phase = if pod.metadata.deletion_timestamp.is_some() { "Terminating".to_owned() } else { phase };
        vec![
            pod.name_any(),
            format!("{ready}/{}", pod.spec.as_ref().map_or(containers.len(), |spec| spec.containers.len())),
            phase,
            restarts.to_string(),
            pod.creation_timestamp().map(|time| age(time.0, now)).unwrap_or_default(),
            node.unwrap_or_else(|| "-".to_owned()),
            trouble(pod).unwrap_or_default(),
        ]
    });
    table(&["NAME", "READY", "PHASE", "RESTARTS", "AGE", "NODE", "REASON"], rows.collect())
}

fn containers(pod: &Pod) -> &[ContainerStatus] {
    let status = pod.status.as_ref();
    status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default()
}

/// Why a pod does not serve, in the words of whoever knows best: a container that can't start, one that has
/// ended, the scheduler, or its probe.
fn trouble(pod: &Pod) -> Option<String> {
    if is_ready(pod) {
        return None;
    }
    let told = |reason: Option<&String>, message: Option<&String>| {
        let parts: Vec<&str> = [reason, message].into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    };
    for container in containers(pod) {
        let state = container.state.as_ref();
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            return told(waiting.reason.as_ref(), waiting.message.as_ref());
        }
        if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
            let reason = ended.reason.clone().unwrap_or_else(|| "Ended".to_owned());
            return Some(format!(
                "{reason}: container {} ended with code {}",
                container.name, ended.exit_code
            ));
        }
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let failing = ["PodScheduled", "ContainersReady", "Ready"]
        .iter()
        .find_map(|kind| conditions.iter().find(|it| it.type_ == *kind && it.status != "True"));
    failing.and_then(|it| told(it.reason.as_ref(), it.message.as_ref()))
}

fn volume_rows(volumes: &[PersistentVolumeClaim]) -> String {
    let rows = volumes.iter().map(|volume| {
        let (spec, status) = (volume.spec.as_ref(), volume.status.as_ref());
        let phase = status.and_then(|status| status.phase.clone()).unwrap_or_default();
        let size = status.and_then(|status| status.capacity.as_ref()?.get("storage").cloned());
        let wanted =
            spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage").cloned());
        let size = match (size, wanted) {
            (Some(size), Some(wanted)) if size != wanted => format!("{} (wants {})", size.0, wanted.0),
            (Some(size), _) | (None, Some(size)) => size.0,
            (None, None) => String::new(),
        };
        let class = spec.and_then(|spec| spec.storage_class_name.clone()).unwrap_or_else(|| "-".to_owned());
        vec![volume.name_any(), phase, size, class]
    });
    table(&["NAME", "PHASE", "SIZE", "CLASS"], rows.collect())
}

/// Commands that tell more of the first pod that does not serve, and of the first volume that isn't there.
fn troubled(picture: &BrokerPicture) -> Vec<String> {
    let namespace = picture.broker.namespace().unwrap_or_default();
    let pods = picture.pods.value().map(Vec::as_slice).unwrap_or_default();
    let volumes = picture.volumes.value().map(Vec::as_slice).unwrap_or_default();
    let pod = pods.iter().find(|pod| !is_ready(pod)).map(|pod| {
        let name = pod.name_any();
        if containers(pod).iter().any(|container| container.restart_count > 0) {
            format!("See why it ended: `kubectl logs {name} -n {namespace} --all-containers --previous`.")
        } else {
            format!("See what holds it: `kubectl describe pod {name} -n {namespace}`.")
        }
    });
    let unbound = |volume: &&PersistentVolumeClaim| {
        volume.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound")
    };
    let volume = volumes.iter().find(unbound).map(|volume| {
        format!("See why there is no volume: `kubectl describe pvc {} -n {namespace}`.", volume.name_any())
    });
    pod.into_iter().chain(volume).collect()
}
