//! One broker: what it knows of streams, which shards it owns, and the calls that APIs make on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use bytes::Bytes;
use millrace_core::beat::Beat;
use millrace_core::plan::{Action, PlanError};
use millrace_core::token::TokenKey;
use millrace_core::{
    BrokerId, ClosedShard, DataId, HashRange, Lane, OpenShard, Position, Record, SequenceNumber, ShardId,
    ShardMap, StoredRecord, StreamAttributes, StreamConfig, StreamEntry,
};
use millrace_log::{Heartbeats, Kv, Log, ShardAddress};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::metrics::Metrics;
use catalog::Catalog;
use history::History;
use members::Members;
use owned::OwnedShard;
use owner::OwnerContext;
use ready::Heard;
use tasks::Tasks;

pub use changes::Changes;
pub use declarations::Declarations;
pub use members::Member;
pub use news::NEWS_ASKED_AT_ONCE;
pub use peers::{NoPeers, PeerError, Peers};
pub use settings::Settings;

mod attributes;
mod beats;
mod catalog;
mod changes;
mod control;
mod declarations;
mod figures;
mod history;
mod limits;
mod members;
mod news;
mod owned;
mod owner;
mod peers;
mod put;
mod read;
mod ready;
mod reshards;
mod serve;
mod settings;
mod settle;
mod tail;
mod tasks;

/// A stream as this broker knows it at one moment.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The namespace it lives in.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Identity and configuration.
    pub entry: StreamEntry,
    /// Its open shards and reshards; `None` until they are made.
    pub map: Option<Arc<ShardMap>>,
    /// What its users keep of it.
    pub attributes: Arc<StreamAttributes>,
}

impl Stream {
    /// Whether its records are said to be encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.attributes.encryption_key.is_some()
    }
}

/// Where a record came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The shard that took it.
    pub shard: ShardId,
    /// Its sequence number there.
    pub sequence: SequenceNumber,
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// The shard takes no more than its limit; the record was not stored.
    #[error("rate exceeded for shard {0}")]
    Throttled(ShardId),
    /// The lane is at its quota; the record was not stored.
    #[error(
        "the stream's quota is used up in the lane of shard {0}: raise its quota or shorten its retention"
    )]
    StorageFull(ShardId),
    /// No answer in time: the record may have been stored. The client tries again.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
}

/// Where a shard stands, as far as readers care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shard {
    /// It takes records.
    Open {
        /// The range it has.
        range: HashRange,
        /// Its number, lane, epoch, parents and time it was opened.
        shard: OpenShard,
    },
    /// It has ended.
    Closed(ClosedShard),
}

impl Shard {
    /// Its number.
    pub fn id(&self) -> ShardId {
        match self {
            Shard::Open { shard, .. } => shard.id,
            Shard::Closed(closed) => closed.id,
        }
    }

    /// The lane it is stored in.
    pub fn lane(&self) -> Lane {
        match self {
            Shard::Open { shard, .. } => shard.lane,
            Shard::Closed(closed) => closed.lane,
        }
    }

    /// The epoch of its sequence numbers.
    pub fn epoch(&self) -> u64 {
        match self {
            Shard::Open { shard, .. } => shard.epoch,
            Shard::Closed(closed) => closed.epoch,
        }
    }
}

/// Records that were read.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// The records and their sequence numbers, in order.
    pub records: Vec<(SequenceNumber, StoredRecord)>,
    /// Where to go on; `None` when the shard has ended and everything was read.
    pub next: Option<Position>,
    /// How far the reader is behind the shard's newest record, in milliseconds; 0 at the tail.
    pub millis_behind: i64,
    /// At the shard's end: the shards that go on where it ended.
    pub children: Vec<Shard>,
}

/// Why a read got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such shard, or retention has taken it.
    #[error("{0} does not exist")]
    NoShard(ShardId),
    /// No answer in time.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
    /// What is stored can't be read.
    #[error("stored data can't be read: {0}")]
    Damaged(String),
}

