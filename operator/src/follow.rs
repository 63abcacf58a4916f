//! Which Brokers come, change and go: connections to their logs go with them, and Streams wait for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use millrace_crds::Broker;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::broker::Names;
use crate::context::Context;
use crate::links::Changed;

/// How many Brokers are remembered that are gone.
const GONE_KEPT: usize = 1_000;

/// The Brokers that were seen to go, by their uids: the last thousand. A round that began before may end after that.
#[derive(Clone, Default)]
pub(crate) struct Gone(Arc<Mutex<VecDeque<String>>>);

impl Gone {
    fn note(&self, uid: String) {
        let mut uids = self.0.lock();
        if uids.len() == GONE_KEPT {
            uids.pop_front();
        }
        uids.push_back(uid);
    }

    pub(crate) fn has(&self, uid: &str) -> bool {
        self.0.lock().iter().any(|gone| gone == uid)
    }
}

/// Ends what is kept for a Broker that is gone.
pub(crate) fn forget(broker: &Names, context: &Context) {
    context.links.forget(broker);
    context.metrics.forget(broker);
}

/// The Brokers that a watch has told of: their uids and generations.
#[derive(Default)]
struct Seen {
    brokers: HashMap<Names, (String, Option<i64>)>,
    /// While the watch tells of all that there are: whom it has told of.
    present: Option<HashSet<Names>>,
}

/// What a watch's event says of Brokers.
#[derive(Debug, PartialEq, Eq)]
enum Sighting {
    Changed(Names),
    Went { broker: Names, uid: String },
}

impl Seen {
    /// What this says that is new. A watch that was interrupted does not tell who went meanwhile: it tells of those
    /// that there are.
    fn take(&mut self, event: watcher::Event<Broker>) -> Vec<Sighting> {
        let went = |broker, (uid, _)| Sighting::Went { broker, uid };
        match event {
            watcher::Event::Init => self.present = Some(HashSet::new()),
            watcher::Event::InitApply(broker) | watcher::Event::Apply(broker) => {
                let names = Names::of(&broker);
                if let Some(present) = &mut self.present {
                    present.insert(names.clone());
                }
                let now = (broker.uid().unwrap_or_default(), broker.metadata.generation);
                let before = self.brokers.insert(names.clone(), now.clone());
                let replaced = before.clone().filter(|(uid, _)| *uid != now.0);
                let replaced = replaced.map(|before| went(names.clone(), before));
                let changed = (before != Some(now)).then_some(Sighting::Changed(names));
                return replaced.into_iter().chain(changed).collect();
            }
            watcher::Event::InitDone => {
                let present = self.present.take().unwrap_or_default();
                let gone = self.brokers.extract_if(|names, _| !present.contains(names));
                return gone.map(|(names, before)| went(names, before)).collect();
            }
            watcher::Event::Delete(broker) => {
                let names = Names::of(&broker);
                let before = self.brokers.remove(&names);
                let uid = broker.uid().unwrap_or_default();
                return vec![went(names, before.unwrap_or((uid, None)))];
            }
        }
        Vec::new()
    }
}

/// Watches for Brokers that come, change and go: Streams wait for them.
pub(crate) async fn follow_brokers(
    api: Api<Broker>,
    context: Arc<Context>,
    gone: Gone,
    told: broadcast::Sender<Changed>,
) {
    let mut seen = Seen::default();
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "Brokers can't be watched");
                continue;
            }
        };
        for sighting in seen.take(event) {
            let broker = match sighting {
                Sighting::Changed(broker) => broker,
                Sighting::Went { broker, uid } => {
                    // In this order: a round that does not find it noted has what it made forgotten after it.
                    gone.note(uid);
                    forget(&broker, &context);
                    broker
                }
            };
            let _ = told.send(Changed::Broker(broker));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(name: &str, uid: &str) -> Broker {
        let mut broker = Broker::new(name, Default::default());
        broker.metadata.namespace = Some("shop".into());
        broker.metadata.uid = Some(uid.into());
        broker.metadata.generation = Some(1);
        broker
    }

    #[test]
    fn brokers_that_went_while_a_watch_was_away_are_seen_to_be_gone() {
        let mut seen = Seen::default();
        let mut take = |event| seen.take(event);
        let names = |name: &str| Names { namespace: "shop".into(), broker: name.into() };
        let went = |name, uid: &str| Sighting::Went { broker: names(name), uid: uid.into() };
        let changed = |name| Sighting::Changed(names(name));
        take(watcher::Event::Init);
        assert_eq!(take(watcher::Event::InitApply(broker("a", "1"))), [changed("a")]);
        assert_eq!(take(watcher::Event::InitApply(broker("b", "2"))), [changed("b")]);
        assert_eq!(take(watcher::Event::InitDone), []);
        take(watcher::Event::Init);
        assert_eq!(take(watcher::Event::InitApply(broker("b", "3"))), [went("b", "2"), changed("b")]);
        assert_eq!(take(watcher::Event::InitDone), [went("a", "1")]);
        assert_eq!(take(watcher::Event::Apply(broker("b", "3"))), []);
        assert_eq!(take(watcher::Event::Delete(broker("b", "3"))), [went("b", "3")]);
    }

    #[test]
    fn of_those_that_are_gone_the_last_thousand_are_kept() {
        let gone = Gone::default();
        (0..=GONE_KEPT).for_each(|uid| gone.note(uid.to_string()));
        assert!(!gone.has("0"));
        assert!(gone.has("1") && gone.has(&GONE_KEPT.to_string()));
    }
}
