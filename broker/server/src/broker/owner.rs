//! The owner of one shard: groups what writers bring into packs, one in flight at a time, and ends the shard
//! when a reshard says so.
//!
//! An owner that crashes at any point leaves nothing to undo: records that it had not acknowledged may or may
//! not be stored, and the next owner finds the shard's last message in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use millrace_core::load::LoadWindow;
use millrace_core::pack::{PackBuilder, close_pack};
use millrace_core::{BrokerId, Epoch, HashKey, Position, Record, StreamConfig};
use millrace_log::{Log, ShardAddress};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::catalog::Catalog;
use super::limits::{WriteLimit, write_rates};
use super::settings::Settings;
use super::tail::{Tail, TailView};
use crate::clock::Clock;
use crate::sabotage::{self, Bug};

/// What all owners of a broker share.
pub(crate) struct OwnerContext {
    pub(crate) me: BrokerId,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) kv: Arc<dyn millrace_log::Kv>,
    pub(crate) settings: Settings,
    pub(crate) pack_ids: AtomicU64,
    pub(crate) tails_bytes: AtomicUsize,
}

impl OwnerContext {
    /// A pack id that this run of the broker has not used.
    pub(crate) fn next_pack_id(&self) -> u64 {
        self.pack_ids.fetch_add(1, Ordering::Relaxed)
    }
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is stored.
    Placed(Position),
    /// It was refused by the shard's limit.
    Throttled,
    /// It was refused since the lane is full.
    Full,
    /// It is not stored and never will be: the shard has ended.
    Ended,
    /// It is not stored and never will be: this broker does not own the shard.
    NotOwner,
    /// Nobody knows.
    Unavailable(String),
}

/// Why an owner can't go on with its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The shard has ended.
    Ended,
    /// Another broker appends to it.
    NotOwner,
    /// The lane is full; what was to be stored is not.
    Full,
    /// The log does not answer; what was to be stored may be.
    Unavailable(String),
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Outcome {
        match stop {
            Stop::Ended => Outcome::Ended,
            Stop::NotOwner => Outcome::NotOwner,
            Stop::Full => Outcome::Full,
            Stop::Unavailable(why) => Outcome::Unavailable(why),
        }
    }
}

/// The records of one request and their places in the hash space.
pub(crate) struct Incoming {
    pub(crate) records: Vec<Record>,
    pub(crate) keys: Vec<HashKey>,
}

impl Incoming {
    pub(crate) fn new(records: Vec<Record>) -> Incoming {
        let keys = records.iter().map(Record::hash_key).collect();
        Incoming { records, keys }
    }
}