/// Why a change to a stream was refused. Nothing has changed then, but for `Unavailable`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is a stream of that name.
    #[error("stream {0} exists already")]
    Exists(String),
    /// There is none.
    #[error("stream {0} does not exist")]
    NoStream(String),
    /// It is not in a state for that.
    #[error("stream {0} is not active")]
    NotActive(String),
    /// The shards do not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A rule refuses it, in a sentence that says what to do.
    #[error("{0}")]
    Refused(String),
    /// There may be no more of them.
    #[error("{0}")]
    TooMany(String),
    /// This broker may not do it.
    #[error("{0}")]
    Forbidden(String),
    /// No answer in time; it may have been done.
    #[error("no answer in time: {0}")]
    Unavailable(String),
}

/// What a broker is made of.
pub struct BrokerParts {
    /// Where records are stored.
    pub log: Arc<dyn Log>,
    /// Where streams and maps are stored.
    pub kv: Arc<dyn Kv>,
    /// How brokers know of each other.
    pub heartbeats: Arc<dyn Heartbeats>,
    /// How brokers reach each other.
    pub peers: Arc<dyn Peers>,
    /// The time of day and randomness.
    pub clock: Arc<dyn Clock>,
    /// Where streams are declared; `None`: in KV alone.
    pub declarations: Option<Arc<dyn Declarations>>,
    /// Where other brokers reach this one.
    pub address: String,
    /// Intervals and bounds.
    pub settings: Settings,
}

/// A broker can't start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The log does not answer.
    #[error("the log did not answer in time: {0}")]
    Unavailable(String),
}

/// One broker process. Its tasks end when it is stopped, killed or dropped.
pub struct Broker {
    inner: Arc<Inner>,
    tasks: Arc<Tasks>,
    token_key: TokenKey,
}

/// What a broker's calls and tasks share.
struct Inner {
    context: Arc<OwnerContext>,
    members: Members,
    peers: Arc<dyn Peers>,
    declarations: Option<Arc<dyn Declarations>>,
    heartbeats: Arc<dyn Heartbeats>,
    heard: Heard,
    history: History,
    owned: RwLock<BTreeMap<(DataId, ShardId), Arc<OwnedShard>>>,
    closed: Mutex<ClosedShards>,
    news_turns: Semaphore,
    tasks: std::sync::Weak<Tasks>,
    /// The owners among them, those that were let go included.
    owners: TaskTracker,
}

/// Entries of closed shards that were read before. They never change.
#[derive(Default)]
struct ClosedShards(BTreeMap<String, ClosedShard>);

impl ClosedShards {
    const MOST: usize = 10_000;

    fn get(&self, key: &str) -> Option<&ClosedShard> {
        self.0.get(key)
    }

    fn put(&mut self, key: String, closed: ClosedShard) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(key, closed);
    }
}

impl Inner {
    /// The owner of a shard on this broker; started if there is none.
    fn owned(&self, data: &DataId, lane: Lane, shard: ShardId) -> Arc<OwnedShard> {
        let key = (data.clone(), shard);
        if let Some(owned) = self.owned.read().get(&key).filter(|owned| !owned.is_gone()) {
            return owned.clone();
        }
        let mut all = self.owned.write();
        if let Some(owned) = all.get(&key).filter(|owned| !owned.is_gone()) {
            return owned.clone();
        }
        let address = ShardAddress { data: data.clone(), lane, shard };
        let (owned, task) = OwnedShard::start(self.context.clone(), address);
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.spawn(self.owners.track_future(task));
        }
        // It came too late for [`Broker::stop`] to let go of it.
        if self.members.is_leaving() {
            owned.release();
        }
        all.insert(key, owned.clone());
        owned
    }

    /// Lets go of all shards. Those that are still this broker's are taken anew when they are asked for.
    fn release_all(&self) {
        for (_, owned) in std::mem::take(&mut *self.owned.write()) {
            owned.release();
        }
    }

    /// Lets go of shards that others own now, or that are gone.
    fn release_others(&self) {
        // Keys are in the order of their streams: one set of open shards at a time.
        let mut open: Option<(DataId, BTreeSet<ShardId>)> = None;
        self.owned.write().retain(|(data, shard), owned| {
            if open.as_ref().is_none_or(|(of, _)| of != data) {
                let known = self.context.catalog.map(data);
                let ids =
                    known.iter().flat_map(|known| known.map.open.iter().map(|shard| shard.id)).collect();
                open = Some((data.clone(), ids));
            }
            let is_open = open.as_ref().is_some_and(|(_, ids)| ids.contains(shard));
            let keep = is_open && self.members.is_mine(data, *shard) && !owned.is_gone();
            if !keep {
                owned.release();
            }
            keep
        });
    }
}

