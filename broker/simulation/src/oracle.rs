//! What has to hold of every run, checked while it happens and at its end.
//!
//! The oracle sees each change of the truth (every stored message, every value in KV), what writers sent and
//! were told, and what readers got. It knows nothing of how brokers work.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use millrace_core::pack::{Pack, PackKind};
use millrace_core::{
    ClosedShard, DataId, HashKey, HashRange, Position, SequenceNumber, ShardId, ShardMap, StoredRecord, keys,
};
use millrace_log::ShardAddress;
use millrace_log::memory::{Change, Event};
use millrace_server::broker::Placed;

/// The content of a record: which key's, and which of that key's records it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload {
    /// The number of the partition key.
    pub key: u32,
    /// Counts the key's records from 0.
    pub number: u32,
}

impl Payload {
    /// The payload as a record's data.
    pub fn encode(self) -> Bytes {
        Bytes::from((u64::from(self.key) << 32 | u64::from(self.number)).to_be_bytes().to_vec())
    }

    /// Reads [`Payload::encode`].
    pub fn decode(data: &[u8]) -> Option<Payload> {
        let number = u64::from_be_bytes(data.try_into().ok()?);
        Some(Payload { key: (number >> 32) as u32, number: number as u32 })
    }
}

/// A stored record.
#[derive(Clone, Copy, Debug)]
struct Stored {
    shard: ShardId,
    sequence: SequenceNumber,
    at_ms: i64,
}

/// What is known of a payload.
#[derive(Clone, Debug, Default)]
struct Known {
    stream: usize,
    sent: u32,
    acknowledged: bool,
    stored: Vec<Stored>,
}

/// What is known of a shard.
#[derive(Debug)]
struct ShardFacts {
    epoch: u64,
    range: HashRange,
    parents: Vec<ShardId>,
    /// Whether any message was stored.
    begun: bool,
    last_arrival_ms: i64,
    /// Where a CLOSE is stored that nothing may follow.
    close: Option<u64>,
    /// Every place where a CLOSE was ever stored. It is more than one only if retention took one that no map had
    /// noted.
    closes: BTreeSet<u64>,
    /// Where the map says that it is.
    entry: Option<ClosedShard>,
}

#[derive(Debug, Default)]
struct StreamFacts {
    shards: BTreeMap<ShardId, ShardFacts>,
    map: Option<ShardMap>,
}

/// What one reader has seen.
#[derive(Debug, Default)]
struct Seen {
    /// The highest sequence number of each shard.
    shards: BTreeMap<ShardId, SequenceNumber>,
    records: BTreeSet<(ShardId, SequenceNumber)>,
    /// The next record of each key that comes for the first time.
    keys: BTreeMap<u32, u32>,
}

/// What has to hold of every run.
pub struct Oracle {
    verbose: bool,
    streams: BTreeMap<DataId, usize>,
    facts: Vec<StreamFacts>,
    payloads: BTreeMap<Payload, Known>,
    readers: BTreeMap<(usize, usize), Seen>,
    faults: Vec<String>,
    closers: BTreeSet<String>,
    trace: DefaultHasher,
    /// How often what happened, to see that a run was worth something.
    pub counts: Counts,
}

/// How often what happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Packs stored.
    pub packs: u64,
    /// Records stored, repetitions included.
    pub records: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Appends refused.
    pub refused: u64,
    /// Reshards finished.
    pub reshards: u64,
    /// Faults that struck brokers.
    pub faults: u64,
    /// Records read.
    pub read: u64,
}

impl Oracle {
    /// An oracle for streams with these data ids. `verbose`: prints what happens.
    pub fn new(streams: impl IntoIterator<Item = DataId>, verbose: bool) -> Oracle {
        let streams: BTreeMap<DataId, usize> = streams.into_iter().zip(0..).collect();
        Oracle {
            verbose,
            facts: streams.iter().map(|_| StreamFacts::default()).collect(),
            streams,
            payloads: BTreeMap::new(),
            readers: BTreeMap::new(),
            faults: Vec::new(),
            closers: BTreeSet::new(),
            trace: DefaultHasher::new(),
            counts: Counts::default(),
        }
    }

