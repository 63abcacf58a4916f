//! One client's view of the cluster.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::network::Link;
use super::watch::{Source, watch};
use super::{Blow, Change, Fate, LaneData, MemoryCluster, State};
use crate::{
    AppendError, Heartbeats, Kv, KvEntry, KvError, KvEvent, LaneAddress, LaneConfig, LaneState, Log,
    LogError, Message, ReadLimits, ShardAddress,
};

/// A connection to a [`MemoryCluster`]. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryClient {
    cluster: MemoryCluster,
    link: Arc<Link>,
}

/// What a request finds when it takes effect.
struct Arrival<'a> {
    state: &'a mut State,
    client: &'a Arc<str>,
    now_ms: i64,
    /// What a lagging replica has seen.
    until_ms: i64,
    /// Whether a deposed leader answers a write, and refuses it, while it takes effect.
    deposed: bool,
}

impl Arrival<'_> {
    fn tell(&mut self, change: Change) {
        self.state.tell(self.now_ms, self.client, change);
    }

    fn lane(&mut self, lane: &LaneAddress) -> Result<&mut LaneData, LogError> {
        self.state.lane(lane, self.now_ms).ok_or(LogError::NoLane)
    }
}

/// Nobody answered in time.
struct NoAnswer;

impl NoAnswer {
    const TEXT: &str = "no answer in time";
}

impl MemoryClient {
    pub(super) fn new(cluster: MemoryCluster, link: Arc<Link>) -> MemoryClient {
        MemoryClient { cluster, link }
    }

    /// The cluster that this is a connection to.
    pub fn cluster(&self) -> &MemoryCluster {
        &self.cluster
    }

    /// Ends the client: calls that wait never return, watches tell nothing more, and nothing goes out. What
    /// has left it already may still take effect.
    pub fn crash(&self) {
        self.link.crash();
    }

    /// Whether the client has crashed.
    pub fn is_crashed(&self) -> bool {
        self.link.is_crashed()
    }

    /// Returns once the client has crashed.
    pub async fn crashed(&self) {
        self.link.crashed().await;
    }

    /// Stops the client as SIGSTOP does: nothing goes out, comes in or times out until [`MemoryClient::resume`];
    /// then it goes on with what it had decided, however stale.
    pub fn pause(&self) {
        self.link.pause(true);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.link.pause(false);
    }

    /// Returns when the client is not paused. Never, once it has crashed.
    pub async fn running(&self) {
        self.link.running().await;
    }

    /// Cuts the client off: requests are lost or wait (see [`super::Faults`]), replies are lost.
    pub fn cut(&self) {
        self.link.cut(true);
    }

    /// Ends a cut. Watches tell everything again.
    pub fn heal(&self) {
        self.link.cut(false);
    }

    /// Whether messages come in and go out: it has not crashed, is not paused and not cut off.
    pub fn is_reachable(&self) -> bool {
        self.link.is_open()
    }

    /// Sends a request, lets it take effect when and if it arrives, and returns what came back. The request
    /// goes its way also if the caller does not wait for the answer.
    async fn request<T: Send + 'static>(
        &self,
        counted: bool,
        act: impl FnOnce(&mut Arrival<'_>) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        // A paused client asks nothing; a crashed one never again.
        self.link.running().await;
        let (fate, blow) = self.cluster.fate(counted);
        if blow == Some(Blow::CrashBefore) {
            self.link.crash();
            return pending().await;
        }
        let (reply, answer) = oneshot::channel();
        let (cluster, link) = (self.cluster.clone(), self.link.clone());
        if !(fate.lost || blow == Some(Blow::LoseRequest) || (link.is_cut() && fate.lost_when_cut)) {
            tokio::spawn(async move {
                link.open().await;
                pass(fate.there).await;
                let result = cluster.act(&link, &fate, act);
                if blow == Some(Blow::CrashAfter) {
                    link.crash();
                }
                pass(fate.back).await;
                if fate.reply_lost || blow == Some(Blow::LoseReply) || link.is_cut() {
                    return;
                }
                link.open().await;
                let _ = reply.send(result);
            });
        }
        let mut answer = Box::pin(async {
            match answer.await {
                Ok(result) => result,
                // Request or reply are lost, of which the client learns nothing.
                Err(_) => pending().await,
            }
        });
        let in_time = timeout(fate.time_out, &mut answer).await;
        // A client that was paused meanwhile finds what has come in before it looks at the time.
        let was_paused = !self.link.is_running();
        self.link.running().await;
        match in_time {
            Err(_) if was_paused => timeout(Duration::from_millis(1), answer).await.map_err(|_| NoAnswer),
            answer => answer.map_err(|_| NoAnswer),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        lane: LaneAddress,
        question: impl FnOnce(&LaneData, i64) -> T + Send + 'static,
    ) -> Result<T, LogError> {
        let answer = self.request(true, move |arrival| {
            arrival.tell(Change::Asked);
            let until_ms = arrival.until_ms;
            arrival.lane(&lane).map(|lane| question(lane, until_ms))
        });
        answer.await.unwrap_or_else(|NoAnswer| Err(LogError::Unavailable(NoAnswer::TEXT.into())))
    }

    async fn kv<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Arrival<'_>) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let answer = self.request(true, act).await;
        answer.unwrap_or_else(|NoAnswer| Err(KvError::Unknown(NoAnswer::TEXT.into())))
    }

