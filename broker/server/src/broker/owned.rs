//! A shard that this broker owns, as the rest of the broker sees it: what can be asked of its owner, and what of
//! that passes the shard's limit. The owner itself is the task in [`super::owner`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_core::load::LoadWindow;
use millrace_core::{HashKey, Position, Record, StreamConfig};
use millrace_log::ShardAddress;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::changes::Changed;
use super::limits::{WriteLimit, write_rates};
use super::owner::{Owner, OwnerContext};
use super::tail::{Tail, TailView};

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
pub(super) struct Batch {
    pub(super) records: Arc<Incoming>,
    /// Which of `records`.
    pub(super) indices: Vec<u32>,
    /// Where they came to lie, for as many as are stored.
    pub(super) placed: Vec<Outcome>,
    pub(super) bytes: usize,
    /// Whether an owner has begun to work on it.
    taken: bool,
    reply: Option<oneshot::Sender<Vec<Outcome>>>,
}

impl Batch {
    /// An owner begins to work on it.
    pub(super) fn take(mut self) -> Batch {
        self.taken = true;
        self
    }

    /// Answers: what is placed is, the rest is not.
    pub(super) fn finish(mut self, rest: Outcome) {
        self.answer(rest);
    }

    fn answer(&mut self, rest: Outcome) {
        let Some(reply) = self.reply.take() else { return };
        self.placed.resize(self.indices.len(), rest);
        // Whoever asked may have gone away.
        let _ = reply.send(std::mem::take(&mut self.placed));
    }
}

impl Drop for Batch {
    /// An owner that is cut off in its work may have stored it, and may not. One that was never taken is dropped
    /// without an answer.
    fn drop(&mut self) {
        if self.taken {
            self.answer(Outcome::Unavailable("its owner was cut off while it stored the record".to_owned()));
        }
    }
}

/// What an owner is asked.
pub(super) enum Command {
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
    pub(super) queued_bytes: AtomicUsize,
    limit: Mutex<Option<WriteLimit>>,
    pub(crate) load: Mutex<LoadWindow>,
    pub(super) tail: Mutex<Tail>,
    /// Counts what the tail is told.
    pub(super) news: Changed,
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
            news: Changed::default(),
        });
        let owner = Owner::new(context, shard.clone(), inbox);
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
        let batch = Batch { records, indices: chosen, placed, bytes, taken: false, reply: Some(reply) };
        let answers = match self.commands.send(Command::Append(batch)) {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        // Without an answer no owner ever took the batch: each that was taken is answered, also by an owner
        // that is cut off.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> (Batch, oneshot::Receiver<Vec<Outcome>>) {
        let (reply, answer) = oneshot::channel();
        let records = Arc::new(Incoming::new(Vec::new()));
        let reply = Some(reply);
        (Batch { records, indices: vec![0, 1], placed: Vec::new(), bytes: 0, taken: false, reply }, answer)
    }

    #[test]
    fn records_that_an_owner_was_cut_off_with_may_be_stored() {
        let (batch, mut answer) = batch();
        drop(batch.take());
        let outcomes = answer.try_recv().expect("an answer");
        assert!(matches!(&outcomes[..], [Outcome::Unavailable(_), Outcome::Unavailable(_)]), "{outcomes:?}");
    }

    #[test]
    fn records_that_no_owner_took_are_not_stored() {
        let (batch, mut answer) = batch();
        drop(batch);
        assert!(answer.try_recv().is_err());
    }

    #[test]
    fn what_is_answered_is_answered_once() {
        let (batch, mut answer) = batch();
        batch.take().finish(Outcome::Ended);
        assert_eq!(answer.try_recv(), Ok(vec![Outcome::Ended, Outcome::Ended]));
    }
}
