//! Several brokers on one real nats-server, speaking to each other over HTTP/2: what is put through any of them
//! is read through any other, across splits, merges and the end of a broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_core::plan::Action;
use millrace_core::{
    DataId, HashKey, Limits, Position, Record, SequenceNumber, ShardId, ShardMap, StreamConfig, StreamEntry,
    StreamState, keys,
};
use millrace_log::jetstream::{ConnectSettings, JetStream, Settings as LogSettings};
use millrace_log::nats_server::{NatsServer, NatsServerOptions};
use millrace_log::{Kv, LaneAddress, LaneConfig, Log};
use millrace_server::broker::{Broker, BrokerParts, PutError, Settings, Shard, Stream};
use millrace_server::clock::SystemClock;
use millrace_server::peer_http::{HttpPeers, serve_peers};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

struct Cluster {
    brokers: Vec<Arc<Broker>>,
    jetstream: JetStream,
    _server: NatsServer,
    _data: tempfile::TempDir,
}

impl Cluster {
    async fn start(brokers: usize) -> Cluster {
        let data = tempfile::tempdir().unwrap();
        let server = NatsServer::start(NatsServerOptions::new(data.path())).await.unwrap();
        let jetstream =
            JetStream::connect(&[server.url()], ConnectSettings::default(), LogSettings::default())
                .await
                .unwrap();
        let mut cluster = Cluster { brokers: Vec::new(), jetstream, _server: server, _data: data };
        for _ in 0..brokers {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let parts = BrokerParts {
                log: Arc::new(cluster.jetstream.log()),
                kv: Arc::new(cluster.jetstream.kv().await.unwrap()),
                heartbeats: Arc::new(cluster.jetstream.heartbeats().await.unwrap()),
                peers: Arc::new(HttpPeers::new(None)),
                clock: Arc::new(SystemClock),
                declarations: None,
                address: listener.local_addr().unwrap().to_string(),
                settings: Settings::default(),
            };
            let broker = Arc::new(Broker::start(parts).await.unwrap());
            tokio::spawn(serve_peers(listener, broker.clone(), None, CancellationToken::new()));
            cluster.brokers.push(broker);
        }
        cluster
    }

    /// Makes a stream as the controller would, and waits until every broker knows it.
    async fn make_stream(&self, name: &str, shards: u32) -> DataId {
        let config = StreamConfig { shards, limits: Limits::None, ..StreamConfig::default() };
        let data = DataId::from_random(u128::from(shards) + 7);
        let map = ShardMap::new(shards, 0);
        let log = self.jetstream.log();
        for lane in 0..map.lanes {
            let lane = LaneAddress { data: data.clone(), lane: millrace_core::Lane(lane) };
            let config = LaneConfig { max_age_s: config.retention_s, max_bytes: 64 << 20 };
            log.ensure_lane(&lane, &config).await.unwrap();
        }
        let kv = self.jetstream.kv().await.unwrap();
        kv.create(&keys::map(&data), map.encode().into()).await.unwrap();
        let entry = StreamEntry { data: data.clone(), state: StreamState::Active, created_ms: 0, config };
        kv.create(&keys::stream("default", name), entry.encode().into()).await.unwrap();
        for broker in &self.brokers {
            let mut changes = broker.changes();
            while broker.stream("default", name).is_none_or(|stream| stream.map.is_none()) {
                changes.changed().await;
            }
        }
        data
    }

    fn stream(&self, broker: usize) -> Arc<Stream> {
        self.brokers[broker].stream("default", "orders").unwrap()
    }

