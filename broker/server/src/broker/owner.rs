//! The owner of one shard: groups what writers bring into packs, one in flight at a time, and ends the shard
//! when a reshard says so.
//!
//! An owner that crashes at any point leaves nothing to undo: records that it had not acknowledged may or may
//! not be stored, and the next owner finds the shard's last message in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use millrace_core::pack::{MAX_PACK_BYTES, PackBuilder, close_pack};
use millrace_core::{BrokerId, Epoch, Position};
use millrace_log::Log;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::catalog::Catalog;
use super::owned::{Batch, Command, Outcome, OwnedShard, Stop};
use super::settings::Settings;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::sabotage::{self, Bug};

/// What all owners of a broker share.
pub(crate) struct OwnerContext {
    pub(crate) me: BrokerId,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) kv: Arc<dyn millrace_log::Kv>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pack_ids: AtomicU64,
    pub(crate) tails_bytes: AtomicUsize,
}

impl OwnerContext {
    /// A pack id that this run of the broker has not used.
    pub(crate) fn next_pack_id(&self) -> u64 {
        self.pack_ids.fetch_add(1, Ordering::Relaxed)
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
    pub(super) fn new(
        context: Arc<OwnerContext>,
        shard: Arc<OwnedShard>,
        inbox: mpsc::UnboundedReceiver<Command>,
    ) -> Owner {
        Owner { context, shard, inbox, held: None, ended: false, end: None }
    }

    pub(super) async fn run(mut self) {
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
            Command::Append(batch) => queue.push_back(batch.take()),
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
        let room: usize = self.shard.queued_bytes.load(Ordering::Relaxed).min(MAX_PACK_BYTES) + 4096;
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
        let pack = builder.finish();
        let (bytes, began) = (pack.len(), Instant::now());
        let result = self.store(pack_id, pack, arrival_ms, false).await;
        let sequence = match result {
            Ok(sequence) => sequence,
            Err(stop @ (Stop::Ended | Stop::NotOwner)) => return self.fail(queue, &stop),
            Err(stop) => {
                // Batches behind the pack were not part of it and may still go.
                let mut failed: VecDeque<Batch> = queue.drain(..parts.len()).collect();
                return self.fail(&mut failed, &stop);
            }
        };
        self.context.metrics.appended(bytes, parts.iter().sum(), began.elapsed());
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
        self.shard.news.note();
    }

    /// Notes where the shard ends in the log.
    pub(super) fn begin(&self, last: u64, last_arrival_ms: i64, closed: bool) {
        self.shard.tail.lock().begin(last, last_arrival_ms, closed, &self.context.tails_bytes);
        self.shard.news.note();
    }
}
