//! What is said of a stream holds: nothing is decided that it does not say, and what it says comes about.

mod simulated;

use millrace_autoscaler::{Decision, Outlook, Policy, Standing, decide, outlook};
use millrace_core::floor::{Days, FloorWindow};
use millrace_core::load::ShardLoad;
use millrace_core::plan::Action;
use millrace_core::{Autoscaling, CapacityMode, Floor, HashKey, ShardId, ShardMap};
use proptest::prelude::*;
use simulated::{World, policy};

fn spread(n: u64) -> HashKey {
    HashKey::of_partition_key(&n.to_string())
}

/// `count` keys over the whole hash space with one record a second each: 128 of them are one target.
fn even(count: u64) -> Vec<(HashKey, u32)> {
    (0..count).map(|n| (spread(n), 1)).collect()
}

/// A report without detail.
fn load(shard: u64, bytes_per_s: u64) -> ShardLoad {
    ShardLoad {
        shard: ShardId(shard),
        bytes_per_s,
        records_per_s: 100,
        throttled_per_s: 0,
        read_bytes_per_s: 0,
        heavy: Vec::new(),
        cuts: Vec::new(),
    }
}

/// What is decided in a world, and what is said of it.
fn look(world: &World) -> (Decision, Outlook) {
    look_as(world, Autoscaling::Apply)
}

fn look_as(world: &World, autoscaling: Autoscaling) -> (Decision, Outlook) {
    let decision = decide(&world.input());
    let seen = outlook(&world.input(), &decision, autoscaling);
    (decision, seen)
}

fn observe(world: &mut World, loads: &[ShardLoad]) {
    world.now_ms += 1_000;
    let Policy { target, merge_after_s, .. } = world.policy;
    world.history.observe(world.now_ms, &world.map, &target, merge_after_s, loads);
}

/// A world in which `scale` of the load has gone on for so many seconds, phase by phase.
fn after(mut world: World, phases: &[(f64, u32)]) -> World {
    for (scale, seconds) in phases {
        for _ in 0..*seconds {
            world.second(*scale);
        }
    }
    world
}

fn of_shards(shards: u32, keys: u64, phases: &[(f64, u32)]) -> World {
    after(World::new(ShardMap::new(shards, 0), policy(), even(keys)), phases)
}

fn said(world: &World) -> String {
    look(world).1.standing.to_string()
}

#[test]
fn a_calm_stream_is_steady_and_says_where_acting_begins() {
    let world = of_shards(4, 340, &[(1.0, 200)]);
    let (_, seen) = look(&world);
    assert_eq!((seen.standing.name(), seen.busiest_per_mille), ("Steady", Some(750)));
    assert_eq!(
        said(&world),
        "No shard carried more than 75 % of its target in the last two minutes, and one is split above 100 % for 2 s; no \
         two neighbours together are below 65 % of one target, where they would be merged."
    );
    let alone = of_shards(1, 50, &[(1.0, 10)]);
    assert_eq!(
        said(&alone),
        "The one shard carried up to 40 % of its target in the last two minutes; it is split once it is above 100 % for \
         2 s."
    );
}

#[test]
fn the_busiest_second_is_told_of_for_a_minute_at_least_and_for_two_at_most() {
    let told = |seconds| look(&of_shards(4, 340, &[(1.0, 5), (0.9, seconds)])).1.busiest_per_mille;
    assert_eq!(told(59), Some(750));
    assert_eq!(told(121), Some(700));
}

#[test]
fn a_shard_above_its_target_is_watched_until_it_is_split() {
    let mut world = of_shards(4, 340, &[(1.0, 30)]);
    let loads = world.loads(2.0);
    observe(&mut world, &loads);
    let (decision, seen) = look(&world);
    assert_eq!(decision.actions, []);
    let Standing::Watching { over_ms, split_ms: Some(split_ms), .. } = seen.standing else {
        panic!("{seen:?}")
    };
    assert_eq!((over_ms, split_ms), (world.now_ms - 1_000, world.now_ms + 1_000));
    assert!(said(&world).ends_with("it is split at 2023-11-14T22:13:52Z if that lasts."), "{}", said(&world));
    observe(&mut world, &loads);
    let (decision, seen) = look(&world);
    assert!(matches!(decision.actions[..], [Action::Split { .. }, ..]), "{decision:?}");
    assert_eq!(seen.standing, Standing::Resharding { reshards: decision.actions.len() as u32 });
}

#[test]
fn neighbours_that_cool_down_are_told_with_the_time_of_their_merge() {
    let world = of_shards(4, 340, &[(1.0, 60), (0.1, 1)]);
    let (_, seen) = look(&world);
    let Standing::CoolingDown { merge_ms, wait_s: 60, shortest_s: 20, .. } = seen.standing else {
        panic!("{seen:?}")
    };
    assert!((world.now_ms + 59_000..world.now_ms + 72_000).contains(&merge_ms), "{merge_ms}");
    let sentence = said(&world);
    assert!(
        sentence.contains(" together carry less than 65 % of one target: they are merged at 2023-11-14T22:1")
    );
    assert!(
        sentence
            .ends_with(
                "if load stays as it is. Neighbours wait 60 s, 3 times capacity.mergeAfterSeconds, by how soon load has \
                 come back to so many shards."
            )
    );
}