impl Broker {
    /// Starts a broker: it knows the streams, is known to the other brokers and ready to serve when this
    /// returns.
    ///
    /// # Errors
    /// When the log does not answer in time.
    pub async fn start(parts: BrokerParts) -> Result<Broker, StartError> {
        let BrokerParts { log, kv, heartbeats, peers, clock, declarations, address, settings } = parts;
        let token_key = control::token_key(&*kv, &*clock, &settings).await?;
        let me = Member { id: BrokerId(clock.random()), address };
        let catalog = Arc::new(Catalog::new(kv.clone()));
        let history = History::new(log.clone(), settings.history_bytes);
        let members = Members::new(me.clone(), settings.alive_for);
        let context = Arc::new(OwnerContext {
            me: me.id,
            log,
            clock,
            catalog,
            kv,
            settings,
            metrics: Arc::default(),
            pack_ids: AtomicU64::new(1),
            tails_bytes: AtomicUsize::new(0),
        });
        let tasks = Arc::new(Tasks::new());
        let inner = Arc::new(Inner {
            context,
            members,
            peers,
            declarations,
            heartbeats,
            heard: Heard::new(),
            history,
            owned: RwLock::default(),
            closed: Mutex::default(),
            news_turns: Semaphore::new(NEWS_ASKED_AT_ONCE),
            tasks: Arc::downgrade(&tasks),
            owners: TaskTracker::new(),
        });
        let broker = Broker { inner: inner.clone(), tasks, token_key };
        figures::register(&inner);
        let (known, mut is_known) = watch::channel(false);
        let (met, mut has_met) = watch::channel(false);
        broker.tasks.spawn(inner.context.catalog.clone().follow(known));
        broker.tasks.spawn(beats::follow(inner.clone(), met));
        let ready = async {
            let _ = is_known.wait_for(|known| *known).await;
            let _ = has_met.wait_for(|met| *met).await;
        };
        let wait = inner.context.settings.put_for;
        if tokio::time::timeout(wait, ready).await.is_err() {
            return Err(StartError::Unavailable("streams and brokers could not be listed".to_owned()));
        }
        broker.tasks.spawn(beats::beat(inner.clone()));
        broker.tasks.spawn(reshards::watch(inner.clone()));
        broker.tasks.spawn(beats::release(inner));
        Ok(broker)
    }

    /// This run of this broker.
    pub fn id(&self) -> BrokerId {
        self.inner.context.me
    }

    /// Whether the broker can serve now: its log has taken its beats lately, and it is not about to stop. What it
    /// has to know of streams and brokers it knew when [`Broker::start`] returned.
    ///
    /// # Errors
    /// With why it can't, in one line.
    pub fn ready(&self) -> Result<(), String> {
        ready::ready(self.inner.members.is_leaving(), self.inner.heard.since())
    }

