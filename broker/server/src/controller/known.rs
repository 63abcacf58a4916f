//! What the controller knows: streams and maps as KV tells them, and the latest loads as brokers report them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use millrace_autoscaler::Outlook;
use millrace_core::beat::Beat;
use millrace_core::load::ShardLoad;
use millrace_core::{BrokerId, DataId, ShardMap, StreamEntry, keys};
use millrace_log::{KvEntry, KvEvent};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Failure, Told};

/// How many findings of each stream are kept.
const FINDINGS_KEPT: usize = 100;

/// A stream that a task tends.
pub(super) struct TendedStream {
    pub(super) key: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The entry and its revision; `None` once it is gone.
    entry: Mutex<Option<(StreamEntry, u64)>>,
    /// Told when the entry or the map has changed.
    pub(super) changed: Notify,
    findings: Mutex<VecDeque<Told>>,
    failure: Mutex<Option<Failure>>,
    outlook: Mutex<Option<Arc<Outlook>>>,
}

impl TendedStream {
    /// Notes why it is not tended, or that it is.
    pub(super) fn fail(&self, failure: Option<Failure>) {
        *self.failure.lock() = failure;
    }

    /// Notes what the autoscaler sees; nothing, where it looks at nothing.
    pub(super) fn see(&self, outlook: Option<Outlook>) {
        let mut before = self.outlook.lock();
        let outlook = outlook.map(|outlook| match &*before {
            Some(before) => outlook.following(before),
            None => outlook,
        });
        *before = outlook.map(Arc::new);
    }

    /// The entry as it was last told, and its revision.
    pub(super) fn entry(&self) -> Option<(StreamEntry, u64)> {
        self.entry.lock().clone()
    }

    /// Keeps a finding.
    pub(super) fn keep(&self, told: Told) {
        let mut findings = self.findings.lock();
        if findings.len() == FINDINGS_KEPT {
            findings.pop_front();
        }
        findings.push_back(told);
    }
}

struct BrokerLoads {
    heard: Instant,
    loads: BTreeMap<DataId, Arc<Vec<ShardLoad>>>,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<String, Arc<TendedStream>>,
    maps: BTreeMap<DataId, (Arc<ShardMap>, u64)>,
    brokers: BTreeMap<BrokerId, BrokerLoads>,
}

#[derive(Default)]
pub(super) struct Known {
    state: Mutex<State>,
}

impl Known {
    /// Notes a change in KV; returns a stream that was not known before.
    pub(super) fn learn(&self, event: KvEvent) -> Option<Arc<TendedStream>> {
        match event {
            KvEvent::Put(entry) if entry.key.starts_with(keys::STREAMS) => self.learn_stream(&entry),
            KvEvent::Put(entry) => {
                if let Some(data) = keys::parse_map(&entry.key) {
                    match ShardMap::decode(&entry.value) {
                        Ok(map) => self.learn_map(&data, map, entry.revision),
                        Err(error) => {
                            tracing::error!(key = entry.key, %error, "a shard map is left alone");
                        }
                    }
                }
                None
            }
            KvEvent::Delete { key, revision } => {
                self.forget(&key, revision);
                None
            }
            KvEvent::Current => None,
        }
    }

    fn learn_stream(&self, found: &KvEntry) -> Option<Arc<TendedStream>> {
        let (namespace, name) = keys::parse_stream(&found.key)?;
        let entry = match StreamEntry::decode(&found.value) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(key = found.key, %error, "a stream's entry is left alone");
                return None;
            }
        };
        let mut state = self.state.lock();
        if let Some(stream) = state.streams.get(&found.key) {
            let mut known = stream.entry.lock();
            if known.as_ref().is_some_and(|(_, revision)| *revision < found.revision) {
                *known = Some((entry, found.revision));
                stream.changed.notify_one();
            }
            return None;
        }
        let stream = Arc::new(TendedStream {
            key: found.key.clone(),
            namespace,
            name,
            entry: Mutex::new(Some((entry, found.revision))),
            changed: Notify::new(),
            findings: Mutex::default(),
            failure: Mutex::default(),
            outlook: Mutex::default(),
        });
        state.streams.insert(found.key.clone(), stream.clone());
        Some(stream)
    }

    /// Notes a map, unless a later one is known.
    pub(super) fn learn_map(&self, data: &DataId, map: ShardMap, revision: u64) {
        let mut state = self.state.lock();
        if state.maps.get(data).is_none_or(|(_, known)| *known < revision) {
            state.maps.insert(data.clone(), (Arc::new(map), revision));
        }
    }

    fn forget(&self, key: &str, revision: u64) {
        let mut state = self.state.lock();
        if let Some(data) = keys::parse_map(key) {
            if state.maps.get(&data).is_some_and(|(_, known)| *known < revision) {
                state.maps.remove(&data);
            }
        } else if let Some(stream) = state.streams.get(key) {
            let mut known = stream.entry.lock();
            if known.as_ref().is_none_or(|(_, known)| *known >= revision) {
                return;
            }
            *known = None;
            drop(known);
            stream.changed.notify_one();
            state.streams.remove(key);
        }
    }

    /// Notes a broker's beat or stop.
    pub(super) fn hear(&self, event: KvEvent) {
        match event {
            KvEvent::Put(entry) => match Beat::decode(&entry.value) {
                Ok(beat) => {
                    let loads = beat.loads.into_iter().map(|(data, loads)| (data, Arc::new(loads))).collect();
                    let loads = BrokerLoads { heard: Instant::now(), loads };
                    self.state.lock().brokers.insert(beat.broker, loads);
                }
                Err(error) => tracing::warn!(key = entry.key, %error, "a broker's beat is left alone"),
            },
            KvEvent::Delete { key, .. } => {
                if let Some(broker) = keys::parse_broker(&key) {
                    self.state.lock().brokers.remove(&broker);
                }
            }
            KvEvent::Current => {}
        }
    }

    pub(super) fn map(&self, data: &DataId) -> Option<Arc<ShardMap>> {
        self.state.lock().maps.get(data).map(|(map, _)| map.clone())
    }

    /// What the live brokers last reported of a stream's shards; `None` while no broker is alive, whose silence
    /// would be taken for idleness.
    pub(super) fn loads(&self, data: &DataId, alive_for: Duration) -> Option<Vec<Arc<Vec<ShardLoad>>>> {
        let mut state = self.state.lock();
        state.brokers.retain(|_, broker| broker.heard.elapsed() < alive_for);
        if state.brokers.is_empty() {
            return None;
        }
        Some(state.brokers.values().filter_map(|broker| broker.loads.get(data).cloned()).collect())
    }

    pub(super) fn failure(&self, namespace: &str, name: &str) -> Option<Failure> {
        let state = self.state.lock();
        state.streams.get(&keys::stream(namespace, name))?.failure.lock().clone()
    }

    pub(super) fn outlook(&self, namespace: &str, name: &str) -> Option<Arc<Outlook>> {
        let state = self.state.lock();
        state.streams.get(&keys::stream(namespace, name))?.outlook.lock().clone()
    }

    pub(super) fn why(&self, namespace: &str, name: &str) -> Vec<Told> {
        let state = self.state.lock();
        let stream = state.streams.get(&keys::stream(namespace, name));
        stream.map_or_else(Vec::new, |stream| stream.findings.lock().iter().cloned().collect())
    }
}
