use std::time::Duration;

use tokio::time::Instant;

use super::*;

/// Longer than it takes that a beat is heard.
const A_WHILE: Duration = Duration::from_secs(1);

/// Tries to take the lease until it is had; how long that took.
async fn take_over(process: &Process) -> (Held, Duration) {
    let since = Instant::now();
    loop {
        match process.take().await {
            Ok(held) => return (held, since.elapsed()),
            Err(LeaseError::Others(_)) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::advance(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_runner_read_is_taken_over_within_three_seconds() {
    let cluster = cluster(Faults { delay_ms: 1..=10, ..Faults::none() });
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let mut held = one.take().await.unwrap();
    held.keep(&at(5)).await.unwrap();
    tokio::time::sleep(10 * A_WHILE).await;
    assert_eq!(other.take().await.unwrap_err(), LeaseError::Others(RunnerId(1)));
    one.client.crash();
    let (taken, after) = take_over(&other).await;
    assert_eq!(taken.checkpoint(), &at(5));
    assert!(after <= Duration::from_secs(3), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_cut_off_stops_before_another_begins() {
    let cluster = cluster(Faults { delay_ms: 1..=10, time_out_ms: 1_000, ..Faults::none() });
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let mut held = one.take().await.unwrap();
    tokio::time::sleep(10 * A_WHILE).await;
    assert!(one.runners.is_sure());
    one.client.cut();
    let (_taken, after) = take_over(&other).await;
    assert!(!one.runners.is_sure());
    assert!(after <= Duration::from_secs(3), "{after:?}");
    one.client.heal();
    assert_eq!(held.keep(&at(9)).await, Err(LeaseError::Lost));
    // It may begin anew, with other shards.
    tokio::time::sleep(10 * A_WHILE).await;
    assert!(one.runners.is_sure());
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_was_never_heard_is_waited_for_as_long_as_one_that_falls_silent() {
    let cluster = cluster(Faults::none());
    let held = Leases::new(Arc::new(cluster.connect("dead")), "team/f/orders", RunnerId(7));
    drop(held.take(SHARD, &at(3), |_| false).await.unwrap());
    let one = process(&cluster, 1);
    let (taken, after) = take_over(&one).await;
    assert_eq!(taken.checkpoint(), &at(3));
    assert!((ALIVE_FOR..=Duration::from_secs(3)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let cluster = cluster(Faults::none());
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let held = one.take().await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    held.release().await.unwrap();
    assert!(other.take().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn every_shard_has_one_reader_and_those_of_one_who_leaves_or_dies_go_to_others() {
    let cluster = cluster(Faults::none());
    let all: Vec<Process> = (1..=4).map(|id| process(&cluster, id)).collect();
    tokio::time::sleep(A_WHILE).await;
    let readers = |shard: u64, among: &[Process]| -> Vec<u64> {
        let reads = among.iter().filter(|process| process.runners.should_read(ShardId(shard)));
        reads.map(|process| process.runners.me().0).collect()
    };
    let before: Vec<u64> = (0..100)
        .map(|shard| {
            let readers = readers(shard, &all);
            assert_eq!(readers.len(), 1, "{shard}: {readers:?}");
            readers[0]
        })
        .collect();
    assert!((1..=4).all(|id| before.contains(&id)));
    all[0].runners.leave(&all[0].client).await;
    all[1].client.crash();
    tokio::time::sleep(ALIVE_FOR + A_WHILE).await;
    for (shard, before) in (0..).zip(before) {
        assert!(!all[0].runners.should_read(ShardId(shard)));
        let now = readers(shard, &all[2..]);
        assert!(now.len() == 1 && (before <= 2 || now[0] == before), "{shard}: {before}, then {now:?}");
    }
    // It is still there until it has given its leases back.
    assert!(all[2].runners.may_live(RunnerId(1)) && !all[2].runners.may_live(RunnerId(2)));
}
