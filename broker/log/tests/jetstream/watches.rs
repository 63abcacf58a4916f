use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millrace_log::jetstream::{JetStreamKv, Settings};
use millrace_log::{Heartbeats, Kv, KvEvent};

use crate::servers::{Server, Three, eventually};

/// A watch, and what it has told so far.
struct Seen {
    events: BoxStream<'static, KvEvent>,
    values: BTreeMap<String, Bytes>,
    revision: u64,
}

impl Seen {
    /// Watches, and waits for everything that is there.
    async fn begin(events: BoxStream<'static, KvEvent>) -> Seen {
        let mut seen = Seen { events, values: BTreeMap::new(), revision: 0 };
        while seen.next().await != KvEvent::Current {}
        seen
    }

    async fn next(&mut self) -> KvEvent {
        let next = tokio::time::timeout(Duration::from_secs(60), self.events.next());
        let event = next.await.expect("an event").expect("a watch never ends");
        match &event {
            KvEvent::Put(entry) => {
                assert!(entry.revision >= self.revision, "in order");
                self.revision = entry.revision;
                self.values.insert(entry.key.clone(), entry.value.clone());
            }
            KvEvent::Delete { key, revision } => {
                assert!(*revision >= self.revision, "in order");
                self.revision = *revision;
                self.values.remove(key);
            }
            KvEvent::Current => {}
        }
        event
    }

    async fn until(&mut self, wanted: &[(&str, &str)]) {
        let wanted: BTreeMap<String, Bytes> = wanted
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        while self.values != wanted {
            self.next().await;
        }
    }
}

async fn put(kv: &JetStreamKv, key: &str, value: &'static str) {
    eventually("a write", || async {
        match kv.get(key).await.ok()? {
            Some(entry) if entry.value == value => Some(()),
            Some(entry) => kv.update(key, value.into(), entry.revision).await.ok().map(|_| ()),
            None => kv.create(key, value.into()).await.ok().map(|_| ()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_is_there_and_then_every_change_under_its_prefix() {
    let server = Server::start().await;
    let kv = server.connect().await.kv().await.expect("a bucket");
    put(&kv, "map.a", "1").await;
    put(&kv, "map.b", "1").await;
    put(&kv, "stream.a", "1").await;
    kv.delete("map.b", None).await.expect("deleted");
    let mut seen = Seen::begin(kv.watch("map.")).await;
    assert_eq!(seen.values, BTreeMap::from([("map.a".into(), "1".into())]));
    put(&kv, "stream.b", "2").await;
    put(&kv, "map.c", "2").await;
    seen.until(&[("map.a", "1"), ("map.c", "2")]).await;
    kv.delete("map.a", None).await.expect("deleted");
    put(&kv, "map.c", "3").await;
    seen.until(&[("map.c", "3")]).await;

    let mut empty = Seen::begin(kv.watch("nothing.")).await;
    put(&kv, "nothing.a", "1").await;
    empty.until(&[("nothing.a", "1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_through_kill_9_and_restart() {
    let mut server = Server::start().await;
    let settings = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
    let kv = server.connect_with(settings.clone()).await.kv().await.expect("a bucket");
    put(&kv, "map.a", "1").await;
    put(&kv, "map.b", "1").await;
    let mut seen = Seen::begin(kv.watch("map.")).await;
    for value in ["2", "3", "4"] {
        server.kill();
        server.start_again().await;
        // Another connection writes, so that changes happen before the watch is back.
        let other = server.connect_with(settings.clone()).await.kv().await.expect("a bucket");
        put(&other, "map.a", value).await;
        other.delete("map.b", None).await.expect("deleted");
        put(&other, "map.c", value).await;
        seen.until(&[("map.a", value), ("map.c", value)]).await;
        put(&other, "map.b", "back").await;
        seen.until(&[("map.a", value), ("map.b", "back"), ("map.c", value)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_a_pause_of_the_server() {
    let server = Server::start().await;
    let kv = server.connect().await.kv().await.expect("a bucket");
    let mut seen = Seen::begin(kv.watch("map.")).await;
    server.pause().await;
    let late = kv.create("map.a", "1".into());
    // Longer than the consumer may be silent: the watch makes another one.
    let resumed = async {
        tokio::time::sleep(Duration::from_millis(3500)).await;
        server.resume();
    };
    let _ = tokio::join!(late, resumed);
    put(&kv, "map.b", "2").await;
    seen.until(&[("map.a", "1"), ("map.b", "2")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_while_leaders_are_killed() {
    let mut three = Three::start().await;
    let jetstream = three.connect().await;
    let kv = jetstream.kv().await.expect("a bucket");
    put(&kv, "map.a", "0").await;
    let mut seen = Seen::begin(kv.watch("map.")).await;
    for value in ["1", "2", "3"] {
        let leader = three.leader_of("KV_MR").await;
        three.servers[leader].kill();
        put(&kv, "map.a", value).await;
        seen.until(&[("map.a", value)]).await;
        three.servers[leader].start_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_misses_no_final_value() {
    let server = Server::start().await;
    let kv = server.connect().await.kv().await.expect("a bucket");
    let mut seen = Seen::begin(kv.watch("map.")).await;
    let keys: Vec<String> = (0..1000).map(|n| format!("map.{n:04}")).collect();
    for key in &keys {
        kv.create(key, "1".into()).await.expect("created");
    }
    for key in keys.iter().step_by(2) {
        kv.delete(key, None).await.expect("deleted");
    }
    put(&kv, "map.end", "1").await;
    let kept = keys.iter().skip(1).step_by(2).map(|key| (key.as_str(), "1"));
    let wanted: Vec<(&str, &str)> = kept.chain([("map.end", "1")]).collect();
    seen.until(&wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_and_stops_are_told_also_after_the_server_forgot_them() {
    let mut server = Server::start().await;
    let settings = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
    let jetstream = server.connect_with(settings).await;
    let beats = jetstream.heartbeats().await.expect("a bucket");
    beats.beat("broker.a", "1".into()).await.expect("told");
    let mut seen = Seen::begin(beats.watch_beats()).await;
    assert_eq!(seen.values.len(), 1, "the latest beat is remembered");
    beats.beat("broker.b", "1".into()).await.expect("told");
    beats.beat("broker.a", "2".into()).await.expect("told");
    seen.until(&[("broker.a", "2"), ("broker.b", "1")]).await;
    beats.stop("broker.b").await.expect("told");
    seen.until(&[("broker.a", "2")]).await;

    server.kill();
    server.start_again().await;
    seen.revision = 0;
    eventually("a beat", || async { beats.beat("broker.a", "3".into()).await.ok() }).await;
    seen.until(&[("broker.a", "3")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beat_is_forgotten_after_ten_seconds() {
    let server = Server::start().await;
    let jetstream = server.connect().await;
    let beats = jetstream.heartbeats().await.expect("a bucket");
    beats.beat("broker.a", "1".into()).await.expect("told");
    let context = async_nats::jetstream::new(jetstream.client().clone());
    let config = context.get_stream("KV_MR_LIVE").await.expect("a stream").cached_info().config.clone();
    assert_eq!(config.max_age, Duration::from_secs(10));
    assert_eq!(config.storage, async_nats::jetstream::stream::StorageType::Memory);
    eventually("it is forgotten", || async {
        let mut seen = Seen::begin(beats.watch_beats()).await;
        std::mem::take(&mut seen.values).is_empty().then_some(())
    })
    .await;
}
