//! What a Stream's status says of its autoscaler, while a broker reports loads.

// The other tests tell longer stories with it.
#[allow(dead_code)]
#[path = "../world/mod.rs"]
mod world;

use std::sync::atomic::Ordering;

use kube::api::Api;
use millrace_core::beat::Beat;
use millrace_core::load::{HeavyKey, ShardLoad};
use millrace_core::{BrokerId, HashKey, ShardId, keys};
use millrace_crds::condition::{Kind, find};
use millrace_crds::{Stream, StreamStatus};
use millrace_log::Heartbeats;
use millrace_log::memory::MemoryClient;
use millrace_operator::broker::Names;
use serde_json::{Value, json};
use world::{NAMESPACE, Step, World, object, run};

/// Where the hot key lies.
const KEY: HashKey = HashKey(1 << 100);

/// A world with a Stream of four shards, and a broker that reports on it.
struct Reported {
    world: World,
    broker: MemoryClient,
}

impl Reported {
    async fn new(capacity: Value) -> Reported {
        let mut world = World::new();
        let log = json!({"servers": 1, "replicas": 1, "storage": {"size": "10Gi"}});
        for object in [
            object("Broker", "default", json!({"log": log, "replicas": 1})),
            object("Stream", "orders", json!({"capacity": capacity})),
        ] {
            world.act(&Step::Apply(object)).await.expect("it is in order");
            world.settle().await;
        }
        let names = Names { namespace: NAMESPACE.to_owned(), broker: "default".to_owned() };
        let broker = world.logs.of(&names).connect("broker");
        Reported { world, broker }
    }

    /// Lets a broker report these loads for so many seconds; the operator has a round every other one.
    async fn seconds(&mut self, seconds: u32, loads: &[ShardLoad]) {
        let (_, entry) = self.world.entries().pop().expect("there is a stream");
        for _ in 0..seconds.div_ceil(2) {
            let mut beat = Beat::new(BrokerId(1), "b:1".to_owned());
            beat.loads = vec![(entry.data.clone(), loads.to_vec())];
            self.broker.beat(&keys::broker(BrokerId(1)), beat.encode().into()).await.expect("a beat");
            self.world.clock.passed_ms.fetch_add(2_000, Ordering::Relaxed);
            // Which takes two seconds.
            assert!(self.world.round().await, "a round fails");
        }
    }

    async fn status(&self) -> StreamStatus {
        let streams: Api<Stream> = Api::namespaced(self.world.kube.client(NAMESPACE), NAMESPACE);
        streams.get("orders").await.expect("the Stream").status.expect("it was reported on")
    }

    async fn standing(&self) -> String {
        self.status().await.autoscaler.expect("it was looked at").standing
    }
}

fn load(shard: u64, percent: u64) -> ShardLoad {
    ShardLoad {
        shard: ShardId(shard),
        bytes_per_s: (1 << 20) * percent / 100,
        records_per_s: 100,
        throttled_per_s: 0,
        read_bytes_per_s: 0,
        heavy: Vec::new(),
        cuts: Vec::new(),
    }
}

/// Four shards that carry about 60 % of their target; in one of them a key brings three times that.
fn with_hot_key(percent: u64) -> [ShardLoad; 4] {
    let mut hot = load(0, 300);
    hot.heavy = vec![HeavyKey { key: KEY, share_per_mille: 990 }];
    [hot, load(1, percent), load(2, 60), load(3, 60)]
}

fn calm(percent: u64) -> [ShardLoad; 4] {
    [load(0, 55), load(1, percent), load(2, 60), load(3, 60)]
}

#[test]
fn a_stream_whose_brokers_say_nothing_tells_that_nothing_is_decided() {
    run(async {
        let reported = Reported::new(json!({})).await;
        assert_eq!(reported.standing().await, "Unheard");
    });
}

