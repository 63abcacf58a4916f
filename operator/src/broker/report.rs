//! What is said of a Broker in its status. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use millrace_crds::broker::{Broker, BrokerStatus, CertificateStatus};
use millrace_crds::condition::{self, Finding, Kind};

use super::build::Component;
use super::names::Names;
use super::pods::{PodFacts, Trouble};
use super::resolve::{Live, is_waiting};
use super::roll;
use crate::links::{Usage, VOLUME_FULL};
use crate::settings::Settings;

/// From here on a log is said to be full soon, in per cent.
pub const FULL_SOON_PERCENT: u64 = 75;
/// The annotation that makes a storage class the cluster's default.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What was found out about a Broker in one round.
pub struct Findings<'a> {
    /// The Broker.
    pub broker: &'a Broker,
    /// What is there of it.
    pub live: &'a Live,
    /// What keeps us from making it as it should be.
    pub problem: Option<Problem>,
    /// Whether the operator is connected to its log.
    pub linked: bool,
    /// How full its log is.
    pub usage: Option<Usage>,
    /// The certificates that were put into Secrets.
    pub certificates: Option<CertificateStatus>,
}

/// What keeps us from making a Broker as it should be; somebody has to help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence that says what to do.
    pub message: String,
}

/// Where a Broker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves as its spec says.
    Serving(String),
    /// It is on its way there.
    Underway(Problem),
    /// It will not get there by itself.
    Stuck(Problem),
}

/// Where a Broker stands: the first thing that is not as it should be.
pub fn state(found: &Findings<'_>, names: &Names, settings: &Settings) -> State {
    let spec = &found.broker.spec;
    let live = found.live;
    let stuck = |reason, message: String| State::Stuck(Problem { reason, message });
    let underway = |reason, message: String| State::Underway(Problem { reason, message });
    if let Some(problem) = &found.problem {
        return State::Stuck(problem.clone());
    }
    for claim in live.claims.iter().filter(|claim| is_waiting(claim)) {
        if let Some(message) = missing_class(claim, live.storage_classes.as_deref().unwrap_or_default()) {
            return stuck("StorageClassMissing", message);
        }
    }
    for pod in live.pods.iter().filter(|pod| !pod.ready) {
        match &pod.trouble {
            Some(Trouble::Unschedulable { why }) => {
                return underway("Unschedulable", format!("No node takes pod {}: {why}", pod.name));
            }
            Some(trouble) => return stuck(trouble_reason(trouble), trouble_message(pod, trouble)),
            None => {}
        }
    }
    if let Some(problem) = full_volume(live) {
        return State::Stuck(problem);
    }
    let ready = |component| live.pods_of(component).filter(|pod| pod.ready).count();
    let (servers, brokers) = (ready(Component::Log), ready(Component::Broker));
    if servers < usize::try_from(spec.log.servers).unwrap_or(0) {
        let mut message = format!("{servers} of {} log servers are ready.", spec.log.servers);
        for pod in &live.pods {
            if let Some(said) = &pod.said {
                message.push_str(&format!(" Of pod {} its keeper says: {said}", pod.name));
            }
        }
        return underway("LogStarting", message);
    }
    // An operator that has just begun is not connected as yet: that takes nothing from a Broker that serves.
    let served = condition::find(
        found.broker.status.as_ref().map_or(&[][..], |status| &status.conditions),
        Kind::Ready,
    )
    .is_some_and(|ready| ready.status == "True");
    if !found.linked && !served {
        return underway("Connecting", "The operator connects to the log servers.".to_owned());
    }
    if let Some(problem) = missing_certificate(found.broker, live) {
        return State::Underway(problem);
    }
    if brokers < usize::try_from(spec.replicas).unwrap_or(0) {
        return underway("BrokersStarting", format!("{brokers} of {} brokers are ready.", spec.replicas));
    }
    for component in [Component::Log, Component::Broker] {
        let outdated = roll::outdated(live, component);
        if outdated > 0 || live.revision(component).is_none() {
            let message = format!("Still to be replaced: {outdated} {} pods.", component.label());
            return underway("Rolling", message);
        }
    }
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    State::Serving(format!(
        "{} and {} serve at {}.",
        count(servers, "log server"),
        count(brokers, "broker"),
        names.endpoint(&spec.service, settings)
    ))
}

