use millrace_log::{AppendError, LaneConfig, Log};

use crate::servers::{Server, Three, log_with_lane, pack, roomy, shard};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_lane_refuses_appends_and_keeps_what_it_has() {
    let single = Server::start().await;
    let three = Three::start().await;
    for jetstream in [single.connect().await, three.connect().await] {
        let config = LaneConfig { max_age_s: 3600, max_bytes: 1 << 20 };
        let log = log_with_lane(&jetstream, &config).await;
        let mut last = 0;
        let refused = loop {
            match log.append(&shard(1), last, pack(last, 100_000)).await {
                Ok(sequence) => last = sequence,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, AppendError::Full("maximum bytes exceeded".into()));
        assert_eq!(last, 10);
        let state = log.lane_state(&shard(1).lane()).await.expect("a state");
        assert_eq!((state.first, state.last), (1, last));
        assert!(state.bytes <= config.max_bytes);
        // A wrong sequence is told as such also by a full lane, and a small pack still fits.
        assert_eq!(log.append(&shard(1), 1, pack(0, 100_000)).await, Err(AppendError::WrongSequence));
        assert_eq!(log.append(&shard(1), last, "a".into()).await, Ok(last + 1));
        // It goes on once there is room.
        log.ensure_lane(&shard(1).lane(), &roomy()).await.expect("a larger lane");
        assert_eq!(log.append(&shard(1), last + 1, pack(1, 100_000)).await, Ok(last + 2));
    }
}

/// The server's own limit shows only where lanes are not bounded (`max_bytes` 0): a lane's bytes are set aside.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_appends_as_full() {
    let server = Server::start_with(|options| options.max_file_store_bytes = 1 << 20).await;
    let log = log_with_lane(&server.connect().await, &LaneConfig { max_age_s: 3600, max_bytes: 0 }).await;
    let mut last = 0;
    let refused = loop {
        match log.append(&shard(1), last, pack(last, 100_000)).await {
            Ok(sequence) => last = sequence,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full(_)), "{refused:?}");
    assert_eq!(log.lane_state(&shard(1).lane()).await.expect("a state").last, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_beyond_what_the_server_may_store_is_not_made() {
    let server = Server::start_with(|options| options.max_file_store_bytes = 1 << 20).await;
    let jetstream = server.connect().await;
    let made = jetstream.log().ensure_lane(&shard(1).lane(), &roomy()).await;
    assert!(made.clone().is_err_and(|error| error.to_string().contains("10047")), "{made:?}");
}
