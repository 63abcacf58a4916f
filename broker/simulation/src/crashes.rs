//! One reshard, and brokers that crash at chosen calls of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_core::plan::Action;
use millrace_core::{HashKey, ShardId, ShardMap, keys};
use millrace_log::Kv;
use millrace_log::memory::{Blow, Faults};
use tokio::time::{sleep, timeout};

use crate::run::{Failure, judge, read_everything};
use crate::scenario::Scenario;
use crate::world::{Phase, START_MS, World};
use crate::{oracle::Oracle, reader, writer};

/// Within this time the reshards are finished and everything is acknowledged.
const PATIENCE: Duration = Duration::from_secs(120);

/// What reshards came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The open shards: number, epoch, start, parents.
    pub open: Vec<(ShardId, u64, HashKey, Vec<ShardId>)>,
    /// The closed shards and the children that their entries name.
    pub closed: Vec<(ShardId, Vec<ShardId>)>,
    /// How many calls brokers made between the decision and the end of the reshards.
    pub calls: u64,
    /// Which brokers closed parents.
    pub closers: BTreeSet<String>,
}

impl Outcome {
    /// Whether two runs came to the same.
    pub fn agrees(&self, other: &Outcome) -> bool {
        (&self.open, &self.closed) == (&other.open, &other.closed)
    }
}

/// Two brokers, a writer and a reader, and reshards that `decide` chooses from a map of `shards` shards; `blows`
/// strike the brokers at calls that are counted from the decision on. A broker that crashes is replaced.
///
/// # Errors
/// When something did not hold.
pub fn reshard_with_blows(
    seed: u64,
    shards: u32,
    decide: impl Fn(&ShardMap) -> Vec<Action>,
    blows: &[(u64, Blow)],
) -> Result<Outcome, Failure> {
    judge(seed, async {
        let scenario = Scenario {
            brokers: 2,
            streams: 1,
            shards,
            retention_s: 3_600,
            writers: 1,
            keys: 4,
            think_ms: 1..=10,
            client_patience: Duration::from_secs(60),
            skew_ms: 0,
            network: Faults { delay_ms: 1..=1, time_out_ms: 2_000, ..Faults::none() },
            settings: millrace_server::broker::Settings::default(),
            ..Scenario::of(seed)
        };
        let world = World::new(scenario, Oracle::new([millrace_core::DataId::from_random(1)], false));
        let outcome = reshard(&world, decide, blows).await;
        read_everything(&world).await;
        let mut oracle = world.oracle.lock();
        oracle.finish();
        (outcome, oracle.faults().to_vec())
    })
}

async fn reshard(
    world: &Arc<World>,
    decide: impl Fn(&ShardMap) -> Vec<Action>,
    blows: &[(u64, Blow)],
) -> Outcome {
    world.make_streams().await;
    world.set_network(world.scenario.network.clone());
    for slot in 0..world.scenario.brokers {
        world.start_broker(slot).await;
        tokio::spawn(replace(world.clone(), slot));
    }
    let fork = || world.dice.lock().fork();
    let writer = tokio::spawn(writer::write(world.clone(), 0, 0, fork()));
    tokio::spawn(reader::read(world.clone(), 0, 0, fork()));
    sleep(Duration::from_millis(500)).await;

    let admin = world.cluster.connect("admin");
    let key = keys::map(&world.streams[0].1.data);
    let entry = world.cluster.value(&key).expect("the stream has a map");
    let map = ShardMap::decode(&entry.value).expect("the map is good");
    let map = map.plan(&decide(&map), START_MS).expect("the test decides what can be");
    let base = world.cluster.calls() + 1;
    world.cluster.plan_blows(blows.iter().map(|(call, blow)| (base + call, *blow)));
    admin.update(&key, map.encode().into(), entry.revision).await.expect("nobody else writes the map");

    let done = timeout(PATIENCE, async {
        while world.oracle.lock().is_resharding(0) {
            sleep(Duration::from_millis(1)).await;
        }
    });
    let mut stuck = done.await.is_err();
    let calls = world.cluster.calls() - base;
    sleep(Duration::from_millis(100)).await;
    world.set_phase(Phase::Finish);
    stuck |= timeout(PATIENCE, writer).await.is_err();
    let mut oracle = world.oracle.lock();
    if stuck {
        oracle.blame("reshards or writers do not come to an end".to_owned());
    }
    let open = oracle.map(0).map(|map| {
        map.open
            .iter()
            .map(|s| (s.id, s.epoch, s.start, s.parents.iter().collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    });
    Outcome {
        open: open.unwrap_or_default(),
        closed: oracle.lineage(0),
        calls,
        closers: oracle.closers().clone(),
    }
}

/// Puts another broker in the place of one that has crashed, again and again.
async fn replace(world: Arc<World>, slot: usize) {
    loop {
        let Some(process) = world.running().into_iter().find(|process| process.slot == slot) else { return };
        process.client.crashed().await;
        process.crash();
        world.leave(process.id());
        world.start_broker(slot).await;
    }
}
