use millrace_log::{LaneConfig, Log, ReadLimits};

use crate::servers::{Server, eventually, log_with_lane, shard};

const ALL: ReadLimits = ReadLimits { messages: 1000, bytes: 1 << 20 };

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_shard_is_empty_once_retention_has_taken_it_and_takes_an_append_at_0() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &LaneConfig { max_age_s: 1, max_bytes: 1 << 20 }).await;
    let a = log.append(&shard(1), 0, "a".into()).await.expect("stored");
    let b = log.append(&shard(1), a, "b".into()).await.expect("stored");
    eventually("retention takes them", || async {
        log.last(&shard(1)).await.expect("an answer").is_none().then_some(())
    })
    .await;
    let state = log.lane_state(&shard(1).lane()).await.expect("a state");
    assert_eq!((state.first, state.last, state.bytes), (b + 1, b, 0));
    assert_eq!(log.read(&shard(1), 1, ALL).await, Ok(vec![]));
    assert_eq!(log.seek(&shard(1), 0).await, Ok(None));
    assert_eq!(log.append(&shard(1), 0, "c".into()).await, Ok(b + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_goes_on_at_the_first_message_that_is_left() {
    let server = Server::start().await;
    let log = log_with_lane(&server.connect().await, &LaneConfig { max_age_s: 2, max_bytes: 1 << 20 }).await;
    let mut appended = vec![log.append(&shard(1), 0, "a".into()).await.expect("stored")];
    // Appends until the first is gone; then some of the later ones are left.
    while log.lane_state(&shard(1).lane()).await.expect("a state").first == 1 {
        let last = appended[appended.len() - 1];
        appended.push(log.append(&shard(1), last, "b".into()).await.expect("stored"));
    }
    let read = log.read(&shard(1), 1, ALL).await.expect("read");
    let lane = log.read_lane(&shard(1).lane(), 1, ALL).await.expect("read");
    assert!(read[0].sequence > 1 && lane[0].sequence > 1);
    assert!(read.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence), "no gaps");
}
