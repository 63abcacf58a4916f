//! What this broker knows of streams, their maps and attributes: a copy of KV, kept up to date by a watch, and read again
//! from the leader where a decision rests on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use millrace_core::{DataId, ShardMap, StreamAttributes, StreamEntry, StreamState, keys};
use millrace_log::{Kv, KvEntry, KvError, KvEvent};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::Stream;
use super::changes::{Changed, Changes};

/// A shard map and the revision that it has in KV.
#[derive(Clone, Debug)]
pub(crate) struct KnownMap {
    pub(crate) map: Arc<ShardMap>,
    pub(crate) revision: u64,
}

#[derive(Default)]
struct Known {
    streams: BTreeMap<(String, String), (StreamEntry, u64)>,
    names: BTreeMap<DataId, (String, String)>,
    maps: BTreeMap<DataId, KnownMap>,
    attributes: BTreeMap<DataId, (Arc<StreamAttributes>, u64)>,
    /// Those of streams of which users keep nothing.
    none: Arc<StreamAttributes>,
    /// Revisions of removals, so that news which arrive late do not bring a removed value back.
    removed: BTreeMap<String, u64>,
}

/// The streams of the cluster.
pub(crate) struct Catalog {
    kv: Arc<dyn Kv>,
    known: RwLock<Known>,
    changed: Changed,
}

impl Catalog {
    pub(crate) fn new(kv: Arc<dyn Kv>) -> Catalog {
        Catalog { kv, known: RwLock::default(), changed: Changed::default() }
    }

    /// Follows KV for ever; sends to `current` once everything that is there is known.
    pub(crate) async fn follow(self: Arc<Self>, current: watch::Sender<bool>) {
        let streams = self.kv.watch(keys::STREAMS);
        let maps = self.kv.watch(keys::MAPS);
        let attributes = self.kv.watch(keys::ATTRIBUTES);
        let mut waiting = 3;
        let mut events = futures::stream::select(futures::stream::select(streams, maps), attributes);
        while let Some(event) = events.next().await {
            match event {
                KvEvent::Put(entry) => self.learn(&entry),
                KvEvent::Delete { key, revision } => self.forget(key, revision),
                KvEvent::Current if waiting > 0 => {
                    waiting -= 1;
                    let _ = current.send(waiting == 0);
                }
                KvEvent::Current => {}
            }
        }
    }

    /// Takes in what is newer than what is known. The rest, read again from the leader, is no change: whoever waits for
    /// one has nothing of it, and may be who read it.
    fn learn(&self, entry: &KvEntry) {
        let KvEntry { key, revision, value } = entry;
        let is_new = |at: Option<&u64>| at.is_none_or(|at| at < revision);
        let mut known = self.known.write();
        if !is_new(known.removed.get(key)) {
            return;
        }
        let learnt = if let Some(name) = keys::parse_stream(key) {
            if !is_new(known.streams.get(&name).map(|(_, at)| at)) {
                return;
            }
            StreamEntry::decode(value).map(|stream| {
                known.names.insert(stream.data.clone(), name.clone());
                known.streams.insert(name, (stream, *revision));
            })
        } else if let Some(data) = keys::parse_map(key) {
            if !is_new(known.maps.get(&data).map(|map| &map.revision)) {
                return;
            }
            ShardMap::decode(value).map(|map| {
                known.maps.insert(data, KnownMap { map: Arc::new(map), revision: *revision });
            })
        } else if let Some(data) = keys::parse_attributes(key) {
            if !is_new(known.attributes.get(&data).map(|(_, at)| at)) {
                return;
            }
            StreamAttributes::decode(value).map(|attributes| {
                known.attributes.insert(data, (Arc::new(attributes), *revision));
            })
        } else {
            return;
        };
        drop(known);
        match learnt {
            Ok(()) => self.changed.note(),
            Err(error) => tracing::error!(key, %error, "what can't be read is left alone"),
        }
    }

    fn forget(&self, key: String, revision: u64) {
        let mut known = self.known.write();
        if let Some(name) = keys::parse_stream(&key) {
            if known.streams.get(&name).is_some_and(|(_, at)| *at < revision)
                && let Some((entry, _)) = known.streams.remove(&name)
            {
                known.names.remove(&entry.data);
            }
        } else if let Some(data) = keys::parse_map(&key)
            && known.maps.get(&data).is_some_and(|map| map.revision < revision)
        {
            known.maps.remove(&data);
        } else if let Some(data) = keys::parse_attributes(&key)
            && known.attributes.get(&data).is_some_and(|(_, at)| *at < revision)
        {
            known.attributes.remove(&data);
        }
        known.removed.insert(key, revision);
        drop(known);
        self.changed.note();
    }