#[test]
fn of_neighbours_whose_time_comes_at_once_those_are_told_whose_highest_second_was_lowest() {
    let mut world = World::new(ShardMap::new(4, 0), policy(), Vec::new());
    let loads = |percent: [u64; 4]| -> Vec<ShardLoad> {
        let shards = percent.into_iter().enumerate();
        shards.map(|(shard, percent)| load(shard as u64, (1 << 20) * percent / 100)).collect()
    };
    observe(&mut world, &loads([60, 9, 20, 25]));
    observe(&mut world, &loads([0, 0, 40, 20]));
    let Standing::CoolingDown { shard, adjacent, merge_ms, .. } = look(&world).1.standing else {
        panic!("{}", said(&world))
    };
    assert_eq!((shard, adjacent), (ShardId(1), ShardId(2)));
    while world.now_ms < merge_ms {
        assert_eq!(look(&world).0.actions, []);
        observe(&mut world, &loads([0, 0, 40, 20]));
    }
    assert_eq!(look(&world).0.actions[0], Action::Merge { shard, adjacent });
}

#[test]
fn a_wait_that_is_the_shortest_is_said_to_be_as_asked() {
    let standing = Standing::CoolingDown {
        shard: ShardId(1),
        adjacent: ShardId(2),
        merge_ms: 1_700_000_000_000,
        wait_s: 20,
        shortest_s: 20,
        below_per_mille: 650,
    };
    let sentence = standing.to_string();
    assert!(sentence.ends_with("Neighbours wait 20 s, as capacity.mergeAfterSeconds says."), "{sentence}");
}

#[test]
fn idle_shards_that_a_floor_asks_for_say_so() {
    let mut world = World::new(ShardMap::new(4, 0), policy(), Vec::new());
    world.floor = Floor(vec![FloorWindow {
        start: "00:00".parse().expect("a time"),
        end: "00:00".parse().expect("a time"),
        days: Days::EVERY,
        time_zone: "UTC".to_owned(),
        shards: 4,
    }]);
    let world = after(world, &[(1.0, 90)]);
    assert_eq!(look(&world).1.standing, Standing::AtFloor { shards: 4 });
    assert!(said(&world).ends_with("asks for 4 shards."), "{}", said(&world));
}

#[test]
fn a_stream_at_its_fewest_or_most_shards_says_which_bound_to_move() {
    let mut least = World::new(ShardMap::new(4, 0), Policy { min_shards: 4, ..policy() }, Vec::new());
    least = after(least, &[(1.0, 60)]);
    assert_eq!(look(&least).1.standing, Standing::AtMin { min_shards: 4 });
    assert!(said(&least).ends_with("lower capacity.minShards to have fewer."));
    let mut most = World::new(ShardMap::new(4, 0), Policy { max_shards: 4, ..policy() }, even(900));
    most = after(most, &[(1.0, 5)]);
    assert_eq!(look(&most).1.standing.name(), "AtMax");
    assert!(said(&most).ends_with("no more than 4 shards: raise capacity.maxShards."));
}

#[test]
fn a_hot_key_is_told_with_its_hash_and_load_and_for_a_minute_after_it() {
    let mut world = World::new(ShardMap::new(4, 0), policy(), vec![(spread(1), 300)]);
    world = after(world, &[(1.0, 10)]);
    let (_, seen) = look(&world);
    let Standing::HotKey { key } = seen.standing else { panic!("{seen:?}") };
    assert_eq!((key.key, key.per_mille), (spread(1), 2_350));
    assert_eq!(seen.hot_keys, [key]);
    assert_eq!(
        said(&world),
        format!(
            "Hash key {} alone brings 235 % of a shard's target, in {}: no split divides a key. Spread its records over \
             several partition keys, or raise capacity.targetPerShard.",
            key.key, key.shard
        )
    );
    let mut before = seen;
    let mut told_s = 0;
    for _ in 0..90 {
        world.second(0.0);
        before = look(&world).1.following(&before);
        told_s += u32::from(!before.hot_keys.is_empty());
    }
    assert_eq!(told_s, 59);
}

#[test]
fn a_standing_that_goes_on_has_begun_when_it_began() {
    let world = of_shards(4, 340, &[(1.0, 30)]);
    let first = look(&world).1;
    let mut later = of_shards(4, 340, &[(1.0, 40)]);
    assert_eq!(look(&later).1.following(&first).since_ms, world.now_ms);
    later = after(later, &[(0.1, 1)]);
    assert_eq!(look(&later).1.following(&first).since_ms, later.now_ms);
}