/// The status.
pub fn status(found: &Findings<'_>, names: &Names, settings: &Settings, now: &Time) -> BrokerStatus {
    let spec = &found.broker.spec;
    let generation = found.broker.metadata.generation.unwrap_or_default();
    let before = found.broker.status.clone().unwrap_or_default();
    let ready = |component| found.live.pods_of(component).filter(|pod| pod.ready).count();
    let mut conditions = before.conditions;
    let state = state(found, names, settings);
    let finding = match &state {
        State::Serving(message) => Finding { status: true, reason: "Serving", message: message.clone() },
        State::Underway(problem) | State::Stuck(problem) => problem.finding(false),
    };
    condition::set(&mut conditions, Kind::Ready, finding, generation, now);
    let (underway, stuck) = match state {
        State::Serving(_) => (None, None),
        State::Underway(problem) => (Some(problem), None),
        State::Stuck(problem) => (None, Some(problem)),
    };
    let abnormal = [
        (Kind::Reconciling, underway),
        (Kind::Stalled, stuck),
        (Kind::StorageFull, full_volume(found.live).or_else(|| full(found.usage))),
    ];
    for (kind, problem) in abnormal {
        match problem {
            Some(problem) => condition::set(&mut conditions, kind, problem.finding(true), generation, now),
            None => condition::clear(&mut conditions, kind),
        }
    }
    BrokerStatus {
        observed_generation: Some(generation),
        conditions,
        ready_log_servers: i32::try_from(ready(Component::Log)).ok(),
        ready_brokers: i32::try_from(ready(Component::Broker)).ok(),
        durability: Some(spec.durability),
        endpoint: Some(names.endpoint(&spec.service, settings)),
        access_key_secret: Some(names.root_access_key()),
        certificates: found.certificates.clone().or(before.certificates),
    }
}

impl Problem {
    fn finding(&self, status: bool) -> Finding {
        Finding { status, reason: self.reason, message: self.message.clone() }
    }
}

/// A log server whose volume is full, whatever its streams may hold: something else fills it, or it is smaller than
/// it was asked to be.
fn full_volume(live: &Live) -> Option<Problem> {
    live.pods.iter().find_map(|pod| {
        let left = pod.said.as_deref()?.strip_prefix(VOLUME_FULL)?;
        Some(Problem {
            reason: "VolumeFull",
            message: format!(
                "The volume of pod {} is full: {left}. Records are refused until there is room: raise \
                 spec.log.storage.size, or remove what else is stored there.",
                pod.name
            ),
        })
    })
}

/// In steps of five per cent, so that a status is not written anew with each record.
fn full(usage: Option<Usage>) -> Option<Problem> {
    let percent = usage.map(|usage| usage.percent()).filter(|percent| *percent >= FULL_SOON_PERCENT)?;
    Some(Problem {
        reason: "LogFull",
        message: format!(
            "The log servers are {} % full: raise spec.log.storage.size, or lower quotas and retention of Streams.",
            percent / 5 * 5
        ),
    })
}

/// A broker that waits for its volumes. Its status does not say for which, and all but one are the operator's own.
fn missing_certificate(broker: &Broker, live: &Live) -> Option<Problem> {
    let secret = &broker.spec.service.tls.as_ref()?.secret_name;
    let pod = live.pods_of(Component::Broker).find(|pod| pod.waits_for_volumes)?;
    Some(Problem {
        reason: "AwaitingCertificate",
        message: format!(
            "Pod {} waits for the certificate in Secret {secret}: if it stays so, this namespace has no such Secret, \
             or there is no tls.crt or no tls.key in it. Create it, or correct spec.service.tls.secretName.",
            pod.name
        ),
    })
}

/// Why a claim gets no volume, if it is for want of its storage class.
fn missing_class(claim: &PersistentVolumeClaim, classes: &[StorageClass]) -> Option<String> {
    let mut names: Vec<String> = classes.iter().map(ResourceExt::name_any).collect();
    names.sort();
    let there_are = match names.is_empty() {
        true => "the cluster has none".to_owned(),
        false => format!("the cluster has {}", names.join(", ")),
    };
    let asked = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    let claim = claim.name_any();
    match asked {
        Some("") => None,
        Some(class) if names.iter().any(|name| name == class) => None,
        Some(class) => Some(format!(
            "Volume {claim} waits for storage class {class}, which does not exist; {there_are}: create it, or \
             delete this Broker with --cascade=foreground, then pvc/{claim}, which stays, and make the Broker again \
             with another spec.log.storage.storageClassName."
        )),
        None if classes
            .iter()
            .any(|class| class.annotations().get(DEFAULT_CLASS).is_some_and(|is| is == "true")) =>
        {
            None
        }
        None => Some(format!(
            "Volume {claim} waits for the cluster's default storage class, and none is the default; {there_are}: \
             make one the default, or make this Broker again with spec.log.storage.storageClassName."
        )),
    }
}