#[test]
fn a_hot_key_is_a_condition_for_as_long_as_it_is_one_and_costs_one_write_each_way() {
    run(async {
        let mut reported = Reported::new(json!({})).await;
        reported.seconds(120, &calm(60)).await;
        assert_eq!(reported.standing().await, "Steady");
        assert!(find(&reported.status().await.conditions, Kind::HotKey).is_none());

        reported.seconds(10, &with_hot_key(60)).await;
        let status = reported.status().await;
        let hot = find(&status.conditions, Kind::HotKey).expect("a key is hot");
        assert_eq!((hot.status.as_str(), hot.reason.as_str()), ("True", "KeyAboveTarget"));
        assert!(hot.message.starts_with(&format!("Hash key {KEY} alone brings ")), "{}", hot.message);
        assert!(hot.message.ends_with("over several partition keys, or raise capacity.targetPerShard."));
        let autoscaler = status.autoscaler.expect("it was looked at");
        assert_eq!((autoscaler.standing.as_str(), autoscaler.hot_keys.len()), ("HotKey", 1));
        assert_eq!(autoscaler.decisions[0].reason, "HotKey");
        assert!(find(&status.conditions, Kind::Ready).is_some_and(|ready| ready.status == "True"));

        // Two minutes of it, with noise.
        reported.seconds(70, &with_hot_key(60)).await;
        let written = reported.world.kube.writes_sent();
        for percent in [58, 63, 60, 55, 61] {
            reported.seconds(24, &with_hot_key(percent)).await;
        }
        assert_eq!(reported.world.kube.writes_sent(), written);

        reported.seconds(50, &calm(60)).await;
        assert!(find(&reported.status().await.conditions, Kind::HotKey).is_some(), "it may come again");
        reported.seconds(20, &calm(60)).await;
        let status = reported.status().await;
        assert!(find(&status.conditions, Kind::HotKey).is_none());
        let autoscaler = status.autoscaler.expect("it was looked at");
        assert_eq!((autoscaler.standing.as_str(), autoscaler.hot_keys.len()), ("Steady", 0));
    });
}

#[test]
fn a_split_is_told_at_once_and_listed() {
    run(async {
        let mut reported = Reported::new(json!({})).await;
        reported.seconds(8, &[load(2, 400)]).await;
        let autoscaler = reported.status().await.autoscaler.expect("it was looked at");
        assert_eq!(autoscaler.standing, "Resharding");
        assert_eq!((autoscaler.decisions.len(), autoscaler.decisions[0].applied), (1, true));
        assert!(autoscaler.decisions[0].message.starts_with("shardId-000000000002 took 4.0 MiB/s, 400 % of"));
    });
}

#[test]
fn advice_is_told_and_nothing_is_done() {
    run(async {
        let mut reported = Reported::new(json!({"autoscaling": "Recommend"})).await;
        reported.seconds(20, &[load(2, 400)]).await;
        let status = reported.status().await;
        assert_eq!((status.open_shards, status.reshards), (Some(4), Some(0)));
        let autoscaler = status.autoscaler.expect("it was looked at");
        assert_eq!(autoscaler.standing, "Recommends");
        assert!(
            autoscaler.message.ends_with("The advice is to split shardId-000000000002."),
            "{autoscaler:?}"
        );
        let listed: Vec<(&str, bool)> =
            autoscaler.decisions.iter().map(|each| (each.reason.as_str(), each.applied)).collect();
        assert_eq!(listed, [("RecommendedSplit", false)]);
    });
}

#[test]
fn a_bound_or_a_mode_that_keeps_the_shards_is_named() {
    for (capacity, standing) in [
        (json!({"maxShards": 4}), "AtMax"),
        (json!({"autoscaling": "Disabled"}), "Off"),
        (json!({"mode": "Provisioned", "shards": 4}), "Provisioned"),
    ] {
        run(async {
            let mut reported = Reported::new(capacity).await;
            reported.seconds(8, &[load(2, 400)]).await;
            assert_eq!(reported.standing().await, standing);
        });
    }
}

#[test]
fn shards_that_cool_down_are_told_with_the_time_of_their_merge_which_stays_as_it_was_said() {
    run(async {
        let mut reported = Reported::new(json!({"minShards": 2, "mergeAfterSeconds": 100})).await;
        reported.seconds(120, &calm(60)).await;
        let quiet = [load(0, 10), load(1, 10), load(2, 60), load(3, 60)];
        reported.seconds(30, &quiet).await;
        let said = reported.status().await.autoscaler.expect("it was looked at");
        assert_eq!(said.standing, "CoolingDown");
        let merge_at = said.merge_at.as_ref().expect("a time").0;
        reported.seconds(120, &quiet).await;
        let written = reported.world.kube.writes_sent();
        assert_eq!(
            reported.status().await.autoscaler.and_then(|now| now.merge_at).map(|at| at.0),
            Some(merge_at)
        );
        // Another two minutes.
        reported.seconds(120, &quiet).await;
        assert_eq!(reported.world.kube.writes_sent(), written);
        reported.seconds(160, &quiet).await;
        let done = reported.status().await.autoscaler.expect("it was looked at");
        assert_eq!((done.standing.as_str(), done.decisions[0].reason.as_str()), ("Resharding", "Merge"));
        let late_s = done.decisions[0].time.0.as_second() - merge_at.as_second();
        assert!((0..=10).contains(&late_s), "merged {late_s} s after what was said");
    });
}
