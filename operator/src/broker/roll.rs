//! Which pod is to be replaced next, when a change asks for new ones.

use super::build::Component;
use super::pods::PodFacts;
use super::resolve::Live;

/// What to do about pods that are not as they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// All are as they should be, or Kubernetes is at work on them.
    Wait,
    /// This one is not ready anyway: replacing it costs nothing.
    ReplaceBroken(PodFacts),
    /// This one serves: it may go once the log has stored something on a majority.
    ReplaceServing(PodFacts),
}

/// One pod at a time: log servers before brokers, since brokers of a new version may ask for what servers of the old
/// one do not have; the highest number first, as Kubernetes does. While a pod of its component or a log server is
/// away, no pod that serves is replaced. Brokers that are away do not hold log servers back: they may wait for just
/// that change.
pub fn next(live: &Live, servers: i32, brokers: i32) -> Next {
    for (component, replicas) in [(Component::Log, servers), (Component::Broker, brokers)] {
        let Some(revision) = live.revision(component) else { return Next::Wait };
        let outdated =
            live.pods_of(component).filter(|pod| pod.revision != revision && pod.ordinal < replicas);
        let outdated: Vec<&PodFacts> = outdated.collect();
        let Some(last) = outdated.last() else { continue };
        if live.pods.iter().any(|pod| pod.ending) {
            return Next::Wait;
        }
        // A pod that can't come up as it was (its image can't be had) would stop the change that corrects it.
        if let Some(broken) = outdated.iter().rev().find(|pod| !pod.ready) {
            return Next::ReplaceBroken((*broken).clone());
        }
        let all_serve = |component, replicas: i32| {
            let ready = live.pods_of(component).filter(|pod| pod.ready && pod.ordinal < replicas);
            ready.count() == usize::try_from(replicas).unwrap_or(usize::MAX)
        };
        let may = all_serve(Component::Log, servers)
            && (component == Component::Log || all_serve(Component::Broker, brokers));
        return if may { Next::ReplaceServing((*last).clone()) } else { Next::Wait };
    }
    Next::Wait
}

/// How many pods of a component are not of its newest revision.
pub fn outdated(live: &Live, component: Component) -> usize {
    let revision = live.revision(component);
    live.pods_of(component).filter(|pod| revision.is_some_and(|revision| pod.revision != revision)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};

    fn set(revision: &str) -> Option<StatefulSet> {
        let status = StatefulSetStatus { update_revision: Some(revision.into()), ..Default::default() };
        Some(StatefulSet { status: Some(status), ..Default::default() })
    }

    fn pod(component: Component, ordinal: i32, revision: &str, ready: bool) -> PodFacts {
        PodFacts {
            name: format!("{}-{ordinal}", component.label()),
            uid: String::new(),
            component,
            ordinal,
            revision: revision.into(),
            ready,
            ending: false,
            address: None,
            trouble: None,
            waits_for_volumes: false,
            said: None,
        }
    }

    fn live(log: [(&str, bool); 3], brokers: [(&str, bool); 2]) -> Live {
        let pods = (0..).zip(log).map(|(at, (revision, ready))| pod(Component::Log, at, revision, ready));
        let brokers = (0..).zip(brokers).map(|(at, (rev, ready))| pod(Component::Broker, at, rev, ready));
        Live { log: set("b"), brokers: set("b"), pods: pods.chain(brokers).collect(), ..Live::default() }
    }

    fn next_of(live: &Live) -> String {
        match next(live, 3, 2) {
            Next::Wait => "wait".to_owned(),
            Next::ReplaceBroken(pod) => format!("broken {}", pod.name),
            Next::ReplaceServing(pod) => format!("serving {}", pod.name),
        }
    }

    const NEW: (&str, bool) = ("b", true);
    const OLD: (&str, bool) = ("a", true);
    const NEW_AWAY: (&str, bool) = ("b", false);
    const OLD_AWAY: (&str, bool) = ("a", false);

    #[test]
    fn log_servers_are_replaced_before_brokers_and_the_last_one_first() {
        assert_eq!(next_of(&live([OLD; 3], [OLD; 2])), "serving log-2");
        assert_eq!(next_of(&live([OLD, OLD, NEW], [OLD; 2])), "serving log-1");
        assert_eq!(next_of(&live([NEW; 3], [OLD; 2])), "serving broker-1");
        assert_eq!(next_of(&live([NEW; 3], [NEW; 2])), "wait");
    }

    #[test]
    fn nothing_that_serves_is_replaced_while_another_pod_is_away() {
        assert_eq!(next_of(&live([OLD, OLD, NEW_AWAY], [OLD; 2])), "wait");
        assert_eq!(next_of(&live([NEW; 3], [OLD, NEW_AWAY])), "wait");
        assert_eq!(next_of(&live([NEW, NEW, NEW_AWAY], [OLD; 2])), "wait");
        let mut missing = live([OLD; 3], [OLD; 2]);
        missing.pods.remove(0);
        assert_eq!(next_of(&missing), "wait");
        let mut ending = live([OLD; 3], [OLD; 2]);
        ending.pods[4].ending = true;
        assert_eq!(next_of(&ending), "wait");
    }

    #[test]
    fn brokers_that_wait_for_the_log_do_not_hold_it_back() {
        assert_eq!(next_of(&live([OLD; 3], [OLD_AWAY, NEW_AWAY])), "serving log-2");
    }

    #[test]
    fn an_outdated_pod_that_does_not_serve_is_replaced_first() {
        assert_eq!(next_of(&live([OLD, OLD_AWAY, OLD], [OLD; 2])), "broken log-1");
        assert_eq!(next_of(&live([OLD_AWAY, OLD, NEW_AWAY], [OLD; 2])), "broken log-0");
        assert_eq!(next_of(&live([NEW; 3], [OLD_AWAY, OLD])), "broken broker-0");
    }

    #[test]
    fn nothing_is_decided_before_kubernetes_has_seen_the_change() {
        let mut live = live([OLD; 3], [OLD; 2]);
        live.log.as_mut().expect("it is there").metadata.generation = Some(2);
        assert_eq!(next_of(&live), "wait");
    }
}
