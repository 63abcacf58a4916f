//! The controller on a log in memory that crashes and loses at any call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_autoscaler::Finding;
use millrace_core::beat::Beat;
use millrace_core::load::ShardLoad;
use millrace_core::plan::{Action, PlanError};
use millrace_core::{
    BrokerId, ClosedShard, DataId, HashKey, HashRange, Lane, ShardId, ShardMap, StreamConfig, StreamEntry,
    StreamState, keys,
};
use millrace_log::memory::{Blow, Faults, MemoryClient, MemoryCluster};
use millrace_log::{Heartbeats, Kv, LaneAddress, Log, LogError, ShardAddress};
use tokio::time::sleep;

use super::intents::{IntentError, apply_actions};
use super::*;

const NOW_MS: i64 = 1_700_000_000_000;
const BLOWS: [Blow; 4] = [Blow::CrashBefore, Blow::CrashAfter, Blow::LoseRequest, Blow::LoseReply];

struct TestClock {
    cluster: MemoryCluster,
    random: AtomicU64,
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.cluster.now_ms()
    }

    fn random(&self) -> u64 {
        self.random.fetch_add(1, Ordering::Relaxed)
    }
}

/// A cluster without controllers, and a client for the test itself.
struct World {
    cluster: MemoryCluster,
    client: MemoryClient,
    clock: Arc<TestClock>,
}

fn data() -> DataId {
    DataId::from_random(7)
}

fn lane(number: u16) -> LaneAddress {
    LaneAddress { data: data(), lane: Lane(number) }
}

fn key() -> String {
    keys::stream("default", "orders")
}

fn entry(state: StreamState, shards: u32) -> StreamEntry {
    let config = StreamConfig { shards, ..StreamConfig::default() };
    StreamEntry { data: data(), state, created_ms: NOW_MS, config }
}

impl World {
    fn new() -> World {
        let cluster = MemoryCluster::new(1, NOW_MS, Faults::none());
        let client = cluster.connect("test");
        let clock = Arc::new(TestClock { cluster: cluster.clone(), random: AtomicU64::new(1) });
        World { cluster, client, clock }
    }

    fn controller(&self, name: &str) -> Controller {
        let client = Arc::new(self.cluster.connect(name));
        Controller::start(ControllerParts {
            log: client.clone(),
            kv: client.clone(),
            heartbeats: client,
            clock: self.clock.clone(),
            settings: ControllerSettings::default(),
        })
    }

    /// A stream that a controller has made, with `shards` shards.
    async fn with_stream(shards: u32) -> (World, Controller) {
        let world = World::new();
        world.client.create(&key(), entry(StreamState::Creating, shards).encode().into()).await.unwrap();
        let controller = world.controller("c");
        world.until("the stream is active", |world| world.state() == Some(StreamState::Active)).await;
        (world, controller)
    }