    /// Waits until a broker knows a map for which this holds.
    async fn await_map(&self, broker: usize, holds: impl Fn(&ShardMap) -> bool) {
        let mut changes = self.brokers[broker].changes();
        let reached = async {
            while !self.stream(broker).map.as_ref().is_some_and(|map| holds(map)) {
                changes.changed().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reached).await.expect("the map does not come to that");
    }
}

fn record(key: usize, number: usize) -> Record {
    Record {
        partition_key: Bytes::from(format!("key-{key}")),
        explicit_hash_key: None,
        data: Bytes::from(format!("{number}")),
    }
}

/// Reads every shard, children after their parents; each key's numbers in the order in which they were read.
async fn read_all(broker: &Broker, stream: &Stream) -> BTreeMap<String, Vec<usize>> {
    let mut read: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut shards = broker.shards(stream).await.unwrap();
    // Numbers are given out in the order of reshards: parents have lower ones than their children.
    shards.sort_by_key(Shard::id);
    for shard in shards {
        let mut next = Some(Position::START);
        let mut last: Option<SequenceNumber> = None;
        while let Some(from) = next {
            let batch = broker.read(stream, shard.id(), from, None, 1_000, 1 << 20).await.unwrap();
            for (sequence, record) in &batch.records {
                assert!(last.is_none_or(|last| last < *sequence), "sequence numbers increase");
                last = Some(*sequence);
                let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
                read.entry(text(&record.partition_key))
                    .or_default()
                    .push(text(&record.data).parse().unwrap());
            }
            let at_tail = batch.records.is_empty() && batch.millis_behind == 0;
            next = if at_tail { None } else { batch.next };
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_at_a_shards_end_hears_of_a_record_and_of_the_end_through_any_broker() {
    let cluster = Cluster::start(3).await;
    let data = cluster.make_stream("orders", 1).await;
    let shard = ShardId(0);
    let wait = async |from: Position| {
        let all = cluster.brokers.iter().map(|broker| broker.await_news(&data, shard, from));
        let waited = tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(all)).await;
        waited.expect("somebody hears nothing");
    };
    let latest = cluster.brokers[0].latest(&cluster.stream(0), shard).await.unwrap();
    let put = async {
        let stream = cluster.stream(1);
        for result in cluster.brokers[1].put(&stream, vec![record(0, 0)]).await {
            result.unwrap();
        }
    };
    tokio::join!(wait(latest), put);
    let latest = cluster.brokers[0].latest(&cluster.stream(0), shard).await.unwrap();
    let split = Action::Split { shard, cuts: vec![HashKey(5)] };
    let split = async { cluster.brokers[2].reshard(&cluster.stream(2), &[split]).await.unwrap() };
    tokio::join!(wait(latest), split);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_put_through_any_broker_are_read_through_any_other_across_reshards_and_a_brokers_end() {
    let cluster = Arc::new(Cluster::start(3).await);
    let stop = CancellationToken::new();
    cluster.make_stream("orders", 2).await;
    let mut writers = Vec::new();
    for writer in 0..6 {
        let (cluster, stop) = (cluster.clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            // The third broker ends during the test: nobody writes through it.
            let broker = writer % 2;
            let mut number = 0;
            while !stop.is_cancelled() {
                let stream = cluster.stream(broker);
                let records = (0..5).map(|key| record(writer * 5 + key, number)).collect();
                for result in cluster.brokers[broker].put(&stream, records).await {
                    result.unwrap();
                }
                number += 1;
            }
            number
        }));
    }
    let stream = cluster.stream(0);
    let cuts = vec![HashKey(1 << 125), HashKey(1 << 126)];
    cluster.brokers[1].reshard(&stream, &[Action::Split { shard: ShardId(0), cuts }]).await.unwrap();
    cluster.await_map(0, |map| map.open.len() == 4).await;
    cluster.brokers[2].stop().await;
    let merge = Action::Merge { shard: ShardId(3), adjacent: ShardId(2) };
    cluster.brokers[0].reshard(&stream, &[merge]).await.unwrap();
    cluster.await_map(1, |map| map.open.len() == 3 && map.reshards.is_empty()).await;
    stop.cancel();
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    for broker in 0..2 {
        let read = read_all(&cluster.brokers[broker], &cluster.stream(broker)).await;
        for (writer, count) in written.iter().enumerate() {
            assert!(*count > 0);
            for key in 0..5 {
                let numbers = &read[&format!("key-{}", writer * 5 + key)];
                assert!(numbers.iter().copied().eq(0..*count), "key {key}: {numbers:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_refuses_records_and_keeps_what_it_has() {
    let cluster = Cluster::start(1).await;
    cluster.make_stream("orders", 1).await;
    let stream = cluster.stream(0);
    let large = |n: u8| Record {
        partition_key: Bytes::from(vec![b'a' + n]),
        explicit_hash_key: None,
        data: Bytes::from(vec![n; 1 << 20]),
    };
    let mut acknowledged = 0;
    let full = loop {
        let result = cluster.brokers[0].put(&stream, vec![large(acknowledged)]).await.pop().unwrap();
        match result {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, PutError::StorageFull(ShardId(0)));
    assert!(acknowledged > 32);
    let mut read = 0;
    let mut from = Position::START;
    loop {
        let batch = cluster.brokers[0].read(&stream, ShardId(0), from, None, 100, 10 << 20).await.unwrap();
        read += batch.records.len();
        from = batch.next.unwrap();
        if batch.records.is_empty() && batch.millis_behind == 0 {
            break;
        }
    }
    assert_eq!(read, usize::from(acknowledged));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_the_tail_sees_what_comes_and_latest_is_fixed_when_it_is_asked_for() {
    let cluster = Cluster::start(2).await;
    cluster.make_stream("orders", 1).await;
    let stream = cluster.stream(0);
    let put = async |number| {
        for result in cluster.brokers[0].put(&stream, vec![record(1, number)]).await {
            result.unwrap();
        }
    };
    put(1).await;
    let latest = cluster.brokers[1].latest(&stream, ShardId(0)).await.unwrap();
    put(2).await;
    put(3).await;
    let batch = cluster.brokers[1].read(&stream, ShardId(0), latest, None, 10, 1 << 20).await.unwrap();
    let read: Vec<_> = batch.records.iter().map(|(_, record)| record.data.clone()).collect();
    assert_eq!(read, ["2", "3"].map(Bytes::from));
    assert_eq!(batch.millis_behind, 0);
    let one = cluster.brokers[1].read(&stream, ShardId(0), Position::START, None, 1, 1 << 20).await.unwrap();
    assert_eq!((one.records.len(), one.millis_behind > 0), (1, true));
}