    /// Counts the changes of what is known.
    pub(crate) fn changes(&self) -> Changes {
        self.changed.subscribe()
    }

    /// A stream's map as it is known here.
    pub(crate) fn map(&self, data: &DataId) -> Option<KnownMap> {
        self.known.read().maps.get(data).cloned()
    }

    /// A stream's map as it is, from the leader.
    pub(crate) async fn fresh_map(&self, data: &DataId) -> Result<Option<KnownMap>, KvError> {
        match self.kv.get(&keys::map(data)).await? {
            Some(entry) => {
                self.learn(&entry);
                match self.map(data) {
                    // Nothing may be decided on an older one, and no write on top of it would be taken.
                    Some(known) if known.revision < entry.revision => {
                        Err(KvError::Unknown("the shard map there can't be read".to_owned()))
                    }
                    known => Ok(known),
                }
            }
            None => Ok(None),
        }
    }

    /// Notes a value that this broker has just written, or read from the leader.
    pub(crate) fn wrote(&self, key: String, value: bytes::Bytes, revision: u64) {
        self.learn(&KvEntry { key, revision, value });
    }

    /// Notes a map that this broker has just written.
    pub(crate) fn wrote_map(&self, data: &DataId, map: ShardMap, revision: u64) {
        let mut known = self.known.write();
        if known.maps.get(data).is_none_or(|map| map.revision < revision) {
            known.maps.insert(data.clone(), KnownMap { map: Arc::new(map), revision });
        }
        drop(known);
        self.changed.note();
    }

    /// All maps that have unfinished reshards.
    pub(crate) fn resharding(&self) -> Vec<(DataId, Arc<ShardMap>)> {
        let known = self.known.read();
        let busy = known.maps.iter().filter(|(_, known)| !known.map.reshards.is_empty());
        busy.map(|(data, known)| (data.clone(), known.map.clone())).collect()
    }

    pub(crate) fn stream(&self, namespace: &str, name: &str) -> Option<Arc<Stream>> {
        let known = self.known.read();
        known.stream(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn stream_of(&self, data: &DataId) -> Option<Arc<Stream>> {
        let known = self.known.read();
        known.names.get(data).and_then(|name| known.stream(name))
    }

    /// The streams of all namespaces.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        let known = self.known.read();
        known.streams.keys().filter_map(|name| known.stream(name)).collect()
    }

    pub(crate) fn streams(&self, namespace: &str) -> Vec<Arc<Stream>> {
        let known = self.known.read();
        let from = (namespace.to_owned(), String::new());
        let names = known.streams.range(from..).take_while(|((ns, _), _)| ns == namespace);
        names.filter_map(|(name, _)| known.stream(name)).collect()
    }
}

impl Known {
    /// A stream as it is known here. One whose data is only kept is absent, to the APIs and to other brokers.
    fn stream(&self, name: &(String, String)) -> Option<Arc<Stream>> {
        let (entry, _) = self.streams.get(name).filter(|(entry, _)| entry.state != StreamState::Retained)?;
        let (namespace, name) = name.clone();
        let map = self.maps.get(&entry.data).map(|known| known.map.clone());
        let attributes =
            self.attributes.get(&entry.data).map_or(&self.none, |(attributes, _)| attributes).clone();
        Some(Arc::new(Stream { namespace, name, entry: entry.clone(), map, attributes }))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use millrace_log::memory::{Faults, MemoryCluster};

    use super::*;

    /// Whoever reads a map when maps change would otherwise wake himself, for ever.
    #[tokio::test]
    async fn a_map_that_is_read_again_is_no_change() {
        let kv: Arc<dyn Kv> = Arc::new(MemoryCluster::new(1, 0, Faults::none()).connect("broker"));
        let data = DataId::from_random(1);
        let mut map = ShardMap::new(2, 0);
        let revision = kv.create(&keys::map(&data), map.encode().into()).await.unwrap();
        let catalog = Catalog::new(kv.clone());
        let mut changes = catalog.changes();
        for is_new in [true, false, false] {
            assert!(catalog.fresh_map(&data).await.unwrap().is_some());
            assert_eq!(changes.changed().now_or_never().is_some(), is_new);
        }
        map.next_epoch += 1;
        kv.update(&keys::map(&data), map.encode().into(), revision).await.unwrap();
        assert_eq!(catalog.fresh_map(&data).await.unwrap().map(|known| *known.map == map), Some(true));
        assert!(changes.changed().now_or_never().is_some());
    }
}
