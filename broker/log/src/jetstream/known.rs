//! What a watcher was told, and what it has to be told yet. Pure.

use std::collections::HashMap;

use super::bucket::Latest;
use crate::{KvEntry, KvEvent};

/// The leader that answered is behind what was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale;

/// What was told.
#[derive(Debug)]
pub(super) struct Known {
    /// Which stream it was told of.
    created: String,
    /// The keys that are there, with the revision that was told.
    present: HashMap<String, u64>,
    /// The revisions that the last comparison found, to be passed over when the consumer brings them.
    compared: HashMap<String, u64>,
    /// The highest revision that was told.
    highest: u64,
    /// Whether keys that are gone without a marker are told as removed.
    tell_vanished: bool,
}

impl Known {
    pub(super) fn new(tell_vanished: bool) -> Known {
        Known {
            created: String::new(),
            present: HashMap::new(),
            compared: HashMap::new(),
            highest: 0,
            tell_vanished,
        }
    }

    /// What has to be told after the stream was found at sequence `last`, and `latest` in it after that.
    /// `believe`: also if it is behind what was told.
    pub(super) fn compare(
        &mut self,
        created: &str,
        last: u64,
        latest: Vec<Latest>,
        believe: bool,
    ) -> Result<Vec<KvEvent>, Stale> {
        let same_stream = self.created == created;
        if same_stream && last < self.highest && !believe {
            return Err(Stale);
        }
        // Revisions of another stream, or of one that was set back, say nothing about these.
        let comparable = same_stream && last >= self.highest;
        if !comparable {
            self.highest = 0;
        }
        created.clone_into(&mut self.created);
        self.compared = latest.iter().map(|latest| (latest.key.clone(), latest.revision)).collect();
        let mut before = std::mem::take(&mut self.present);
        let mut events = Vec::new();
        for Latest { key, revision, value } in latest {
            let told = before.remove(&key);
            self.highest = self.highest.max(revision);
            match value {
                Some(value) => {
                    self.present.insert(key.clone(), revision);
                    if !comparable || told != Some(revision) {
                        events.push((revision, KvEvent::Put(KvEntry { key, revision, value })));
                    }
                }
                None if told.is_some() => events.push((revision, KvEvent::Delete { key, revision })),
                None => {}
            }
        }
        if self.tell_vanished {
            events.extend(before.into_keys().map(|key| (last, KvEvent::Delete { key, revision: last })));
        }
        events.sort_by_key(|(revision, _)| *revision);
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }

    /// Takes an event of the consumer, and says whether it has to be told.
    pub(super) fn follow(&mut self, event: &KvEvent) -> bool {
        let (key, revision, present) = match event {
            KvEvent::Put(entry) => (&entry.key, entry.revision, true),
            KvEvent::Delete { key, revision } => (key, *revision, false),
            KvEvent::Current => return true,
        };
        if self.compared.get(key).is_some_and(|compared| *compared >= revision) {
            return false;
        }
        self.highest = self.highest.max(revision);
        if present {
            self.present.insert(key.clone(), revision);
        } else {
            self.present.remove(key);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, revision: u64) -> Latest {
        Latest { key: key.into(), revision, value: Some("v".into()) }
    }

    fn removed(key: &str, revision: u64) -> Latest {
        Latest { key: key.into(), revision, value: None }
    }

    fn put(key: &str, revision: u64) -> KvEvent {
        KvEvent::Put(KvEntry { key: key.into(), revision, value: "v".into() })
    }

    fn delete(key: &str, revision: u64) -> KvEvent {
        KvEvent::Delete { key: key.into(), revision }
    }

    #[test]
    fn after_an_interruption_only_what_has_changed_is_told() {
        let mut known = Known::new(true);
        let first = known.compare("t", 3, vec![value("a", 3), value("b", 1), removed("c", 2)], false);
        assert_eq!(first, Ok(vec![put("b", 1), put("a", 3)]));
        let second = known.compare("t", 9, vec![value("a", 3), removed("b", 5), value("c", 9)], false);
        assert_eq!(second, Ok(vec![delete("b", 5), put("c", 9)]));
    }

    #[test]
    fn a_key_that_is_gone_without_a_marker_is_told_as_removed_unless_age_takes_keys() {
        for (tell, events) in [(true, vec![delete("a", 7)]), (false, vec![])] {
            let mut known = Known::new(tell);
            known.compare("t", 1, vec![value("a", 1)], false).expect("not stale");
            assert_eq!(known.compare("t", 7, vec![], false), Ok(events));
        }
    }

    #[test]
    fn a_leader_that_is_behind_is_not_believed_at_first() {
        let mut known = Known::new(true);
        known.compare("t", 1, vec![value("a", 1)], false).expect("not stale");
        assert!(known.follow(&put("a", 5)));
        assert_eq!(known.compare("t", 4, vec![value("a", 1)], false), Err(Stale));
        assert_eq!(known.compare("t", 4, vec![value("a", 1)], true), Ok(vec![put("a", 1)]));
        assert!(known.follow(&put("b", 5)), "revisions begin anew");
    }

    #[test]
    fn a_stream_that_was_made_anew_is_told_from_the_start() {
        let mut known = Known::new(true);
        known.compare("t", 9, vec![value("a", 9), value("b", 8)], false).expect("not stale");
        assert_eq!(known.compare("u", 1, vec![value("a", 1)], false), Ok(vec![put("a", 1), delete("b", 1)]));
        assert!(known.follow(&put("a", 2)));
    }

    #[test]
    fn the_consumer_repeats_nothing_that_the_comparison_found() {
        let mut known = Known::new(true);
        known.compare("t", 3, vec![value("a", 5), removed("b", 6)], false).expect("not stale");
        assert!(!known.follow(&put("b", 4)));
        assert!(!known.follow(&put("a", 5)));
        assert!(!known.follow(&delete("b", 6)));
        assert!(known.follow(&put("b", 7)));
    }
}