/// Records of one request that go to one shard.
struct Batch {
    records: Arc<Incoming>,
    /// Which of `records`.
    indices: Vec<u32>,
    /// Where they came to lie, for as many as are stored.
    placed: Vec<Outcome>,
    bytes: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Batch {
    /// Answers: what is placed is, the rest is not.
    fn finish(mut self, rest: Outcome) {
        self.placed.resize(self.indices.len(), rest);
        let _ = self.reply.send(self.placed);
    }
}

enum Command {
    Append(Batch),
    /// Find out where the shard ends, then answer.
    Hold(oneshot::Sender<Result<(), Stop>>),
    /// The shard is the parent of a reshard: end it.
    Close,
    /// Another broker owns the shard now.
    Release,
}

/// A shard that this broker owns, as the rest of the broker sees it.
pub(crate) struct OwnedShard {
    pub(crate) address: ShardAddress,
    commands: mpsc::UnboundedSender<Command>,
    queued_bytes: AtomicUsize,
    limit: Mutex<Option<WriteLimit>>,
    pub(crate) load: Mutex<LoadWindow>,
    tail: Mutex<Tail>,
}

impl OwnedShard {
    /// Makes the owner of a shard; `run` is its task.
    pub(crate) fn start(
        context: Arc<OwnerContext>,
        address: ShardAddress,
    ) -> (Arc<OwnedShard>, impl Future<Output = ()> + Send + 'static) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let shard = Arc::new(OwnedShard {
            address,
            commands,
            queued_bytes: AtomicUsize::new(0),
            limit: Mutex::new(None),
            load: Mutex::default(),
            tail: Mutex::default(),
        });
        let owner = Owner { context, shard: shard.clone(), inbox, held: None, ended: false, end: None };
        (shard, owner.run())
    }

    /// Whether the owner's task has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.commands.is_closed()
    }

    /// Returns once the owner's task has ended.
    pub(crate) async fn gone(&self) {
        self.commands.closed().await;
    }

    /// Appends `indices` of `records`; the outcomes stand in the order of the indices.
    pub(crate) async fn append(
        &self,
        config: &StreamConfig,
        queue_bytes: usize,
        records: Arc<Incoming>,
        indices: Vec<u32>,
    ) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Throttled; indices.len()];
        let (slots, bytes) = self.admit(config, queue_bytes, &records.records, &indices);
        if slots.is_empty() {
            return outcomes;
        }
        let all = slots.len() == indices.len();
        let chosen = if all { indices } else { slots.iter().map(|slot| indices[*slot as usize]).collect() };
        let (reply, answer) = oneshot::channel();
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let placed = Vec::with_capacity(chosen.len());
        let batch = Batch { records, indices: chosen, placed, bytes, reply };
        let answers = match self.commands.send(Command::Append(batch)) {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        // An owner that went away without an answer never took the batch: it answers all that it took.
        let Some(answers) = answers else {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return vec![Outcome::NotOwner; outcomes.len()];
        };
        if all {
            return answers;
        }
        for (slot, answer) in slots.into_iter().zip(answers) {
            outcomes[slot as usize] = answer;
        }
        outcomes
    }

    /// Which of the records pass the shard's limit, by their place in `indices`, and their bytes.
    fn admit(
        &self,
        config: &StreamConfig,
        queue_bytes: usize,
        records: &[Record],
        indices: &[u32],
    ) -> (Vec<u32>, usize) {
        let rates = write_rates(config);
        let now = Instant::now();
        let mut room = queue_bytes.saturating_sub(self.queued_bytes.load(Ordering::Relaxed));
        let mut limit = self.limit.lock();
        let mut slots = Vec::with_capacity(indices.len());
        let mut bytes = 0;
        for (slot, index) in indices.iter().enumerate() {
            let size = records[*index as usize].billed_bytes();
            let passes = match rates {
                None => true,
                Some(rates) => {
                    limit.get_or_insert_with(|| WriteLimit::full(rates, now)).take(rates, size, now)
                }
            };
            if passes && room > 0 {
                room = room.saturating_sub(size);
                bytes += size;
                slots.push(slot as u32);
            }
        }
        drop(limit);
        let throttled = indices.len() - slots.len();
        if throttled > 0 {
            self.load.lock().throttled(throttled as u32);
        }
        (slots, bytes)
    }

    /// What a reader at `from` needs to know of the shard's end.
    pub(crate) async fn tail(&self, from: u64, max_bytes: usize) -> Result<TailView, Stop> {
        let view = self.tail.lock().view(from, max_bytes);
        if let Some(view) = view {
            let bytes: usize = view.packs.iter().map(|pack| pack.pack.len()).sum();
            if bytes > 0 {
                self.load.lock().read(bytes as u64);
            }
            return Ok(view);
        }
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Hold(reply)).map_err(|_| Stop::NotOwner)?;
        answer.await.map_err(|_| Stop::NotOwner)??;
        self.tail.lock().view(from, max_bytes).ok_or(Stop::NotOwner)
    }

    /// Asks the owner to end the shard.
    pub(crate) fn close(&self) {
        let _ = self.commands.send(Command::Close);
    }

    /// Asks the owner to finish what is in flight and to go.
    pub(crate) fn release(&self) {
        let _ = self.commands.send(Command::Release);
    }
}

