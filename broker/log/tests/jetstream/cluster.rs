use std::time::Duration;

use millrace_log::jetstream::{JetStream, Settings};
use millrace_log::{AppendError, Log, LogError, Message, ReadLimits, ShardAddress};

use crate::servers::{Three, connect, eventually, log_with_lane, pack, roomy, shard};

/// Appends one pack as an owner does: in doubt it asks for the first message after the expected sequence.
pub(crate) async fn append(log: &impl Log, shard: &ShardAddress, expected: u64, seed: u64) -> u64 {
    let pack = pack(seed, 2000);
    eventually("an append that is settled", || async {
        match log.append(shard, expected, pack.clone()).await {
            Ok(sequence) => Some(sequence),
            Err(AppendError::Full(reason)) => panic!("full: {reason}"),
            Err(_) => {
                let found = log.first_after(shard, expected).await.ok()??;
                assert!(found.payload == pack, "nobody else appends to this shard");
                Some(found.sequence)
            }
        }
    })
    .await
}

pub(crate) async fn read_all(log: &impl Log, shard: &ShardAddress, until: u64) -> Vec<Message> {
    let limits = ReadLimits { messages: 500, bytes: 1 << 20 };
    let mut read: Vec<Message> = Vec::new();
    while read.last().is_none_or(|last| last.sequence < until) {
        let from = read.last().map_or(1, |last| last.sequence + 1);
        read.extend(eventually("a read", || async { log.read(shard, from, limits).await.ok() }).await);
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_missing_after_leaders_were_killed_under_appends() {
    let mut three = Three::start().await;
    let jetstream = three.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    let stream = shard(0).lane.stream_name(&shard(0).data);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (log, stopped) = (log.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut acknowledged: Vec<u64> = Vec::new();
                while !*stopped.borrow() {
                    let expected = acknowledged.last().copied().unwrap_or(0);
                    let seed = n * 1_000_000 + acknowledged.len() as u64;
                    acknowledged.push(append(&log, &shard(n), expected, seed).await);
                }
                acknowledged
            })
        })
        .collect();
    for _ in 0..3 {
        progress(&jetstream, 100).await;
        let leader = three.leader_of(&stream).await;
        three.servers[leader].kill();
        progress(&jetstream, 100).await;
        three.servers[leader].start_again().await;
    }
    stop.send(true).expect("writers that listen");
    for (n, writer) in writers.into_iter().enumerate() {
        let n = n as u64;
        let acknowledged = writer.await.expect("a writer that ends");
        let read = read_all(&log, &shard(n), acknowledged[acknowledged.len() - 1]).await;
        let sequences: Vec<u64> = read.iter().map(|message| message.sequence).collect();
        assert_eq!(sequences, acknowledged, "shard {n}: neither missing nor twice");
        for (index, message) in read.iter().enumerate() {
            assert!(message.payload == pack(n * 1_000_000 + index as u64, 2000));
        }
    }
    assert_eq!(jetstream.requests_in_flight(), 0);
}

/// Waits until the lane has taken so many more messages.
async fn progress(jetstream: &JetStream, messages: u64) {
    let log = jetstream.log();
    let last = || async { log.lane_state(&shard(0).lane()).await.ok().map(|state| state.last) };
    let begin = eventually("a state", last).await;
    eventually("progress", || async { last().await.filter(|last| *last >= begin + messages) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_acknowledged_and_no_lane_is_called_missing() {
    let mut three = Three::start().await;
    let jetstream = three.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    let first = append(&log, &shard(1), 0, 1).await;
    let stream = shard(1).lane.stream_name(&shard(1).data);
    let leader = three.leader_of(&stream).await;
    let survivor = (leader + 1) % 3;
    three.servers[leader].kill();
    three.servers[(leader + 2) % 3].kill();
    let settings = Settings { replicas: 3, timeout: Duration::from_millis(500), ..Settings::default() };
    let client = async_nats::connect(three.servers[survivor].url()).await.expect("a connection");
    let alone = JetStream::new(client, settings).await.expect("a connection").log();
    for _ in 0..10 {
        let appended = alone.append(&shard(1), first, pack(2, 2000)).await;
        assert!(matches!(appended, Err(AppendError::Unknown(_))), "{appended:?}");
        let state = alone.lane_state(&shard(1).lane()).await;
        assert!(matches!(state, Err(LogError::Unavailable(_))), "{state:?}");
        assert_ne!(alone.last(&shard(1)).await, Err(LogError::NoLane));
        let limits = ReadLimits { messages: 1, bytes: 1 };
        assert_ne!(alone.read(&shard(1), 1, limits).await, Err(LogError::NoLane));
    }
    for server in &mut three.servers {
        if !server.is_running() {
            server.start_again().await;
        }
    }
    let second = append(&log, &shard(1), first, 2).await;
    assert_eq!(read_all(&log, &shard(1), second).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_one_address_goes_on_when_that_server_is_away() {
    let mut three = Three::start().await;
    drop(three.connect().await);
    let settings = Settings { replicas: 3, timeout: Duration::from_secs(2), ..Settings::default() };
    let log = log_with_lane(&connect(&three.urls()[..1], settings).await, &roomy()).await;
    let first = append(&log, &shard(1), 0, 1).await;
    three.servers[0].kill();
    append(&log, &shard(1), first, 2).await;
}