#[test]
fn where_nobody_acts_it_is_said_why() {
    let mut world = of_shards(4, 340, &[(1.0, 30)]);
    let loads = world.loads(2.0);
    observe(&mut world, &loads);
    observe(&mut world, &loads);
    let advised = look_as(&world, Autoscaling::Recommend).1.standing;
    assert_eq!(advised.name(), "Recommends");
    let shard = world.map.open[0].id;
    assert!(advised.to_string().contains(&format!("The advice is to split {shard}, split ")), "{advised}");
    assert!(advised.to_string().ends_with(", and 1 more."), "{advised}");
    assert_eq!(look_as(&world, Autoscaling::Disabled).1, Outlook::of(Standing::Off, world.now_ms));
    world.policy.mode = CapacityMode::Provisioned;
    assert_eq!(look_as(&world, Autoscaling::Disabled).1.standing, Standing::Provisioned { shards: 4 });
    world.policy.rescale = true;
    world.policy.shards = 8;
    assert_eq!(look(&world).1.standing, Standing::Resharding { reshards: 4 });
}

#[test]
fn reshards_under_way_are_told_before_all_else() {
    let mut world = of_shards(2, 900, &[]);
    world.map =
        world.map.plan(&[Action::Split { shard: ShardId(0), cuts: vec![HashKey(5)] }], 0).expect("a plan");
    let loads = world.loads(0.1);
    observe(&mut world, &loads);
    assert_eq!(look(&world).1.standing, Standing::Resharding { reshards: 1 });
}

/// Keys that are spread, clustered, or skewed, of 1 to 12 targets in all.
fn keys() -> impl Strategy<Value = Vec<(HashKey, u32)>> {
    (0u8..3, 128u32..1_536, any::<u128>()).prop_map(|(kind, total, place)| match kind {
        0 => (0..u64::from(total)).map(|n| (spread(n), 1)).collect(),
        1 => (0..total).map(|n| (HashKey(place.saturating_add(u128::from(n) * 7)), 1)).collect(),
        _ => (0..200).map(|n| (spread(n), (total / 5 / (n as u32 + 1)).max(1))).collect(),
    })
}

/// A world at some time of a load that comes and goes, under bounds of all kinds.
fn world() -> impl Strategy<Value = World> {
    let phases =
        prop::collection::vec((prop::sample::select(vec![0.0, 0.2, 0.5, 0.8, 1.0, 1.6]), 1u32..60), 1..8);
    let bounds = (1u32..8, 1u32..8, 0u32..24, 3u32..30);
    (bounds, keys(), phases).prop_map(|((shards, min_shards, more, merge_after_s), keys, phases)| {
        let policy = Policy { min_shards, max_shards: min_shards + more, merge_after_s, ..policy() };
        after(World::new(ShardMap::new(shards, 0), policy, keys), &phases)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_decided_is_said_and_nothing_else(world in world(), next in 0.0f64..3.0) {
        let mut world = world;
        for _ in 0..4 {
            let loads = world.loads(next);
            observe(&mut world, &loads);
            let (decision, seen) = look(&world);
            let reshards = decision.actions.len() as u32;
            prop_assert_eq!(seen.standing == Standing::Resharding { reshards }, reshards > 0, "{:?} {:?}", decision, seen);
            let advised = look_as(&world, Autoscaling::Recommend).1.standing;
            prop_assert_eq!(advised.name() == "Recommends", reshards > 0, "{:?} {:?}", decision, advised);
            world.apply(&decision.actions);
        }
    }

    #[test]
    fn what_is_said_comes_about_under_unchanged_load_and_not_before(world in world(), scale in 0.0f64..1.3) {
        let mut world = world;
        let loads = world.loads(scale);
        observe(&mut world, &loads);
        let (_, first) = look(&world);
        // A shard that was seen in this second only has no second to be compared with.
        for _ in 0..13 * world.policy.merge_after_s {
            let (decision, seen) = look(&world);
            let now_ms = world.now_ms;
            let acts = decision.actions.first();
            match &first.standing {
                Standing::CoolingDown { shard, adjacent, merge_ms, .. } if now_ms >= *merge_ms => {
                    prop_assert_eq!(now_ms, *merge_ms);
                    prop_assert_eq!(acts, Some(&Action::Merge { shard: *shard, adjacent: *adjacent }));
                    return Ok(());
                }
                Standing::Watching { shard, split_ms: Some(split_ms), .. } if now_ms >= *split_ms => {
                    let about = decision.findings.iter().any(|finding| finding.shard() == Some(*shard));
                    let uncut = matches!(seen.standing, Standing::Watching { split_ms: None, .. });
                    prop_assert!(about || uncut, "{:?} {:?} {:?}", first, decision, seen);
                    return Ok(());
                }
                Standing::CoolingDown { .. } => {
                    prop_assert_eq!(acts, None);
                    prop_assert_eq!(&seen.standing, &first.standing, "it is said all the time");
                }
                Standing::Steady { .. } | Standing::AtMin { .. } | Standing::Watching { .. } => {
                    prop_assert_eq!(acts, None, "{:?}", first);
                }
                Standing::Resharding { .. } => {
                    prop_assert!(acts.is_some());
                    return Ok(());
                }
                // Merges elsewhere may make room.
                Standing::AtMax { .. } | Standing::HotKey { .. } => return Ok(()),
                other => prop_assert!(false, "{:?}", other),
            }
            observe(&mut world, &loads);
        }
    }
}
