//! The in-memory log behaves as JetStream does, and its network as networks do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millrace_core::{DataId, Lane, ShardId};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{Blow, Change, Faults, MemoryClient, MemoryCluster};
use crate::{
    AppendError, Heartbeats, Kv, KvError, KvEvent, LaneAddress, LaneConfig, LaneState, Log, LogError,
    ReadLimits, ShardAddress,
};

const NOW_MS: i64 = 1_700_000_000_000;
const ALL: ReadLimits = ReadLimits { messages: 1_000, bytes: 1 << 20 };

fn shard(number: u64) -> ShardAddress {
    ShardAddress { data: DataId::from_random(1), lane: Lane(0), shard: ShardId(number) }
}

fn lane() -> LaneAddress {
    shard(0).lane()
}

fn pack(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn with_lane(faults: Faults, max_age_s: u64, max_bytes: u64) -> (MemoryCluster, MemoryClient) {
    let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
    let client = cluster.connect("a");
    client.ensure_lane(&lane(), &LaneConfig { max_age_s, max_bytes }).await.unwrap();
    cluster.set_faults(faults);
    (cluster, client)
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_append_is_taken_only_if_the_subjects_last_sequence_is_as_expected() {
    let (_, log) = with_lane(Faults::none(), 3_600, 1_000).await;
    assert_eq!(log.append(&shard(0), 0, pack("a")).await, Ok(1));
    assert_eq!(log.append(&shard(1), 0, pack("b")).await, Ok(2));
    assert_eq!(log.append(&shard(0), 2, pack("c")).await, Err(AppendError::WrongSequence));
    assert_eq!(log.append(&shard(0), 0, pack("c")).await, Err(AppendError::WrongSequence));
    assert_eq!(log.append(&shard(0), 1, pack("c")).await, Ok(3));
    assert_eq!(log.last(&shard(0)).await.unwrap().unwrap().sequence, 3);
    assert_eq!(log.first_after(&shard(0), 1).await.unwrap().unwrap().payload, pack("c"));
    assert_eq!(log.first_after(&shard(0), 3).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn once_retention_has_emptied_a_subject_zero_is_right_again_but_sequences_go_on() {
    let (_, log) = with_lane(Faults::none(), 10, 1_000).await;
    assert_eq!(log.append(&shard(0), 0, pack("a")).await, Ok(1));
    seconds(9).await;
    assert_eq!(log.lane_state(&lane()).await, Ok(LaneState { first: 1, last: 1, bytes: 1 }));
    seconds(1).await;
    assert_eq!(log.lane_state(&lane()).await, Ok(LaneState { first: 2, last: 1, bytes: 0 }));
    assert_eq!(log.append(&shard(0), 1, pack("b")).await, Err(AppendError::WrongSequence));
    assert_eq!(log.append(&shard(0), 0, pack("b")).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_refuses_and_takes_again_what_fits() {
    let (_, log) = with_lane(Faults::none(), 3_600, 4).await;
    assert_eq!(log.append(&shard(0), 0, pack("abc")).await, Ok(1));
    assert!(matches!(log.append(&shard(0), 1, pack("de")).await, Err(AppendError::Full(_))));
    assert_eq!(log.append(&shard(0), 1, pack("d")).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_not_there_is_said_to_be_missing() {
    let (_, log) = with_lane(Faults::none(), 3_600, 1_000).await;
    log.delete_lane(&lane()).await.unwrap();
    assert_eq!(log.last(&shard(0)).await, Err(LogError::NoLane));
    assert_eq!(log.lane_state(&lane()).await, Err(LogError::NoLane));
    assert!(matches!(log.append(&shard(0), 0, pack("a")).await, Err(AppendError::Unknown(_))));
    log.delete_lane(&lane()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reads_give_messages_in_order_within_their_limits() {
    let (_, log) = with_lane(Faults::none(), 3_600, 1_000).await;
    let mut last = 0;
    for text in ["aa", "bb", "cc"] {
        last = log.append(&shard(0), last, pack(text)).await.unwrap();
        log.append(&shard(1), last.saturating_sub(1), pack("x")).await.unwrap();
        seconds(1).await;
    }
    let sequences = |messages: Vec<crate::Message>| messages.iter().map(|m| m.sequence).collect::<Vec<_>>();
    assert_eq!(sequences(log.read(&shard(0), 0, ALL).await.unwrap()), [1, 3, 5]);
    assert_eq!(sequences(log.read(&shard(0), 2, ALL).await.unwrap()), [3, 5]);
    assert_eq!(sequences(log.read_lane(&lane(), 2, ALL).await.unwrap()), [2, 3, 4, 5, 6]);
    let few = ReadLimits { messages: 2, bytes: 100 };
    assert_eq!(sequences(log.read(&shard(0), 0, few).await.unwrap()), [1, 3]);
    let small = ReadLimits { messages: 100, bytes: 1 };
    assert_eq!(sequences(log.read(&shard(0), 0, small).await.unwrap()), [1]);
    assert_eq!(log.seek(&shard(0), NOW_MS + 500).await, Ok(Some(3)));
    assert_eq!(log.seek(&shard(0), NOW_MS + 5_000).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_lagging_replica_gives_a_prefix_and_the_leader_everything() {
    let lagging = Faults { lag_per_mille: 1_000, lag_ms: 2_000..=2_000, ..Faults::none() };
    let (_, log) = with_lane(lagging, 3_600, 1_000).await;
    log.append(&shard(0), 0, pack("a")).await.unwrap();
    seconds(2).await;
    log.append(&shard(0), 1, pack("b")).await.unwrap();
    assert_eq!(log.read(&shard(0), 0, ALL).await.unwrap().len(), 1);
    assert_eq!(log.seek(&shard(0), NOW_MS + 1_000).await, Ok(None));
    assert_eq!(log.last(&shard(0)).await.unwrap().unwrap().sequence, 2);
    assert_eq!(log.first_after(&shard(0), 1).await.unwrap().unwrap().sequence, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_never_lands_and_a_lost_reply_did() {
    let (cluster, log) = with_lane(Faults::none(), 3_600, 1_000).await;
    let next = cluster.calls();
    cluster.plan_blows([(next, Blow::LoseRequest), (next + 1, Blow::LoseReply)]);
    assert!(matches!(log.append(&shard(0), 0, pack("a")).await, Err(AppendError::Unknown(_))));
    assert_eq!(cluster.last_stored(&shard(0)), None);
    let asked = Instant::now();
    assert!(matches!(log.append(&shard(0), 0, pack("b")).await, Err(AppendError::Unknown(_))));
    assert_eq!(asked.elapsed(), Duration::from_secs(5), "the client can't know before its time-out");
    assert_eq!(cluster.last_stored(&shard(0)).unwrap().payload, pack("b"));
}

#[tokio::test(start_paused = true)]
async fn a_late_request_lands_after_its_client_has_given_it_up_and_after_later_requests_of_others() {
    let late = Faults { late_per_mille: 1_000, late_ms: 3_000..=3_000, ..Faults::none() };
    let (cluster, log) = with_lane(late, 3_600, 1_000).await;
    assert!(matches!(log.append(&shard(0), 0, pack("late")).await, Err(AppendError::Unknown(_))));
    cluster.set_faults(Faults::none());
    let other = cluster.connect("b");
    assert_eq!(other.first_after(&shard(0), 0).await, Ok(None));
    seconds(3).await;
    assert_eq!(other.last(&shard(0)).await.unwrap().unwrap().payload, pack("late"));
}

#[tokio::test(start_paused = true)]
async fn a_late_request_whose_place_is_taken_does_nothing() {
    let late = Faults { late_per_mille: 1_000, late_ms: 3_000..=3_000, ..Faults::none() };
    let (cluster, log) = with_lane(late, 3_600, 1_000).await;
    assert!(matches!(log.append(&shard(0), 0, pack("late")).await, Err(AppendError::Unknown(_))));
    cluster.set_faults(Faults::none());
    assert_eq!(log.append(&shard(0), 0, pack("next")).await, Ok(1));
    seconds(10).await;
    assert_eq!(cluster.stored(&lane()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_refuses_what_the_true_one_stores() {
    let (cluster, log) = with_lane(Faults { deposed_per_mille: 1_000, ..Faults::none() }, 3_600, 1_000).await;
    assert_eq!(log.append(&shard(0), 0, pack("a")).await, Err(AppendError::WrongSequence));
    assert_eq!(cluster.last_stored(&shard(0)).unwrap().payload, pack("a"));
    assert_eq!(log.create("map.a", pack("1")).await, Err(KvError::Conflict));
    assert_eq!(cluster.value("map.a").unwrap().value, pack("1"));
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_its_way_also_when_nobody_waits_for_it() {
    let slow = Faults { delay_ms: 100..=100, ..Faults::none() };
    let (cluster, log) = with_lane(slow, 3_600, 1_000).await;
    let append = timeout(Duration::from_millis(10), log.append(&shard(0), 0, pack("a"))).await;
    assert!(append.is_err());
    seconds(1).await;
    assert_eq!(cluster.last_stored(&shard(0)).unwrap().payload, pack("a"));
}

#[tokio::test(start_paused = true)]
async fn what_a_paused_client_wanted_is_done_when_it_goes_on() {
    let (cluster, log) = with_lane(Faults::none(), 3_600, 1_000).await;
    log.pause();
    let append = tokio::spawn({
        let log = log.clone();
        async move { log.append(&shard(0), 0, pack("stale")).await }
    });
    seconds(60).await;
    assert_eq!(cluster.last_stored(&shard(0)), None);
    log.resume();
    assert_eq!(append.await.unwrap(), Ok(1));
    assert_eq!(cluster.last_stored(&shard(0)).unwrap().payload, pack("stale"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_paused_while_it_waits_finds_the_answer_when_it_goes_on() {
    let slow = Faults { delay_ms: 100..=100, ..Faults::none() };
    let (cluster, log) = with_lane(slow, 3_600, 1_000).await;
    let append = tokio::spawn({
        let log = log.clone();
        async move { log.append(&shard(0), 0, pack("a")).await }
    });
    sleep(Duration::from_millis(10)).await;
    log.pause();
    seconds(60).await;
    assert_eq!(cluster.stored(&lane()).len(), 1);
    assert!(!append.is_finished());
    log.resume();
    assert_eq!(append.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_cut_off_reaches_nothing_and_its_requests_are_lost_or_wait() {
    for (lost_when_cut_per_mille, stored) in [(1_000, 0), (0, 1)] {
        let (cluster, log) = with_lane(Faults { lost_when_cut_per_mille, ..Faults::none() }, 60, 1_000).await;
        log.cut();
        assert!(matches!(log.append(&shard(0), 0, pack("a")).await, Err(AppendError::Unknown(_))));
        assert!(matches!(log.last(&shard(0)).await, Err(LogError::Unavailable(_))));
        assert_eq!(cluster.stored(&lane()).len(), 0);
        log.heal();
        seconds(1).await;
        assert_eq!(cluster.stored(&lane()).len(), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_client_gets_no_answers_and_what_it_had_sent_may_land() {
    let slow = Faults { delay_ms: 100..=100, ..Faults::none() };
    let (cluster, log) = with_lane(slow, 3_600, 1_000).await;
    let sent = tokio::spawn({
        let log = log.clone();
        async move { log.append(&shard(0), 0, pack("sent")).await }
    });
    sleep(Duration::from_millis(10)).await;
    log.crash();
    log.crashed().await;
    assert!(timeout(Duration::from_secs(60), log.append(&shard(1), 0, pack("dead"))).await.is_err());
    assert!(!sent.is_finished());
    assert_eq!(cluster.stored(&lane()).len(), 1);
    assert_eq!(cluster.connect("a").last(&shard(0)).await.unwrap().unwrap().payload, pack("sent"));
}

#[tokio::test(start_paused = true)]
async fn a_planned_crash_strikes_before_or_after_the_call_takes_effect() {
    for (blow, stored) in [(Blow::CrashBefore, 0), (Blow::CrashAfter, 1)] {
        let (cluster, log) = with_lane(Faults::none(), 3_600, 1_000).await;
        cluster.plan_blows([(cluster.calls() + 1, blow)]);
        assert_eq!(log.last(&shard(0)).await, Ok(None));
        assert!(timeout(Duration::from_secs(60), log.append(&shard(0), 0, pack("a"))).await.is_err());
        assert!(log.is_crashed());
        assert_eq!(cluster.stored(&lane()).len(), stored);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_written_only_over_the_revision_that_was_read() {
    let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
    let kv = cluster.connect("a");
    let first = kv.create("map.a", pack("1")).await.unwrap();
    assert_eq!(kv.create("map.a", pack("2")).await, Err(KvError::Conflict));
    let second = kv.update("map.a", pack("2"), first).await.unwrap();
    assert!(second > first);
    assert_eq!(kv.update("map.a", pack("3"), first).await, Err(KvError::Conflict));
    assert_eq!(kv.delete("map.a", Some(first)).await, Err(KvError::Conflict));
    assert_eq!(kv.get("map.a").await.unwrap().unwrap().value, pack("2"));
    kv.delete("map.a", Some(second)).await.unwrap();
    kv.delete("map.a", Some(second)).await.unwrap();
    assert_eq!(kv.get("map.a").await, Ok(None));
    assert_eq!(kv.update("map.a", pack("3"), second).await, Err(KvError::Conflict));
    assert!(kv.create("map.a", pack("3")).await.unwrap() > second);
    kv.create("map.b", pack("4")).await.unwrap();
    kv.create("stream.b", pack("5")).await.unwrap();
    let keys: Vec<String> = kv.list("map.").await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["map.a", "map.b"]);
}

/// What a watcher is told until nothing more comes, as short texts.
async fn told(events: &mut BoxStream<'static, KvEvent>) -> Vec<String> {
    let mut told = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(60), events.next()).await {
        told.push(match event {
            KvEvent::Put(entry) => format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value)),
            KvEvent::Delete { key, .. } => format!("{key} gone"),
            KvEvent::Current => "current".into(),
        });
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_watcher_is_told_what_is_there_then_current_then_every_change() {
    let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
    let kv = cluster.connect("a");
    kv.create("map.a", pack("1")).await.unwrap();
    kv.create("map.gone", pack("1")).await.unwrap();
    kv.delete("map.gone", None).await.unwrap();
    kv.create("other.a", pack("1")).await.unwrap();
    let mut events = kv.watch("map.");
    assert_eq!(told(&mut events).await, ["map.a=1", "current"]);
    kv.create("map.b", pack("2")).await.unwrap();
    kv.delete("map.a", None).await.unwrap();
    assert_eq!(told(&mut events).await, ["map.b=2", "map.a gone"]);
    assert_eq!(told(&mut cluster.connect("b").watch("nothing.")).await, ["current"]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_was_cut_off_is_told_everything_again() {
    let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
    let (kv, other) = (cluster.connect("a"), cluster.connect("b"));
    let mut events = kv.watch("map.");
    other.create("map.a", pack("1")).await.unwrap();
    other.create("map.b", pack("1")).await.unwrap();
    assert_eq!(told(&mut events).await, ["map.a=1", "map.b=1", "current"]);
    kv.cut();
    other.delete("map.a", None).await.unwrap();
    assert_eq!(told(&mut events).await, [""; 0]);
    kv.heal();
    assert_eq!(told(&mut events).await, ["map.b=1", "map.a gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_told_the_latest_change_only() {
    let slow = Faults { watch_delay_ms: 100..=100, ..Faults::none() };
    let cluster = MemoryCluster::new(1, NOW_MS, slow);
    let kv = cluster.connect("a");
    let mut events = kv.watch("map.");
    assert_eq!(told(&mut events).await, ["current"]);
    let first = kv.create("map.a", pack("1")).await.unwrap();
    kv.update("map.a", pack("2"), first).await.unwrap();
    assert_eq!(told(&mut events).await, ["map.a=2"]);
}

#[tokio::test(start_paused = true)]
async fn beats_are_told_and_forgotten_after_ten_seconds() {
    let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
    let (a, b) = (cluster.connect("a"), cluster.connect("b"));
    a.beat("broker.a", pack("1")).await.unwrap();
    seconds(6).await;
    b.beat("broker.b", pack("1")).await.unwrap();
    seconds(6).await;
    let mut events = a.watch_beats();
    assert_eq!(told(&mut events).await, ["broker.b=1", "current"]);
    b.beat("broker.b", pack("2")).await.unwrap();
    b.stop("broker.b").await.unwrap();
    assert_eq!(told(&mut events).await, ["broker.b gone"]);
}

/// Many clients append and write under faults; everything that happened, in order.
async fn history(seed: u64) -> Vec<super::Event> {
    let faults = Faults {
        time_out_ms: 500,
        delay_ms: 0..=20,
        slow_per_mille: 100,
        slow_ms: 100..=700,
        lost_request_per_mille: 50,
        lost_reply_per_mille: 50,
        late_per_mille: 50,
        late_ms: 0..=2_000,
        ..Faults::none()
    };
    let cluster = MemoryCluster::new(seed, NOW_MS, faults);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observer = seen.clone();
    cluster.observe(move |event| observer.lock().push(event.clone()));
    let clients = ["a", "b", "c"].map(|name| cluster.connect(name));
    let setup = cluster.connect("setup");
    while setup.ensure_lane(&lane(), &LaneConfig { max_age_s: 60, max_bytes: 10_000 }).await.is_err() {}
    let work = clients.into_iter().map(|client| async move {
        for _ in 0..50 {
            let last = client.last(&shard(0)).await.ok().flatten().map_or(0, |message| message.sequence);
            let _ = client.append(&shard(0), last, pack("x")).await;
        }
    });
    futures::future::join_all(work).await;
    seconds(10).await;
    std::mem::take(&mut *seen.lock())
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_history_and_another_seed_another() {
    let (first, again, other) = (history(7).await, history(7).await, history(8).await);
    assert!(first.len() > 100);
    assert!(first.iter().any(|event| matches!(event.change, Change::Appended { .. })));
    assert!(first.iter().any(|event| matches!(event.change, Change::Refused { .. })));
    assert_eq!(first, again);
    assert_ne!(first, other);
}
