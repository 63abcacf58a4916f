use std::time::Duration;

use async_nats::HeaderMap;
use futures::FutureExt;
use millrace_log::jetstream::Settings;
use millrace_log::{AppendError, Log, LogError, ReadLimits};

use crate::servers::{Server, Three, eventually, log_with_lane, pack, roomy, shard};

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_stored_only_if_the_last_sequence_is_the_expected_one() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &roomy()).await;
    assert_eq!(log.last(&shard(1)).await, Ok(None));
    let first = log.append(&shard(1), 0, "a".into()).await.expect("nothing is there");
    assert_eq!(log.append(&shard(1), 0, "x".into()).await, Err(AppendError::WrongSequence));
    let other = log.append(&shard(2), 0, "b".into()).await.expect("another shard");
    let second = log.append(&shard(1), first, "c".into()).await.expect("the first is the last");
    assert_eq!(log.append(&shard(1), first, "x".into()).await, Err(AppendError::WrongSequence));
    assert_eq!(log.append(&shard(1), other, "x".into()).await, Err(AppendError::WrongSequence));
    assert!(first < other && other < second);
    let last = log.last(&shard(1)).await.expect("an answer").expect("a message");
    assert_eq!((last.shard, last.sequence, last.payload), (shard(1).shard, second, "c".into()));
    assert_eq!(log.lane_state(&shard(1).lane()).await.expect("a state").last, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_appends_in_flight_for_one_shard_one_is_refused() {
    let single = Server::start().await;
    let three = Three::start().await;
    for jetstream in [single.connect().await, three.connect().await] {
        let log = log_with_lane(&jetstream, &roomy()).await;
        let mut expected = 0;
        for round in 0..50 {
            let pack = pack(round, 1000);
            let shard = shard(1);
            let (a, b) = tokio::join!(
                log.append(&shard, expected, pack.clone()),
                log.append(&shard, expected, pack.clone())
            );
            let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
            assert_eq!(lost, Err(AppendError::WrongSequence));
            expected = won.expect("one is stored");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_its_caller_drops_leaves_nothing_behind() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    server.pause().await;
    let mut dropped = Vec::new();
    for n in 0..100 {
        dropped.push(Box::pin({
            let log = log.clone();
            async move { log.append(&shard(n), 0, "a".into()).await }
        }));
    }
    for append in &mut dropped {
        assert!(append.now_or_never().is_none(), "the server is paused");
    }
    assert_eq!(jetstream.requests_in_flight(), 100);
    drop(dropped);
    assert_eq!(jetstream.requests_in_flight(), 0);
    server.resume();
    eventually("an answer", || async { log.lane_state(&shard(0).lane()).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_doubt_may_land_later_and_is_found_after_the_expected_sequence() {
    let server = Server::start().await;
    let settings = Settings { timeout: Duration::from_millis(500), ..Settings::default() };
    let jetstream = server.connect_with(settings).await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    let first = log.append(&shard(1), 0, "a".into()).await.expect("stored");
    server.pause().await;
    let doubtful = log.append(&shard(1), first, "b".into()).await;
    assert!(matches!(doubtful, Err(AppendError::Unknown(_))), "{doubtful:?}");
    assert!(matches!(log.first_after(&shard(1), first).await, Err(LogError::Unavailable(_))));
    assert_eq!(jetstream.requests_in_flight(), 0);
    server.resume();
    let landed =
        eventually("it lands", || async { log.first_after(&shard(1), first).await.ok().flatten() }).await;
    assert_eq!(landed.payload, "b");
    assert_eq!(log.append(&shard(1), first, "c".into()).await, Err(AppendError::WrongSequence));
    assert_eq!(log.first_after(&shard(1), landed.sequence).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_after_a_sequence_is_the_shards_own() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &roomy()).await;
    let a = log.append(&shard(1), 0, "a".into()).await.expect("stored");
    for n in 10..20 {
        log.append(&shard(n), 0, "other".into()).await.expect("stored");
    }
    let b = log.append(&shard(1), a, pack(1, 10 << 20)).await.expect("stored");
    let c = log.append(&shard(1), b, "c".into()).await.expect("stored");
    for (after, found) in [(0, a), (a, b), (b - 1, b), (b, c)] {
        let message = log.first_after(&shard(1), after).await.expect("an answer").expect("a message");
        assert_eq!(message.sequence, found);
    }
    let large = log.first_after(&shard(1), a).await.expect("an answer").expect("a message");
    assert!(large.payload == pack(1, 10 << 20));
    assert_eq!(log.first_after(&shard(1), c).await, Ok(None));
    assert_eq!(log.first_after(&shard(1), u64::MAX).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_missing_is_told_from_a_server_that_is_away() {
    let mut server = Server::start().await;
    let settings = Settings { timeout: Duration::from_millis(700), ..Settings::default() };
    let jetstream = server.connect_with(settings).await;
    let log = jetstream.log();
    let limits = ReadLimits { messages: 1, bytes: 1 };
    let lane = shard(1).lane();
    assert_eq!(log.lane_state(&lane).await, Err(LogError::NoLane));
    assert_eq!(log.last(&shard(1)).await, Err(LogError::NoLane));
    assert_eq!(log.first_after(&shard(1), 0).await, Err(LogError::NoLane));
    assert_eq!(log.read(&shard(1), 1, limits).await, Err(LogError::NoLane));
    assert_eq!(log.read_lane(&lane, 1, limits).await, Err(LogError::NoLane));
    assert_eq!(log.seek(&shard(1), 0).await, Err(LogError::NoLane));
    assert!(matches!(log.append(&shard(1), 0, "a".into()).await, Err(AppendError::Unknown(_))));
    assert_eq!(log.delete_lane(&lane).await, Ok(()), "fine if it is not there");

    log.ensure_lane(&lane, &roomy()).await.expect("a lane");
    let sequence = log.append(&shard(1), 0, "a".into()).await.expect("stored");
    server.kill();
    assert!(matches!(log.lane_state(&lane).await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.last(&shard(1)).await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.read(&shard(1), 1, limits).await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.append(&shard(1), sequence, "b".into()).await, Err(AppendError::Unknown(_))));
    server.start_again().await;
    let last = eventually("it is back", || async { log.last(&shard(1)).await.ok() }).await;
    assert_eq!(last.map(|message| message.sequence), Some(sequence));

    log.delete_lane(&lane).await.expect("deleted");
    assert_eq!(log.last(&shard(1)).await, Err(LogError::NoLane));
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_lane_again_keeps_its_data_and_takes_its_new_limits() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    log.append(&shard(1), 0, "a".into()).await.expect("stored");
    log.ensure_lane(&shard(1).lane(), &roomy()).await.expect("the same");
    let mut changed = roomy();
    (changed.max_age_s, changed.max_bytes) = (77, 1 << 20);
    log.ensure_lane(&shard(1).lane(), &changed).await.expect("changed");
    assert!(log.last(&shard(1)).await.expect("an answer").is_some());
    let stream = shard(1).lane.stream_name(&shard(1).data);
    let context = async_nats::jetstream::new(jetstream.client().clone());
    let config = context.get_stream(stream).await.expect("a stream").cached_info().config.clone();
    assert_eq!((config.max_age, config.max_bytes), (Duration::from_secs(77), 1 << 20));
    assert_eq!(config.discard, async_nats::jetstream::stream::DiscardPolicy::New);
    assert!(config.allow_direct && config.deny_delete && config.deny_purge);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_kill_9() {
    let mut server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &roomy()).await;
    let mut acknowledged = Vec::new();
    for round in 0..3_u64 {
        let mut expected = acknowledged.last().copied().unwrap_or(0);
        for n in 0..50 {
            expected = log.append(&shard(1), expected, pack(n, 5000)).await.expect("stored");
            acknowledged.push(expected);
        }
        server.kill();
        server.start_again().await;
        let last = eventually("it is back", || async { log.last(&shard(1)).await.ok().flatten() }).await;
        assert_eq!(last.sequence, expected, "round {round}");
    }
    let read = log.read(&shard(1), 1, ReadLimits { messages: 1000, bytes: 8 << 20 }).await.expect("read");
    let sequences: Vec<u64> = read.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, acknowledged);
}

/// A publish without a condition shows that what we see is JetStream's own order, and that messages with
/// headers of their own are read like others.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_others_with_headers_are_read() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let log = log_with_lane(&jetstream, &roomy()).await;
    let mut headers = HeaderMap::new();
    headers.insert("X-Note", "hand-made");
    let subject = shard(1).lane.subject(&shard(1).data, shard(1).shard);
    let context = async_nats::jetstream::new(jetstream.client().clone());
    let ack = context.publish_with_headers(subject, headers, "a".into()).await.expect("sent");
    let sequence = ack.await.expect("stored").sequence;
    let read = log.read(&shard(1), 1, ReadLimits { messages: 9, bytes: 9 }).await.expect("read");
    assert_eq!((read.len(), read[0].sequence, read[0].payload.clone()), (1, sequence, "a".into()));
    assert_eq!(log.last(&shard(1)).await.expect("an answer"), Some(read[0].clone()));
}
