use std::time::Duration;

use futures::StreamExt;
use millrace_log::jetstream::Settings;
use millrace_log::{Kv, KvEntry, KvError};

use crate::servers::{Server, Three, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_conditional_and_a_removed_key_can_be_made_again() {
    let single = Server::start().await;
    let three = Three::start().await;
    for jetstream in [single.connect().await, three.connect().await] {
        let kv = jetstream.kv().await.expect("a bucket");
        assert_eq!(kv.get("map.a").await, Ok(None));
        let first = kv.create("map.a", "1".into()).await.expect("created");
        assert_eq!(kv.create("map.a", "x".into()).await, Err(KvError::Conflict));
        let second = kv.update("map.a", "2".into(), first).await.expect("updated");
        assert_eq!(kv.update("map.a", "x".into(), first).await, Err(KvError::Conflict));
        assert_eq!(kv.update("map.none", "x".into(), first).await, Err(KvError::Conflict));
        assert_eq!(kv.update("map.none", "x".into(), 0).await, Err(KvError::Conflict));
        let entry = KvEntry { key: "map.a".into(), revision: second, value: "2".into() };
        assert_eq!(kv.get("map.a").await, Ok(Some(entry)));

        assert_eq!(kv.delete("map.a", Some(first)).await, Err(KvError::Conflict));
        assert_eq!(kv.delete("map.a", Some(second)).await, Ok(()));
        assert_eq!(kv.get("map.a").await, Ok(None));
        assert_eq!(kv.delete("map.a", Some(second)).await, Ok(()), "fine if nothing lies there");
        assert_eq!(kv.delete("map.a", None).await, Ok(()));
        assert_eq!(kv.delete("map.none", Some(7)).await, Ok(()));
        assert_eq!(kv.update("map.a", "x".into(), second).await, Err(KvError::Conflict));
        let third = kv.create("map.a", "3".into()).await.expect("created over a removal");
        assert_eq!(kv.create("map.a", "x".into()).await, Err(KvError::Conflict));
        assert_eq!(kv.delete("map.a", None).await, Ok(()));
        let fourth = kv.create("map.a", "4".into()).await.expect("created again");
        assert!(first < second && second < third && third < fourth);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_over_one_revision_exactly_one_succeeds() {
    let three = Three::start().await;
    let jetstream = three.connect().await;
    let kv = jetstream.kv().await.expect("a bucket");
    let mut revision = kv.create("map.a", "0".into()).await.expect("created");
    for _ in 0..20 {
        let writes = (0..8).map(|n: u8| kv.update("map.a", vec![n].into(), revision));
        let results = futures::future::join_all(writes).await;
        let won: Vec<u64> = results.iter().filter_map(|result| result.clone().ok()).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        let conflicts = results.iter().filter(|result| **result == Err(KvError::Conflict)).count();
        assert_eq!(conflicts, 7, "{results:?}");
        revision = won[0];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_gives_the_values_under_a_prefix_in_the_order_of_their_keys() {
    let server = Server::start().await;
    let kv = server.connect().await.kv().await.expect("a bucket");
    assert_eq!(kv.list("closed.").await, Ok(vec![]));
    for n in (0..300).rev() {
        kv.create(&format!("closed.x.{n:04}"), format!("v{n}").into()).await.expect("created");
    }
    kv.create("closed.y.0000", "y".into()).await.expect("created");
    kv.create("closedness", "z".into()).await.expect("created");
    kv.delete("closed.x.0007", None).await.expect("deleted");
    let keys: Vec<String> = kv.list("closed.x.").await.expect("a list").into_iter().map(|e| e.key).collect();
    let wanted: Vec<String> = (0..300).filter(|n| *n != 7).map(|n| format!("closed.x.{n:04}")).collect();
    assert_eq!(keys, wanted);
    assert_eq!(kv.list("closed.").await.expect("a list").len(), 300);
}

/// async-nats' own key-value client stands for the `nats kv` tool: both follow the same document.
#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_is_one_that_nats_tools_can_read_and_write() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let kv = jetstream.kv().await.expect("a bucket");
    kv.create("map.a", "1".into()).await.expect("created");
    kv.create("map.b", "2".into()).await.expect("created");
    kv.delete("map.b", None).await.expect("deleted");
    let theirs =
        async_nats::jetstream::new(jetstream.client().clone()).get_key_value("MR").await.expect("it");
    assert_eq!(theirs.get("map.a").await.expect("an answer"), Some("1".into()));
    assert_eq!(theirs.get("map.b").await.expect("an answer"), None);
    let keys: Vec<_> = theirs.keys().await.expect("keys").map(|key| key.expect("a key")).collect().await;
    assert_eq!(keys, ["map.a"]);
    theirs.create("map.b", "3".into()).await.expect("created over our removal");
    theirs.purge("map.a").await.expect("purged");
    assert_eq!(kv.get("map.a").await, Ok(None));
    assert_eq!(kv.get("map.b").await.expect("an answer").expect("a value").value, "3");
    kv.create("map.a", "4".into()).await.expect("created over their removal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_doubt_is_told_as_such_and_may_land_later() {
    let server = Server::start().await;
    let settings = Settings { timeout: Duration::from_millis(500), ..Settings::default() };
    let kv = server.connect_with(settings).await.kv().await.expect("a bucket");
    let first = kv.create("map.a", "1".into()).await.expect("created");
    server.pause().await;
    let doubtful = kv.update("map.a", "2".into(), first).await;
    assert!(matches!(doubtful, Err(KvError::Unknown(_))), "{doubtful:?}");
    assert!(matches!(kv.get("map.a").await, Err(KvError::Unknown(_))));
    assert!(matches!(kv.list("map.").await, Err(KvError::Unknown(_))));
    server.resume();
    let landed = eventually("it lands", || async {
        kv.get("map.a").await.ok().flatten().filter(|entry| entry.revision > first)
    })
    .await;
    assert_eq!(landed.value, "2");
    assert_eq!(kv.update("map.a", "3".into(), first).await, Err(KvError::Conflict));
}