/// What an owner knows of its shard in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The sequence of the last message, 0 when there is none.
    pub(super) last: u64,
    /// When the last record arrived, in Unix milliseconds.
    pub(super) last_arrival_ms: i64,
    /// Whether the map named the shard open when it was read after `last` was known.
    pub(super) open: bool,
}

/// The owner's task.
pub(super) struct Owner {
    pub(super) context: Arc<OwnerContext>,
    pub(super) shard: Arc<OwnedShard>,
    inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) held: Option<Held>,
    /// Whether the shard takes no more records.
    pub(super) ended: bool,
    /// Where its CLOSE is stored, if this owner has seen it.
    pub(super) end: Option<u64>,
}

impl Owner {
    async fn run(mut self) {
        let mut queue: VecDeque<Batch> = VecDeque::new();
        let mut holds = Vec::new();
        let mut release = false;
        while !release {
            let mut close = false;
            if queue.is_empty() {
                let Some(command) = self.inbox.recv().await else { break };
                Self::sort(command, &mut queue, &mut holds, &mut close, &mut release);
            }
            while let Ok(command) = self.inbox.try_recv() {
                Self::sort(command, &mut queue, &mut holds, &mut close, &mut release);
            }
            if close && !release {
                self.close().await;
            }
            for hold in holds.drain(..) {
                let _ = hold.send(self.hold().await);
            }
            if self.ended {
                self.fail(&mut queue, &Stop::Ended);
            } else if !queue.is_empty() && !release {
                self.append(&mut queue).await;
            }
        }
        // Nothing is in flight any more. What waited was never sent: another owner may take it.
        self.inbox.close();
        while let Ok(command) = self.inbox.try_recv() {
            Self::sort(command, &mut queue, &mut holds, &mut false, &mut release);
        }
        self.fail(&mut queue, &Stop::NotOwner);
        self.forget();
    }

    fn sort(
        command: Command,
        queue: &mut VecDeque<Batch>,
        holds: &mut Vec<oneshot::Sender<Result<(), Stop>>>,
        close: &mut bool,
        release: &mut bool,
    ) {
        match command {
            Command::Append(batch) => queue.push_back(batch),
            Command::Hold(reply) => holds.push(reply),
            Command::Close => *close = true,
            Command::Release => *release = true,
        }
    }

    fn fail(&self, queue: &mut VecDeque<Batch>, stop: &Stop) {
        for batch in queue.drain(..) {
            self.done(batch, stop.clone().into());
        }
    }

    fn done(&self, batch: Batch, rest: Outcome) {
        self.shard.queued_bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
        batch.finish(rest);
    }

    /// What is known of the log is doubtful from here on.
    pub(super) fn forget(&mut self) {
        self.held = None;
        if !self.ended {
            self.shard.tail.lock().clear(&self.context.tails_bytes);
        }
    }

    async fn hold(&mut self) -> Result<(), Stop> {
        match self.held.is_some() || self.ended {
            true => Ok(()),
            false => match self.acquire().await {
                // A reader of a shard that has just ended gets its end.
                Err(Stop::Ended) => Ok(()),
                other => other.map(|_| ()),
            },
        }
    }