    async fn write(
        &self,
        key: &str,
        value: Bytes,
        put: impl FnOnce(&mut Arrival<'_>, &str, Bytes) -> Result<u64, KvError> + Send + 'static,
    ) -> Result<u64, KvError> {
        let key = key.to_owned();
        self.kv(move |arrival| {
            let result = put(arrival, &key, value.clone());
            arrival.tell(match result {
                Ok(revision) => Change::Written { key, revision, value },
                Err(_) => Change::Conflict { key },
            });
            if arrival.deposed { Err(KvError::Conflict) } else { result }
        })
        .await
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

impl MemoryCluster {
    fn act<T>(&self, link: &Link, fate: &Fate, act: impl FnOnce(&mut Arrival<'_>) -> T) -> T {
        let now_ms = self.now_ms();
        let mut state = self.inner.state.lock();
        let (client, until_ms) = (&link.name, now_ms - fate.lag_ms);
        act(&mut Arrival { state: &mut state, client, now_ms, until_ms, deposed: fate.deposed })
    }
}

#[async_trait]
impl Log for MemoryClient {
    async fn ensure_lane(&self, lane: &LaneAddress, config: &LaneConfig) -> Result<(), LogError> {
        let (lane, config) = (lane.clone(), config.clone());
        let made = self.request(true, move |arrival| {
            match arrival.state.lane(&lane, arrival.now_ms) {
                Some(data) if data.config == config => return,
                Some(data) => data.config = config,
                None => drop(arrival.state.lanes.insert(lane.clone(), LaneData::new(config))),
            }
            arrival.tell(Change::Lane { lane });
        });
        made.await.map_err(|NoAnswer| LogError::Unavailable(NoAnswer::TEXT.into()))
    }

    async fn delete_lane(&self, lane: &LaneAddress) -> Result<(), LogError> {
        let lane = lane.clone();
        let removed = self.request(true, move |arrival| {
            if arrival.state.lanes.remove(&lane).is_some() {
                arrival.tell(Change::Lane { lane });
            }
        });
        removed.await.map_err(|NoAnswer| LogError::Unavailable(NoAnswer::TEXT.into()))
    }

    async fn lane_state(&self, lane: &LaneAddress) -> Result<LaneState, LogError> {
        self.ask(lane.clone(), |lane, _| lane.state()).await
    }

    async fn append(&self, shard: &ShardAddress, expected: u64, pack: Bytes) -> Result<u64, AppendError> {
        let shard = shard.clone();
        let answer = self.request(true, move |arrival| {
            let now_ms = arrival.now_ms;
            let Ok(lane) = arrival.lane(&shard.lane()) else {
                // As JetStream: nobody listens on the subject, so nobody answers.
                return Err(AppendError::Unknown("no lane takes this subject".into()));
            };
            let result = lane.append(shard.shard, expected, pack.clone(), now_ms);
            arrival.tell(match result {
                Ok(sequence) => Change::Appended { shard, expected, sequence, payload: pack },
                Err(_) => Change::Refused { shard, expected },
            });
            if arrival.deposed { Err(AppendError::WrongSequence) } else { result }
        });
        answer.await.unwrap_or_else(|NoAnswer| Err(AppendError::Unknown(NoAnswer::TEXT.into())))
    }

    async fn last(&self, shard: &ShardAddress) -> Result<Option<Message>, LogError> {
        let id = shard.shard;
        self.ask(shard.lane(), move |lane, _| lane.last_of(id)).await
    }

    async fn first_after(&self, shard: &ShardAddress, after: u64) -> Result<Option<Message>, LogError> {
        let id = shard.shard;
        self.ask(shard.lane(), move |lane, _| lane.first_after(id, after)).await
    }

    async fn read(
        &self,
        shard: &ShardAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError> {
        let id = shard.shard;
        self.ask(shard.lane(), move |lane, until_ms| lane.read(id, from, limits, until_ms)).await
    }

    async fn read_lane(
        &self,
        lane: &LaneAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError> {
        self.ask(lane.clone(), move |lane, until_ms| lane.read_all(from, limits, until_ms)).await
    }

    async fn seek(&self, shard: &ShardAddress, time_ms: i64) -> Result<Option<u64>, LogError> {
        let id = shard.shard;
        self.ask(shard.lane(), move |lane, until_ms| lane.seek(id, time_ms, until_ms)).await
    }
}

#[async_trait]
impl Kv for MemoryClient {
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        let key = key.to_owned();
        self.kv(move |arrival| {
            arrival.tell(Change::Asked);
            Ok(arrival.state.kv.get(&key))
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<KvEntry>, KvError> {
        let prefix = prefix.to_owned();
        self.kv(move |arrival| {
            arrival.tell(Change::Asked);
            Ok(arrival.state.kv.list(&prefix))
        })
        .await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, KvError> {
        let cluster = self.cluster.clone();
        self.write(key, value, move |arrival, key, value| {
            cluster.inner.kv_changed.notify_waiters();
            arrival.state.kv.create(key, value, arrival.now_ms)
        })
        .await
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, KvError> {
        let cluster = self.cluster.clone();
        self.write(key, value, move |arrival, key, value| {
            cluster.inner.kv_changed.notify_waiters();
            arrival.state.kv.update(key, value, revision, arrival.now_ms)
        })
        .await
    }

    async fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), KvError> {
        let (key, cluster) = (key.to_owned(), self.cluster.clone());
        self.kv(move |arrival| {
            let result = arrival.state.kv.delete(&key, revision, arrival.now_ms);
            cluster.inner.kv_changed.notify_waiters();
            match &result {
                Ok(None) => arrival.tell(Change::Asked),
                Ok(Some(_)) => arrival.tell(Change::Removed { key }),
                Err(_) => arrival.tell(Change::Conflict { key }),
            }
            result.map(drop)
        })
        .await
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, KvEvent> {
        watch(self.cluster.clone(), self.link.clone(), Source::Kv, prefix.to_owned())
    }
}

#[async_trait]
impl Heartbeats for MemoryClient {
    async fn beat(&self, key: &str, value: Bytes) -> Result<(), KvError> {
        let (key, cluster) = (key.to_owned(), self.cluster.clone());
        let sent = self.request(false, move |arrival| {
            arrival.state.beats.set(&key, value, arrival.now_ms);
            cluster.inner.beats_changed.notify_waiters();
        });
        sent.await.map_err(|NoAnswer| KvError::Unknown(NoAnswer::TEXT.into()))
    }

    async fn stop(&self, key: &str) -> Result<(), KvError> {
        let (key, cluster) = (key.to_owned(), self.cluster.clone());
        let sent = self.request(false, move |arrival| {
            let _ = arrival.state.beats.delete(&key, None, arrival.now_ms);
            cluster.inner.beats_changed.notify_waiters();
        });
        sent.await.map_err(|NoAnswer| KvError::Unknown(NoAnswer::TEXT.into()))
    }

    fn watch_beats(&self) -> BoxStream<'static, KvEvent> {
        watch(self.cluster.clone(), self.link.clone(), Source::Beats, String::new())
    }
}
