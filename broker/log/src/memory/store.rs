//! One key-value store: what a JetStream bucket of history 1 holds, deletion markers included.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::{KvEntry, KvError, KvEvent};

#[derive(Debug)]
struct Cell {
    revision: u64,
    /// `None`: a deletion marker.
    value: Option<Bytes>,
    written_ms: i64,
}

/// Values, and the order of the latest write to each key.
#[derive(Debug, Default)]
pub(super) struct Store {
    cells: BTreeMap<String, Cell>,
    by_revision: BTreeMap<u64, String>,
    revision: u64,
}

impl Store {
    pub(super) fn get(&self, key: &str) -> Option<KvEntry> {
        let cell = self.cells.get(key)?;
        let value = cell.value.clone()?;
        Some(KvEntry { key: key.into(), revision: cell.revision, value })
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<KvEntry> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let keys = self.cells.range::<str, _>(from).map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).filter_map(|key| self.get(key)).collect()
    }

    fn put(&mut self, key: &str, value: Option<Bytes>, now_ms: i64) -> u64 {
        self.revision += 1;
        let cell = Cell { revision: self.revision, value, written_ms: now_ms };
        if let Some(old) = self.cells.insert(key.into(), cell) {
            self.by_revision.remove(&old.revision);
        }
        self.by_revision.insert(self.revision, key.into());
        self.revision
    }

    /// Writes, whatever lies there.
    pub(super) fn set(&mut self, key: &str, value: Bytes, now_ms: i64) -> u64 {
        self.put(key, Some(value), now_ms)
    }

    pub(super) fn create(&mut self, key: &str, value: Bytes, now_ms: i64) -> Result<u64, KvError> {
        match self.get(key) {
            Some(_) => Err(KvError::Conflict),
            None => Ok(self.put(key, Some(value), now_ms)),
        }
    }

    pub(super) fn update(
        &mut self,
        key: &str,
        value: Bytes,
        revision: u64,
        now_ms: i64,
    ) -> Result<u64, KvError> {
        match self.get(key) {
            Some(entry) if entry.revision == revision => Ok(self.put(key, Some(value), now_ms)),
            _ => Err(KvError::Conflict),
        }
    }

    /// The revision of the removal; `None` if nothing lay there.
    pub(super) fn delete(
        &mut self,
        key: &str,
        revision: Option<u64>,
        now_ms: i64,
    ) -> Result<Option<u64>, KvError> {
        match self.get(key) {
            None => Ok(None),
            Some(entry) if revision.is_some_and(|revision| revision != entry.revision) => {
                Err(KvError::Conflict)
            }
            Some(_) => Ok(Some(self.put(key, None, now_ms))),
        }
    }

    /// Forgets what was written at `horizon_ms` or before.
    pub(super) fn expire(&mut self, horizon_ms: i64) {
        self.cells.retain(|_, cell| cell.written_ms > horizon_ms);
        self.by_revision.retain(|_, key| self.cells.contains_key(key));
    }

    /// The revision of the latest write.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// The latest change of every key with this prefix that was changed after `revision`, in order.
    pub(super) fn changes(&self, prefix: &str, revision: u64) -> Vec<KvEvent> {
        let later = self.by_revision.range(revision + 1..).filter(|(_, key)| key.starts_with(prefix));
        let event = |(&revision, key): (&u64, &String)| {
            let value = self.cells.get(key).and_then(|cell| cell.value.clone());
            match value {
                Some(value) => KvEvent::Put(KvEntry { key: key.clone(), revision, value }),
                None => KvEvent::Delete { key: key.clone(), revision },
            }
        };
        later.map(event).collect()
    }
}