    /// Appends one pack of what waits, from the front.
    async fn append(&mut self, queue: &mut VecDeque<Batch>) {
        let now_ms = self.context.clock.now_ms();
        let held = match self.ready().await {
            Ok(held) => held,
            Err(stop) => return self.fail(queue, &stop),
        };
        let pack_id = self.context.next_pack_id();
        let room: usize = self.shard.queued_bytes.load(Ordering::Relaxed).min(1 << 20) + 4096;
        let arrival_ms =
            if sabotage::is(Bug::LetArrivalGoBack) { now_ms } else { now_ms.max(held.last_arrival_ms) };
        let mut builder = PackBuilder::new(self.context.me, pack_id, arrival_ms, room);
        // How many records of each batch, from the front of the queue, are in the pack.
        let mut parts = Vec::with_capacity(queue.len());
        'fill: for batch in queue.iter() {
            let mut count = 0;
            for index in &batch.indices[batch.placed.len()..] {
                let record = &batch.records.records[*index as usize];
                if !builder.fits(record) {
                    parts.push(count);
                    break 'fill;
                }
                builder.push(record, arrival_ms);
                count += 1;
            }
            parts.push(count);
        }
        let result = self.store(pack_id, builder.finish(), arrival_ms, false).await;
        let sequence = match result {
            Ok(sequence) => sequence,
            Err(stop @ (Stop::Ended | Stop::NotOwner)) => return self.fail(queue, &stop),
            Err(stop) => {
                // Batches behind the pack were not part of it and may still go.
                let mut failed: VecDeque<Batch> = queue.drain(..parts.len()).collect();
                return self.fail(&mut failed, &stop);
            }
        };
        self.count(queue, &parts);
        let mut index = 0;
        for count in parts {
            let Some(batch) = queue.front_mut() else { break };
            for _ in 0..count {
                batch.placed.push(Outcome::Placed(Position { pack: sequence, index }));
                index += 1;
            }
            if batch.placed.len() == batch.indices.len()
                && let Some(batch) = queue.pop_front()
            {
                self.done(batch, Outcome::NotOwner);
            }
        }
    }

    /// Notes the load that a stored pack was.
    fn count(&self, queue: &VecDeque<Batch>, parts: &[usize]) {
        let mut load = self.shard.load.lock();
        for (batch, count) in queue.iter().zip(parts) {
            let from = batch.placed.len();
            for index in &batch.indices[from..from + count] {
                let (record, key) =
                    (&batch.records.records[*index as usize], batch.records.keys[*index as usize]);
                load.record(key, record.billed_bytes() as u32);
            }
        }
    }

    /// Ends the shard for the reshard that the map names, and helps to finish that.
    ///
    /// A crash before the CLOSE changes nothing: the intent stands, and the next owner finds it. A crash after
    /// it is found by the next owner as the shard's last message.
    async fn close(&mut self) {
        if self.ended {
            if let Some(end) = self.end {
                self.finish_reshard(end).await;
            }
            return;
        }
        let address = self.shard.address.clone();
        let result = match self.ready().await {
            Err(stop) => Err(stop),
            Ok(_) => {
                // Read by `ready` from the leader, if this owner is new; a reshard is never taken back.
                let known = self.context.catalog.map(&address.data);
                match known.and_then(|known| known.map.reshard_of(address.shard).map(|r| r.epoch)) {
                    None => return,
                    Some(epoch) => self.append_close(epoch).await,
                }
            }
        };
        if let Err(stop) = result
            && stop != Stop::Ended
        {
            // The reshards' watch asks again.
            tracing::debug!(shard = %address.shard, data = %address.data, ?stop, "the shard is not closed yet");
        }
    }

    /// Appends the CLOSE for the reshard of this epoch.
    pub(super) async fn append_close(&mut self, epoch: Epoch) -> Result<(), Stop> {
        let last_arrival_ms = self.held.map_or(0, |held| held.last_arrival_ms);
        let pack_id = self.context.next_pack_id();
        let now_ms = self.context.clock.now_ms().max(last_arrival_ms);
        let pack = close_pack(self.context.me, pack_id, now_ms, epoch);
        self.store(pack_id, pack, now_ms, true).await.map(|_| ())
    }

    /// Notes a stored message for readers at the tail.
    pub(super) fn note(&self, pack: super::tail::TailPack, arrival_ms: i64, closed: bool) {
        let settings = &self.context.settings;
        self.shard.tail.lock().push(
            pack,
            arrival_ms,
            closed,
            settings.tail_bytes,
            &self.context.tails_bytes,
            settings.tails_bytes,
        );
    }

    /// Notes where the shard ends in the log.
    pub(super) fn begin(&self, last: u64, last_arrival_ms: i64, closed: bool) {
        self.shard.tail.lock().begin(last, last_arrival_ms, closed, &self.context.tails_bytes);
    }
}