    /// Notes that something is wrong.
    pub fn blame(&mut self, what: String) {
        if self.verbose {
            println!("!!! {what}");
        }
        self.faults.push(what);
    }

    /// Notes something that is worth to be read in a replay.
    pub fn say(&mut self, at_ms: i64, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:9.3} {}", (at_ms - crate::world::START_MS) as f64 / 1_000.0, what());
        }
    }

    /// What was found wrong until now.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// A hash of everything that has happened.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// A change of the truth.
    pub fn saw(&mut self, event: &Event) {
        event.hash(&mut self.trace);
        let client = event.client.clone();
        match &event.change {
            Change::Appended { shard, expected, sequence, payload } => {
                self.appended(event.at_ms, &client, shard, *expected, *sequence, payload);
            }
            Change::Refused { shard, expected } => {
                self.counts.refused += 1;
                self.say(event.at_ms, || {
                    format!("{client}: append to {} after {expected} refused", shard.shard)
                });
            }
            Change::Written { key, revision, value } => {
                self.written(event.at_ms, &client, key, *revision, value)
            }
            Change::Conflict { key } => {
                self.say(event.at_ms, || format!("{client}: {key} is another already"))
            }
            Change::Removed { .. } | Change::Lane { .. } | Change::Asked => {}
        }
    }

    fn appended(
        &mut self,
        at_ms: i64,
        client: &str,
        address: &ShardAddress,
        expected: u64,
        sequence: u64,
        payload: &Bytes,
    ) {
        self.counts.packs += 1;
        let Some(&stream) = self.streams.get(&address.data) else { return };
        let shard = address.shard;
        let at = format!("s{stream} {shard} @{sequence}");
        let pack = match Pack::decode(payload.clone()) {
            Ok(pack) => pack,
            Err(error) => return self.blame(format!("{at}: {error}")),
        };
        let (kind, header) = (pack.header.kind, pack.header);
        self.say(at_ms, || {
            let texts: Vec<String> =
                pack.records().flatten().filter_map(|r| Payload::decode(&r.data)).map(text).collect();
            format!("{client}: {at} after {expected}: {kind:?} #{} {}", header.pack_id, texts.join(" "))
        });
        let mut wrong = Vec::new();
        let noted = self.facts[stream].map.as_ref().is_none_or(|map| {
            let parents = map.reshards.iter().flat_map(|reshard| &reshard.parents);
            map.get(shard).is_none() || parents.into_iter().any(|p| p.id == shard && p.end.is_some())
        });
        let Some(facts) = self.facts[stream].shards.get_mut(&shard) else {
            return self.blame(format!("{at}: appended to a shard that no map has ever named open"));
        };
        let emptied = expected == 0;
        match kind {
            PackKind::Open => {}
            _ if !facts.begun => wrong.push(format!("{at}: the shard's first message is {kind:?}")),
            _ if emptied => {
                wrong.push(format!("{at}: {kind:?} went in on the condition that nothing is there"))
            }
            _ => {}
        }
        facts.begun = true;
        if emptied {
            // Arrival times never go back among the records that are there, and there are none.
            facts.last_arrival_ms = 0;
        }
        if let Some(close) = facts.close {
            if kind != PackKind::Open || !emptied {
                wrong.push(format!("{at}: {kind:?} follows the CLOSE at {close}"));
            } else if !noted {
                // Retention has taken a CLOSE that no map has noted: the shard may be closed again.
                facts.close = None;
            }
        }
        if let PackKind::Close { .. } = kind {
            facts.close = facts.close.or(Some(sequence));
            facts.closes.insert(sequence);
            self.closers.insert(client.to_owned());
        }
        let mut records = Vec::new();
        for (index, record) in (0_u32..).zip(pack.records()) {
            match record {
                Ok(record) => records.push((Position { pack: sequence, index }, record)),
                Err(error) => wrong.push(format!("{at}: {error}")),
            }
        }
        for (position, record) in records {
            if record.arrival_ms < facts.last_arrival_ms {
                wrong.push(format!("{at}: arrival times go back"));
            }
            facts.last_arrival_ms = record.arrival_ms;
            let hash_key = hash_key(&record);
            if !facts.range.contains(hash_key) {
                wrong.push(format!("{at}: a record at {hash_key} lies outside of the shard's range"));
            }
            let Some(payload) = Payload::decode(&record.data) else {
                wrong.push(format!("{at}: a record that nobody wrote"));
                continue;
            };
            let sequence = SequenceNumber { epoch: facts.epoch, position };
            self.counts.records += 1;
            let known = self.payloads.entry(payload).or_default();
            known.stored.push(Stored { shard, sequence, at_ms });
            if known.stored.len() as u32 > known.sent {
                wrong.push(format!("{at}: {} is stored more often than its client sent it", text(payload)));
            }
        }
        wrong.into_iter().for_each(|what| self.blame(what));
    }

    fn written(&mut self, at_ms: i64, client: &str, key: &str, revision: u64, value: &Bytes) {
        if let Some(data) = keys::parse_map(key) {
            let Some(&stream) = self.streams.get(&data) else { return };
            match ShardMap::decode(value) {
                Ok(map) => {
                    self.say(at_ms, || {
                        let open: Vec<u64> = map.open.iter().map(|shard| shard.id.0).collect();
                        let reshard = |r: &millrace_core::Reshard| {
                            let parents: Vec<_> = r.parents.iter().map(|p| (p.id.0, p.end)).collect();
                            let children: Vec<_> = r.children.iter().map(|c| c.id.0).collect();
                            format!("{}: {parents:?} -> {children:?}", r.epoch)
                        };
                        let reshards: Vec<String> = map.reshards.iter().map(reshard).collect();
                        format!("{client}: s{stream} map @{revision}: open {open:?}, reshards {reshards:?}")
                    });
                    self.mapped(stream, revision, map);
                }
                Err(error) => self.blame(format!("s{stream} map @{revision}: {error}")),
            }
        } else if let Some(stream) = self.stream_of_closed(key) {
            match ClosedShard::decode(value) {
                Ok(entry) => self.closed(stream, entry),
                Err(error) => self.blame(format!("s{stream} {key}: {error}")),
            }
        }
    }

    fn stream_of_closed(&self, key: &str) -> Option<usize> {
        let of = |(data, _): &(&DataId, &usize)| key.starts_with(&keys::closed_of(data));
        self.streams.iter().find(of).map(|(_, stream)| *stream)
    }

    fn closed(&mut self, stream: usize, entry: ClosedShard) {
        let id = entry.id;
        let mut wrong = Vec::new();
        match self.facts[stream].shards.get_mut(&id) {
            None => wrong.push(format!("s{stream} {id} has an entry as closed and was never open")),
            Some(facts) => {
                if !facts.closes.contains(&entry.end) {
                    wrong.push(format!(
                        "s{stream} {id} is said to end at {}, its CLOSE: {:?}",
                        entry.end, facts.closes
                    ));
                }
                if facts.range != entry.range || facts.epoch != entry.epoch {
                    wrong.push(format!(
                        "s{stream} {id} has another range or epoch as closed than it had open"
                    ));
                }
                facts.entry = Some(entry);
            }
        }
        wrong.into_iter().for_each(|what| self.blame(what));
    }

    /// Checks one step of a map. [`ShardMap::decode`] has checked that the open shards partition the hash space.
    fn mapped(&mut self, stream: usize, revision: u64, map: ShardMap) {
        let at = format!("s{stream} map @{revision}");
        let mut wrong = Vec::new();
        let facts = &mut self.facts[stream];
        let before = facts.map.take();
        if let Some(before) = &before {
            if map.next_shard < before.next_shard || map.next_epoch < before.next_epoch {
                wrong.push(format!("{at}: shards' numbers or epochs go back"));
            }
            for reshard in &before.reshards {
                let goes_on = map.reshards.iter().any(|r| r.epoch == reshard.epoch);
                let done = reshard.children.iter().all(|child| map.get(child.id).is_some());
                self.counts.reshards += u64::from(done);
                if !goes_on && !done {
                    wrong.push(format!("{at}: reshard {} was taken back", reshard.epoch));
                }
            }
            for gone in before.open.iter().filter(|shard| map.get(shard.id).is_none()) {
                let entry = facts.shards.get(&gone.id).and_then(|facts| facts.entry.as_ref());
                match entry {
                    None => wrong.push(format!("{at}: {} left the map without an entry of its own", gone.id)),
                    Some(entry) => {
                        if entry.children.iter().any(|child| map.get(*child).is_none()) {
                            wrong.push(format!("{at}: children of {} are not open", gone.id));
                        }
                    }
                }
            }
        }
        for parent in map.reshards.iter().flat_map(|reshard| &reshard.parents) {
            let closes = facts.shards.get(&parent.id).map(|facts| &facts.closes);
            if parent.end.is_some_and(|end| !closes.is_some_and(|closes| closes.contains(&end))) {
                wrong.push(format!(
                    "{at}: {} is said to end at {:?}, its CLOSE: {closes:?}",
                    parent.id, parent.end
                ));
            }
        }
        for (index, shard) in map.open.iter().enumerate() {
            let (id, epoch, range) = (shard.id, shard.epoch, map.range(index));
            if let Some(known) = facts.shards.get(&id) {
                let open_before = before.as_ref().is_some_and(|before| before.get(id).is_some());
                if !open_before || known.epoch != epoch || known.range != range {
                    wrong.push(format!("{at}: {id} is used twice, or has changed"));
                }
                continue;
            }
            let parents: Vec<ShardId> = shard.parents.iter().collect();
            for parent in &parents {
                match facts.shards.get(parent) {
                    Some(parent) if parent.epoch < epoch && !parent.closes.is_empty() => {}
                    _ => wrong.push(format!(
                        "{at}: {id} is open before its parent {parent} is closed, or not above it"
                    )),
                }
            }
            let fresh = ShardFacts {
                epoch,
                range,
                parents,
                begun: false,
                last_arrival_ms: 0,
                close: None,
                closes: BTreeSet::new(),
                entry: None,
            };
            facts.shards.insert(id, fresh);
        }
        facts.map = Some(map);
        wrong.into_iter().for_each(|what| self.blame(what));
    }

    /// A writer sends this payload, for the first time or again.
    pub fn sent(&mut self, stream: usize, payload: Payload) {
        let known = self.payloads.entry(payload).or_default();
        known.stream = stream;
        known.sent += 1;
    }

    /// A writer was told that its record is stored.
    pub fn acknowledged(&mut self, payload: Payload, placed: Placed) {
        self.counts.acknowledged += 1;
        (payload, placed.shard, placed.sequence).hash(&mut self.trace);
        let known = self.payloads.entry(payload).or_default();
        known.acknowledged = true;
        let there = known
            .stored
            .iter()
            .any(|stored| stored.shard == placed.shard && stored.sequence == placed.sequence);
        if !there {
            self.blame(format!("{} was acknowledged at {placed:?} and is not stored there", text(payload)));
        }
    }

    /// A reader got this record.
    pub fn read(
        &mut self,
        stream: usize,
        reader: usize,
        shard: ShardId,
        sequence: SequenceNumber,
        record: &StoredRecord,
    ) {
        self.counts.read += 1;
        (reader, shard, sequence).hash(&mut self.trace);
        let mut wrong = Vec::new();
        let seen = self.readers.entry((stream, reader)).or_default();
        let Some(payload) = Payload::decode(&record.data) else {
            return self
                .blame(format!("reader {reader} got a record that nobody wrote from s{stream} {shard}"));
        };
        let known = self.payloads.get(&payload);
        if !known.is_some_and(|k| k.stored.iter().any(|s| s.shard == shard && s.sequence == sequence)) {
            wrong.push(format!("got {} from {shard}, where it is not stored", text(payload)));
        }
        if !seen.records.insert((shard, sequence)) {
            wrong.push(format!("got {} twice from {shard}", text(payload)));
        }
        let parents = self.facts[stream].shards.get(&shard).map_or(&[][..], |facts| &facts.parents);
        for before in parents.iter().chain([&shard]).filter_map(|shard| seen.shards.get(shard)) {
            if *before >= sequence {
                wrong.push(format!("got {sequence:?} from {shard} after {before:?} from it or its parent"));
            }
        }
        seen.shards.insert(shard, sequence);
        let next = seen.keys.entry(payload.key).or_default();
        // A record of the past comes again if its client has sent it twice. One of the future has overtaken
        // others, unless retention has taken those.
        if payload.number >= *next {
            let overtaken = (*next..payload.number).map(|number| Payload { key: payload.key, number });
            let first =
                overtaken.filter_map(|p| self.payloads.get(&p)).flat_map(|known| known.stored.first()).next();
            if first.is_some_and(|stored| stored.sequence > sequence) {
                wrong.push(format!("got {} before an earlier record of its key", text(payload)));
            }
            *next = payload.number + 1;
        }
        wrong.into_iter().for_each(|what| self.blame(format!("reader {reader} of s{stream} {what}")));
    }

    /// How many stored records of a stream that are not older than `horizon_ms` its reader has not seen, and
    /// one of them.
    pub fn unread(&self, stream: usize, reader: usize, horizon_ms: i64) -> (usize, Option<String>) {
        let none = BTreeSet::new();
        let seen = self.readers.get(&(stream, reader)).map_or(&none, |seen| &seen.records);
        let of_stream = self.payloads.iter().filter(|(payload, _)| self.stream_of(**payload) == stream);
        let mut missing = of_stream
            .flat_map(|(payload, known)| known.stored.iter().map(move |stored| (payload, stored)))
            .filter(|(_, stored)| {
                stored.at_ms > horizon_ms && !seen.contains(&(stored.shard, stored.sequence))
            });
        let first = missing.next().map(|(payload, stored)| format!("{} {stored:?}", text(*payload)));
        (usize::from(first.is_some()) + missing.count(), first)
    }

    fn stream_of(&self, payload: Payload) -> usize {
        self.payloads.get(&payload).map_or(0, |known| known.stream)
    }

    /// Whether any reshard of a stream is unfinished.
    pub fn is_resharding(&self, stream: usize) -> bool {
        self.facts[stream].map.as_ref().is_some_and(|map| !map.reshards.is_empty())
    }

    /// A stream's closed shards and their children.
    pub fn lineage(&self, stream: usize) -> Vec<(ShardId, Vec<ShardId>)> {
        let entries = self.facts[stream].shards.values().filter_map(|facts| facts.entry.as_ref());
        entries.map(|entry| (entry.id, entry.children.clone())).collect()
    }

    /// Which clients have closed shards.
    pub fn closers(&self) -> &BTreeSet<String> {
        &self.closers
    }

    /// A stream's map as it is.
    pub fn map(&self, stream: usize) -> Option<&ShardMap> {
        self.facts[stream].map.as_ref()
    }

    /// What has to hold at the end of a run.
    pub fn finish(&mut self) {
        let mut wrong = Vec::new();
        let mut keys: BTreeMap<u32, Option<SequenceNumber>> = BTreeMap::new();
        for (payload, known) in &self.payloads {
            if known.acknowledged && known.stored.is_empty() {
                wrong.push(format!("{} was acknowledged and is not stored", text(*payload)));
            }
            for stored in &known.stored {
                let facts = self.facts[known.stream].shards.get(&stored.shard);
                let end = facts.and_then(|facts| facts.entry.as_ref()).map(|entry| entry.end);
                if end.is_some_and(|end| stored.sequence.position.pack >= end) {
                    wrong.push(format!("{} is stored behind the end of {}", text(*payload), stored.shard));
                }
            }
            // Within a lineage sequence numbers grow; a key's records are of one lineage.
            let Some(first) = known.stored.iter().map(|stored| stored.sequence).min() else { continue };
            let before = keys.entry(payload.key).or_default();
            if before.is_some_and(|before| before > first) {
                wrong.push(format!("{} lies before an earlier record of its key", text(*payload)));
            }
            *before = Some(first);
        }
        for stream in 0..self.facts.len() {
            if self.is_resharding(stream) {
                wrong.push(format!("s{stream} has unfinished reshards"));
            }
        }
        wrong.into_iter().for_each(|what| self.blame(what));
    }
}

fn text(payload: Payload) -> String {
    format!("{}/{}", payload.key, payload.number)
}

fn hash_key(record: &StoredRecord) -> HashKey {
    let key = std::str::from_utf8(&record.partition_key).unwrap_or("");
    record.explicit_hash_key.unwrap_or_else(|| HashKey::of_partition_key(key))
}