    /// What this broker counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.context.metrics
    }

    /// What this broker counts, in the text format of Prometheus.
    pub fn render_metrics(&self) -> String {
        self.inner.context.metrics.render(&self.inner.context.catalog.all())
    }

    /// Stops: tells the others first, finishes what is in flight, and hands the shards over.
    pub async fn stop(&self) {
        self.inner.members.leave();
        let key = millrace_core::keys::broker(self.id());
        if let Err(error) = self.inner.heartbeats.stop(&key).await {
            tracing::info!(%error, "the others will miss this broker's beats instead of being told");
        }
        // Whoever let go of a shard, and when: its owner is waited for until it has ended, else it would be cut off.
        self.inner.release_all();
        self.inner.owners.close();
        let _ = tokio::time::timeout(self.inner.context.settings.settle_for, self.inner.owners.wait()).await;
        self.tasks.abort();
    }

    /// Ends all of the broker's work where it is, as a crash would.
    pub fn kill(&self) {
        self.tasks.abort();
    }

    /// Answers another broker. The bytes are those that [`Peers::ask`] carries.
    ///
    /// # Errors
    /// When the request is not one that this version knows.
    pub async fn serve_peer(&self, request: Bytes) -> Result<Bytes, millrace_core::map::StoredFormatError> {
        serve::serve(&self.inner, request).await
    }

    /// The stream of this name, if there is one in the namespace.
    pub fn stream(&self, namespace: &str, name: &str) -> Option<Arc<Stream>> {
        self.inner.context.catalog.stream(namespace, name)
    }

    /// Counts the changes of what this broker knows of streams and their shards.
    pub fn changes(&self) -> Changes {
        self.inner.context.catalog.changes()
    }

    /// The stream that owns this data.
    pub fn stream_of(&self, data: &DataId) -> Option<Arc<Stream>> {
        self.inner.context.catalog.stream_of(data)
    }

    /// All streams of a namespace in the order of their names.
    pub fn streams(&self, namespace: &str) -> Vec<Arc<Stream>> {
        self.inner.context.catalog.streams(namespace)
    }

    /// Appends records, each to the shard that its hash key belongs to. The results stand in the order of
    /// the records. Never waits for longer than the request's time-out.
    pub async fn put(&self, stream: &Stream, records: Vec<Record>) -> Vec<Result<Placed, PutError>> {
        self.inner.put(stream, records).await
    }

    /// Reads records of a shard in order, beginning at `from`. `not_before_ms`: records that arrived earlier
    /// are passed over. No more than `max_records`, and none beyond `max_bytes` of data but the first.
    pub async fn read(
        &self,
        stream: &Stream,
        shard: ShardId,
        from: Position,
        not_before_ms: Option<i64>,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<ReadBatch, ReadError> {
        let wanted = read::Wanted { from, not_before_ms, max_records, max_bytes };
        let batch = self.inner.read(stream, shard, wanted).await?;
        self.inner.context.metrics.read(&batch);
        Ok(batch)
    }

    /// The place after a shard's newest record, from its owner: `LATEST`.
    pub async fn latest(&self, stream: &Stream, shard: ShardId) -> Result<Position, ReadError> {
        self.inner.latest(stream, shard).await
    }

    /// A place at or before a shard's first record that arrived at `time_ms` (Unix) or later.
    pub async fn seek(&self, stream: &Stream, shard: ShardId, time_ms: i64) -> Result<Position, ReadError> {
        self.inner.seek(stream, shard, time_ms).await
    }

    /// A stream's open shards, and the closed ones that retention has not taken, in the order of their ids.
    pub async fn shards(&self, stream: &Stream) -> Result<Vec<Shard>, ReadError> {
        self.inner.shards(stream).await
    }

    /// Makes a stream. It is `Creating` when this returns, and becomes `Active` soon after. If the data of a
    /// stream of this name was kept, that stream comes back with this configuration, and with its consumers.
    pub async fn create_stream(
        &self,
        namespace: &str,
        name: &str,
        config: StreamConfig,
        attributes: StreamAttributes,
    ) -> Result<(), ControlError> {
        self.inner.create_stream(namespace, name, config, attributes).await
    }

    /// Removes a stream and its data. It is `Deleting` when this returns, and is gone soon after.
    pub async fn delete_stream(&self, namespace: &str, name: &str) -> Result<(), ControlError> {
        self.inner.delete_stream(namespace, name).await
    }

    /// Changes a stream's configuration to what `change` makes of it (it may be called more than once).
    pub async fn configure_stream(
        &self,
        namespace: &str,
        name: &str,
        change: &(dyn Fn(&mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError> {
        self.inner.configure_stream(namespace, name, change).await
    }

    /// Writes the intents of `actions` into the stream's map. The owners carry them out.
    pub async fn reshard(&self, stream: &Stream, actions: &[Action]) -> Result<(), ControlError> {
        self.inner.reshard(stream, actions).await
    }

    /// The key that tokens are sealed with.
    pub fn token_key(&self) -> &TokenKey {
        &self.token_key
    }

    /// The time of day in Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.inner.context.clock.now_ms()
    }
}