fn trouble_reason(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Image { .. } => "ImageUnavailable",
        Trouble::Crash { .. } => "Crashing",
        Trouble::Container { .. } => "ContainerNotMade",
        Trouble::Unschedulable { .. } => "Unschedulable",
    }
}

fn trouble_message(pod: &PodFacts, trouble: &Trouble) -> String {
    let name = &pod.name;
    match trouble {
        Trouble::Image { image, why } => format!(
            "Pod {name} can't get its image {image}: {why}. Correct the image in the chart's values, or give the \
             nodes access to its registry."
        ),
        Trouble::Crash { container, why } => format!(
            "Container {container} of pod {name} ends again and again ({why}): kubectl logs {name} -c {container} \
             --previous tells why."
        ),
        Trouble::Container { why } => format!("A container of pod {name} can't be made: {why}."),
        Trouble::Unschedulable { why } => format!("No node takes pod {name}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_crds::BrokerSpec;
    use millrace_crds::broker::ServiceTls;

    fn log_pod(ordinal: i32, ready: bool, said: Option<&str>) -> PodFacts {
        PodFacts {
            name: format!("default-log-{ordinal}"),
            uid: String::new(),
            component: Component::Log,
            ordinal,
            revision: String::new(),
            ready,
            ending: false,
            address: None,
            trouble: None,
            waits_for_volumes: false,
            said: said.map(str::to_owned),
        }
    }

    fn status_of(pods: Vec<PodFacts>) -> BrokerStatus {
        status_of_spec(BrokerSpec::default(), pods)
    }

    fn status_of_spec(spec: BrokerSpec, pods: Vec<PodFacts>) -> BrokerStatus {
        let broker = Broker::new("default", spec);
        let live = Live { pods, ..Live::default() };
        let found = Findings {
            broker: &broker,
            live: &live,
            problem: None,
            linked: true,
            usage: None,
            certificates: None,
        };
        status(
            &found,
            &Names::of(&broker),
            &Settings::default(),
            &Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        )
    }

    #[test]
    fn a_full_volume_is_named_with_what_to_do() {
        let left = format!("{VOLUME_FULL}3 of 4096 MiB are left");
        let status =
            status_of(vec![log_pod(0, true, None), log_pod(1, false, Some(&left)), log_pod(2, true, None)]);
        for kind in [Kind::StorageFull, Kind::Stalled] {
            let found = condition::find(&status.conditions, kind).expect("it is said");
            assert_eq!(found.reason, "VolumeFull");
            assert!(
                found.message.starts_with("The volume of pod default-log-1 is full: 3 of 4096 MiB are left."),
                "{}",
                found.message
            );
        }
    }

    #[test]
    fn a_certificate_that_is_not_there_is_named_with_what_to_do() {
        let mut spec = BrokerSpec::default();
        spec.service.tls = Some(ServiceTls { secret_name: "shop-tls".into() });
        let mut pods: Vec<PodFacts> = (0..3).map(|ordinal| log_pod(ordinal, true, None)).collect();
        let waiting = PodFacts {
            name: "default-broker-0".into(),
            component: Component::Broker,
            waits_for_volumes: true,
            ..log_pod(0, false, None)
        };
        pods.push(waiting);
        let said = |spec: &BrokerSpec| {
            let status = status_of_spec(spec.clone(), pods.clone());
            let found = condition::find(&status.conditions, Kind::Reconciling).expect("it is said").clone();
            (found.reason, found.message)
        };
        let (reason, message) = said(&spec);
        assert_eq!(reason, "AwaitingCertificate");
        assert!(
            message.starts_with("Pod default-broker-0 waits for the certificate in Secret shop-tls: "),
            "{message}"
        );
        spec.service.tls = None;
        assert_eq!(said(&spec).0, "BrokersStarting");
    }

    #[test]
    fn what_a_keeper_says_stands_beside_the_count() {
        let said = "nats-server is not ready: JetStream is not current with the meta leader";
        let status =
            status_of(vec![log_pod(0, true, None), log_pod(1, true, None), log_pod(2, false, Some(said))]);
        let ready = condition::find(&status.conditions, Kind::Ready).expect("it is always there");
        assert_eq!(
            (ready.reason.as_str(), ready.message.as_str()),
            (
                "LogStarting",
                "2 of 3 log servers are ready. Of pod default-log-2 its keeper says: nats-server is not ready: \
                 JetStream is not current with the meta leader"
            )
        );
        assert!(condition::find(&status.conditions, Kind::StorageFull).is_none());
    }
}
