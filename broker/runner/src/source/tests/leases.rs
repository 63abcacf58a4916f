use millrace_core::id::escape_name;
use millrace_log::Kv;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_kept_with_the_lease_and_found_by_the_next_one() {
    let cluster = cluster(Faults::none());
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let mut held = one.take().await.unwrap();
    assert_eq!(held.checkpoint(), &at(1));
    let window = Some(OpenWindow { start_ms: -60_000, state: r#"{"a":[1,2.50]}"#.into() });
    let far = Checkpoint { position: Position { pack: 7, index: 3 }, window, ended: true };
    held.keep(&at(5)).await.unwrap();
    held.keep(&far).await.unwrap();
    held.release().await.unwrap();
    assert_eq!(other.take().await.unwrap().checkpoint(), &far);
    let all = other.leases.list().await.unwrap();
    assert_eq!(all, [(SHARD, Lease { holder: Some(RunnerId(2)), checkpoint: far })]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_taken_is_lost_and_nothing_more_is_kept() {
    let cluster = cluster(Faults::none());
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let mut held = one.take().await.unwrap();
    held.keep(&at(5)).await.unwrap();
    // As if the first one were dead.
    let mut taken = other.leases.take(SHARD, &at(1), |_| false).await.unwrap();
    assert_eq!(taken.checkpoint(), &at(5));
    assert_eq!(held.keep(&at(9)).await, Err(LeaseError::Lost));
    assert_eq!(held.release().await, Err(LeaseError::Lost));
    taken.keep(&at(6)).await.unwrap();
    let all = other.leases.list().await.unwrap();
    assert_eq!(all, [(SHARD, Lease { holder: Some(RunnerId(2)), checkpoint: at(6) })]);
}

#[tokio::test(start_paused = true)]
async fn of_two_who_take_at_once_one_has_it() {
    let cluster = cluster(Faults { delay_ms: 1..=1, ..Faults::none() });
    let (one, other) = (process(&cluster, 1), process(&cluster, 2));
    let (first, second) = tokio::join!(one.take(), other.take());
    assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn writes_whose_replies_are_lost_are_settled() {
    for seed in 0..200 {
        let faults = Faults {
            time_out_ms: 100,
            delay_ms: 1..=20,
            lost_request_per_mille: 150,
            lost_reply_per_mille: 150,
            ..Faults::none()
        };
        let cluster = MemoryCluster::new(seed, 0, faults);
        let client = Arc::new(cluster.connect("runner"));
        let leases = Leases::new(client, "s", RunnerId(1));
        let Ok(mut held) = leases.take(SHARD, &at(1), |_| true).await else { continue };
        let mut last = at(1);
        for pack in 2..20 {
            match held.keep(&at(pack)).await {
                Ok(()) => last = at(pack),
                // Each try may have been lost.
                Err(LeaseError::Unavailable(_)) => break,
                Err(error) => panic!("seed {seed}: nobody else writes: {error}"),
            }
        }
        cluster.set_faults(Faults::none());
        let kept = leases.list().await.unwrap().remove(0).1.checkpoint;
        assert!(kept == last || kept.position > last.position, "seed {seed}: {kept:?} after {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_later_version_wrote_is_not_touched() {
    let cluster = cluster(Faults::none());
    let one = process(&cluster, 1);
    let key = format!("lease.{}.{}", escape_name("team/f/orders"), SHARD.0);
    one.client.create(&key, bytes::Bytes::from_static(&[9, 1, 2])).await.unwrap();
    let error = one.take().await.unwrap_err();
    assert!(error.to_string().contains("it has version 9"), "{error}");
    assert_eq!(cluster.value(&key).unwrap().value, [9, 1, 2][..]);
}

#[tokio::test(start_paused = true)]
async fn what_has_gone_is_forgotten() {
    let cluster = cluster(Faults::none());
    let one = process(&cluster, 1);
    let _held = one.take().await.unwrap();
    one.leases.forget(SHARD).await.unwrap();
    assert_eq!(one.leases.list().await.unwrap(), []);
}