    async fn until(&self, what: &str, good: impl Fn(&World) -> bool) {
        for _ in 0..6_000 {
            if good(self) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("not within five minutes: {what}");
    }

    fn entry(&self) -> Option<StreamEntry> {
        self.cluster.value(&key()).map(|found| StreamEntry::decode(&found.value).unwrap())
    }

    fn state(&self) -> Option<StreamState> {
        self.entry().map(|entry| entry.state)
    }

    fn map(&self) -> ShardMap {
        ShardMap::decode(&self.cluster.value(&keys::map(&data())).expect("there is a map").value).unwrap()
    }

    async fn lanes(&self) -> BTreeSet<u16> {
        let mut lanes = BTreeSet::new();
        for number in 0..20 {
            match self.client.lane_state(&lane(number)).await {
                Ok(_) => drop(lanes.insert(number)),
                Err(error) => assert_eq!(error, LogError::NoLane),
            }
        }
        lanes
    }

    async fn change(&self, change: impl Fn(&mut StreamEntry)) {
        let found = self.client.get(&key()).await.unwrap().expect("the stream is there");
        let mut entry = StreamEntry::decode(&found.value).unwrap();
        change(&mut entry);
        self.client.update(&key(), entry.encode().into(), found.revision).await.unwrap();
    }

    /// Beats once with these loads of the stream.
    async fn beat(&self, loads: Vec<ShardLoad>) {
        let mut beat = Beat::new(BrokerId(1), "b:1".to_owned());
        beat.loads = vec![(data(), loads)];
        self.client.beat(&keys::broker(BrokerId(1)), beat.encode().into()).await.unwrap();
    }

    async fn apply(&self, actions: &[Action]) -> Result<intents::Written, IntentError> {
        let entry = self.entry().expect("the stream is there");
        apply_actions(&self.client, &self.client, &*self.clock, &entry, actions).await
    }

    async fn close_all(&self) {
        let found = self.client.get(&keys::map(&data())).await.unwrap().expect("there is a map");
        let mut map = ShardMap::decode(&found.value).unwrap();
        let mut sequence = 10;
        while let Some(parent) = map.reshards.first().map(|reshard| {
            reshard.parents.iter().find(|parent| parent.end.is_none()).expect("it is unfinished").id
        }) {
            sequence += 1;
            let closing = map.close(parent, sequence, self.cluster.now_ms()).unwrap();
            for closed in closing.closed {
                let key = keys::closed(&data(), closed.id);
                self.client.create(&key, closed.encode().into()).await.unwrap();
            }
            map = closing.map;
        }
        self.client.update(&keys::map(&data()), map.encode().into(), found.revision).await.unwrap();
    }
}

fn hot(shard: ShardId, bytes_per_s: u64) -> ShardLoad {
    ShardLoad {
        shard,
        bytes_per_s,
        records_per_s: 100,
        throttled_per_s: 0,
        read_bytes_per_s: 0,
        heavy: Vec::new(),
        cuts: Vec::new(),
    }
}

/// Runs `act` with one controller that is struck at its n-th call and another that comes after it, for every n,
/// until no call is left to strike; `check` sees each end.
async fn strike_each_call(
    begin: impl AsyncFn() -> World,
    done: impl Fn(&World) -> bool,
    check: impl AsyncFn(&World),
) -> u64 {
    for n in 0.. {
        for blow in BLOWS {
            let world = begin().await;
            let at = world.cluster.calls() + n;
            world.cluster.plan_blows([(at, blow)]);
            let first = world.controller("first");
            for _ in 0..200 {
                if done(&world) || world.cluster.calls() > at {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
            if world.cluster.calls() <= at {
                return n;
            }
            let second = world.controller("second");
            world.until("the end", &done).await;
            first.stop().await;
            second.stop().await;
            check(&world).await;
        }
    }
    unreachable!("the calls end");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_made_the_same_wherever_its_making_is_struck() {
    let begin = async || {
        let world = World::new();
        world.client.create(&key(), entry(StreamState::Creating, 20).encode().into()).await.unwrap();
        world
    };
    let calls = strike_each_call(
        begin,
        |world| world.state() == Some(StreamState::Active),
        async |world| {
            assert_eq!(world.lanes().await, BTreeSet::from([0, 1, 2]));
            let map = world.map();
            assert_eq!((map.open.len(), map.lanes, map.next_epoch), (20, 3, 2));
            assert_eq!(world.entry(), Some(entry(StreamState::Active, 20)));
        },
    )
    .await;
    assert!(calls >= 6, "only {calls} calls were struck");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_gone_wherever_its_removal_is_struck() {
    let begin = async || {
        let (world, controller) = World::with_stream(20).await;
        controller.stop().await;
        let split = Action::Split { shard: ShardId(0), cuts: vec![HashKey(9)] };
        world.apply(&[split]).await.unwrap();
        world.close_all().await;
        // As after a crash between the making of a lane and the write of its map.
        let config = lanes::new_lane(&StreamConfig::default(), 4);
        world.client.ensure_lane(&lane(3), &config).await.unwrap();
        let attributes = millrace_core::StreamAttributes::default().encode();
        world.client.create(&keys::attributes(&data()), attributes.into()).await.unwrap();
        world.change(|entry| entry.state = StreamState::Deleting).await;
        world
    };
    let calls = strike_each_call(
        begin,
        |world| world.state().is_none(),
        async |world| {
            assert_eq!(world.lanes().await, BTreeSet::new());
            assert_eq!(world.cluster.value(&keys::map(&data())), None);
            assert_eq!(world.cluster.value(&keys::attributes(&data())), None);
            assert_eq!(world.cluster.values(&keys::closed_of(&data())), []);
        },
    )
    .await;
    assert!(calls >= 18, "only {calls} calls were struck");
}

#[tokio::test(start_paused = true)]
async fn a_changed_retention_or_quota_reaches_every_lane() {
    let (world, _controller) = World::with_stream(20).await;
    let full = bytes::Bytes::from(vec![0; 2_000]);
    world.change(|entry| (entry.config.quota_bytes, entry.config.retention_s) = (3_000, 60)).await;
    sleep(Duration::from_secs(2)).await;
    for number in 0..3 {
        let shard = ShardAddress { data: data(), lane: Lane(number), shard: ShardId(number.into()) };
        assert!(world.client.append(&shard, 0, full.clone()).await.is_err());
        assert!(world.client.append(&shard, 0, full.slice(..500)).await.is_ok());
    }
    sleep(Duration::from_secs(61)).await;
    assert_eq!(world.client.lane_state(&lane(2)).await.unwrap().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_holds_most_of_the_quota_still_takes_records_after_another_is_added() {
    let (world, _controller) = World::with_stream(8).await;
    world.change(|entry| entry.config.quota_bytes = 10_000).await;
    let shard = ShardAddress { data: data(), lane: Lane(0), shard: ShardId(0) };
    let end = world.client.append(&shard, 0, vec![0; 7_000].into()).await.unwrap();
    let split = Action::Split { shard: ShardId(7), cuts: vec![HashKey(u128::MAX)] };
    assert_eq!(world.apply(&[split]).await.unwrap().map.lanes, 2);
    sleep(Duration::from_secs(2)).await;
    world.client.append(&shard, end, vec![0; 1_000].into()).await.expect("there is room in the quota");
    let other = ShardAddress { lane: Lane(1), shard: ShardId(8), ..shard };
    assert!(world.client.append(&other, 0, vec![0; 2_000].into()).await.is_err());
    world.client.append(&other, 0, vec![0; 1_000].into()).await.expect("its part of what is left");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_rests_causes_no_writes() {
    let (world, _controller) = World::with_stream(20).await;
    sleep(Duration::from_secs(5)).await;
    let writes = Arc::new(AtomicU64::new(0));
    let count = writes.clone();
    world.cluster.observe(move |event| {
        if event.change != millrace_log::memory::Change::Asked && &*event.client == "c" {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..200 {
        world.beat(world.map().open.iter().map(|shard| hot(shard.id, 600_000)).collect()).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(writes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retained_stream_keeps_its_data_and_retention_and_nothing_is_decided_on_it() {
    let (world, _controller) = World::with_stream(8).await;
    let shard = ShardAddress { data: data(), lane: Lane(0), shard: ShardId(0) };
    world.client.append(&shard, 0, bytes::Bytes::from_static(b"kept")).await.unwrap();
    world.change(|entry| entry.state = StreamState::Retained).await;
    let (map, entry) = (world.map(), world.entry());
    for load in [9 << 20, 0].into_iter().flat_map(|load| [load; 400]) {
        world.beat(vec![hot(ShardId(2), load)]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((world.map(), world.entry(), world.lanes().await), (map, entry, BTreeSet::from([0])));
    assert_ne!(world.client.lane_state(&lane(0)).await.unwrap().bytes, 0);
    world.change(|entry| entry.config.retention_s = 60).await;
    sleep(Duration::from_secs(62)).await;
    assert_eq!(world.client.lane_state(&lane(0)).await.unwrap().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_retained_before_it_is_made_is_left_unmade_until_it_comes_back() {
    let world = World::new();
    world.client.create(&key(), entry(StreamState::Retained, 8).encode().into()).await.unwrap();
    let _controller = world.controller("c");
    sleep(Duration::from_secs(5)).await;
    assert_eq!((world.state(), world.lanes().await), (Some(StreamState::Retained), BTreeSet::new()));
    world
        .change(|entry| *entry = entry.revived(StreamConfig { shards: 2, ..entry.config.clone() }, false))
        .await;
    world.until("it is made", |world| world.state() == Some(StreamState::Active)).await;
    assert_eq!(world.map().open.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_lost_is_never_made_anew_and_its_stream_is_left_alone() {
    let (world, controller) = World::with_stream(20).await;
    controller.stop().await;
    world.client.delete_lane(&lane(1)).await.unwrap();
    let map = world.map();
    let _controller = world.controller("second");
    for _ in 0..200 {
        world.beat(map.open.iter().map(|shard| hot(shard.id, 9 << 20)).collect()).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.lanes().await, BTreeSet::from([0, 2]));
    assert_eq!(world.map(), map);
}

#[tokio::test(start_paused = true)]
async fn a_hot_shard_is_split_and_the_decision_is_told() {
    let (world, controller) = World::with_stream(8).await;
    let mut decisions = controller.decisions();
    for _ in 0..5 {
        world.beat(vec![hot(ShardId(2), 4 << 20)]).await;
        sleep(Duration::from_secs(1)).await;
    }
    let map = world.map();
    assert_eq!(map.reshards.len(), 1);
    assert_eq!(map.reshards[0].parents[0].id, ShardId(2));
    // The split makes a second lane due, which is there.
    assert_eq!((map.lanes, world.lanes().await), (2, BTreeSet::from([0, 1])));
    let told = decisions.recv().await.unwrap();
    assert_eq!((told.namespace.as_str(), told.name.as_str()), ("default", "orders"));
    assert!(told.finding.to_string().starts_with("shardId-000000000002 took 4.0 MiB/s, 400 %"), "{told:?}");
    assert_eq!(controller.why("default", "orders"), [told]);
    assert_eq!(controller.why("default", "others"), []);
}

#[tokio::test(start_paused = true)]
async fn brokers_that_are_silent_are_not_taken_for_idle_shards_and_dead_ones_for_load() {
    let (world, controller) = World::with_stream(8).await;
    sleep(Duration::from_secs(900)).await;
    assert_eq!(world.map().reshards, []);
    world.beat(vec![hot(ShardId(2), 4 << 20)]).await;
    sleep(Duration::from_secs(900)).await;
    // The one beat counts for as long as its broker is alive.
    assert!(world.map().reshards.len() <= 1);
    assert!(
        controller.why("default", "orders").iter().all(|told| matches!(told.finding, Finding::Split { .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn idle_shards_are_merged_while_a_broker_is_alive() {
    let (world, _controller) = World::with_stream(8).await;
    for _ in 0..1_000 {
        world.beat(Vec::new()).await;
        sleep(Duration::from_secs(1)).await;
        if !world.map().reshards.is_empty() {
            break;
        }
    }
    assert_eq!(world.map().reshards.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_finding_that_nothing_is_done_about_is_told_once_in_five_minutes() {
    let (world, controller) = World::with_stream(1).await;
    world.change(|entry| entry.config.max_shards = 1).await;
    for _ in 0..290 {
        world.beat(vec![hot(ShardId(0), 4 << 20)]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(controller.why("default", "orders").len(), 1);
    for _ in 0..20 {
        world.beat(vec![hot(ShardId(0), 4 << 20)]).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(controller.why("default", "orders").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closed_shard_is_forgotten_once_retention_has_passed_and_its_last_message_is_gone() {
    let (world, _controller) = World::with_stream(2).await;
    let day_s = 24 * 3_600;
    let shard = ShardAddress { data: data(), lane: Lane(0), shard: ShardId(0) };
    sleep(Duration::from_secs(3_600)).await;
    let end = world.client.append(&shard, 0, bytes::Bytes::from_static(b"close")).await.unwrap();
    let closed = |id: u64, end: u64, closed_ms: i64| ClosedShard {
        id: ShardId(id),
        epoch: 1,
        lane: Lane(0),
        range: HashRange::FULL,
        parents: Default::default(),
        opened_ms: NOW_MS,
        closed_ms,
        end,
        children: Vec::new(),
    };
    // One whose time has come but whose last message is still there, as where clocks differ; and one that is due
    // a little later.
    for shard in [closed(100, end, NOW_MS), closed(101, 0, world.cluster.now_ms())] {
        let key = keys::closed(&data(), shard.id);
        world.client.create(&key, shard.encode().into()).await.unwrap();
    }
    let left = |world: &World| world.cluster.values(&keys::closed_of(&data())).len();
    sleep(Duration::from_secs(day_s - 600)).await;
    assert_eq!(left(&world), 2);
    sleep(Duration::from_secs(800)).await;
    assert_eq!(left(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn intents_in_doubt_are_written_once() {
    for n in 0..4 {
        for blow in [Blow::LoseRequest, Blow::LoseReply] {
            let (world, controller) = World::with_stream(2).await;
            controller.stop().await;
            world.cluster.plan_blows([(world.cluster.calls() + n, blow)]);
            let split = Action::Split { shard: ShardId(1), cuts: vec![HashKey(u128::MAX - 7)] };
            let written = world.apply(&[split]).await.expect("a lost call is made up for");
            assert_eq!(written.map, world.map(), "{blow:?} at {n}");
            assert_eq!(written.map.reshards.len(), 1, "{blow:?} at {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn intents_that_were_carried_out_before_their_doubt_is_settled_are_not_repeated() {
    let (world, controller) = World::with_stream(2).await;
    controller.stop().await;
    // The map is read, then written with the reply lost; until the write is given up, owners finish the reshard
    // and one of its children is split again.
    world.cluster.plan_blows([(world.cluster.calls() + 1, Blow::LoseReply)]);
    let split = Action::Split { shard: ShardId(1), cuts: vec![HashKey(u128::MAX - 7)] };
    let actions = [split];
    let others = async {
        sleep(Duration::from_secs(1)).await;
        world.close_all().await;
        let again = Action::Split { shard: ShardId(2), cuts: vec![HashKey(u128::MAX - 9)] };
        world.apply(&[again]).await.unwrap();
        world.close_all().await;
    };
    let (written, ()) = tokio::join!(world.apply(&actions), others);
    assert_eq!(written.unwrap().map, world.map());
    let ids: BTreeSet<u64> = world.map().open.iter().map(|shard| shard.id.0).collect();
    assert_eq!(ids, BTreeSet::from([0, 3, 4, 5]));
}

#[tokio::test(start_paused = true)]
async fn what_the_shards_do_not_allow_is_refused_with_its_reason() {
    let (world, controller) = World::with_stream(2).await;
    controller.stop().await;
    let split = Action::Split { shard: ShardId(9), cuts: vec![HashKey(1)] };
    assert_eq!(world.apply(&[split]).await, Err(IntentError::Plan(PlanError::NotOpen(ShardId(9)))));
    world.client.delete(&keys::map(&data()), None).await.unwrap();
    assert_eq!(world.apply(&[]).await, Err(IntentError::NoMap(data())));
}
