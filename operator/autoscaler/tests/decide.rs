//! What has to hold of decisions, whatever the map and wherever the load.

mod simulated;

use std::collections::BTreeSet;

use millrace_autoscaler::{Finding, Input, LoadHistory, Policy, decide, is_rescaled};
use millrace_core::load::ShardLoad;
use millrace_core::plan::Action;
use millrace_core::{CapacityMode, HashKey, HashRange, ShardId, ShardMap};
use proptest::prelude::*;
use simulated::{World, policy};

fn spread(n: u64) -> HashKey {
    HashKey::of_partition_key(&n.to_string())
}

/// `count` keys over the whole hash space with one record a second each.
fn even(count: u64) -> Vec<(HashKey, u32)> {
    (0..count).map(|n| (spread(n), 1)).collect()
}

/// A report without detail.
fn load(shard: u64, bytes_per_s: u64, records_per_s: u64) -> ShardLoad {
    ShardLoad {
        shard: ShardId(shard),
        bytes_per_s,
        records_per_s,
        throttled_per_s: 0,
        read_bytes_per_s: 0,
        heavy: Vec::new(),
        cuts: Vec::new(),
    }
}

fn observe(world: &mut World, loads: &[ShardLoad]) {
    world.now_ms += 1_000;
    let Policy { target, merge_after_s, .. } = world.policy;
    world.history.observe(world.now_ms, &world.map, &target, merge_after_s, loads);
}

#[test]
fn a_shard_at_340_per_cent_is_split_after_two_seconds_into_as_many_as_it_takes() {
    let mut world = World::new(ShardMap::new(1, 0), policy(), Vec::new());
    let hot = load(0, 3_565_158, 900);
    observe(&mut world, std::slice::from_ref(&hot));
    assert_eq!(world.decide().actions, []);
    observe(&mut world, &[hot]);
    let decision = world.decide();
    let [Action::Split { shard: ShardId(0), cuts }] = &decision.actions[..] else {
        panic!("{:?}", decision.actions);
    };
    assert_eq!(*cuts, HashRange::FULL.divide(6)[1..].iter().map(|c| near(*c, cuts)).collect::<Vec<_>>());
    assert_eq!(
        decision.findings[0].to_string(),
        "shardId-000000000000 took 3.4 MiB/s, 340 % of its target of 1.0 MiB/s, for 2 s: split in 6 at load \
         quantiles; each other child is expected to carry up to 57 %"
    );
}

/// The cut nearest to a place, which must be within a thousandth of the hash space.
fn near(place: HashKey, cuts: &[HashKey]) -> HashKey {
    let nearest = cuts.iter().min_by_key(|cut| cut.0.abs_diff(place.0)).expect("there are cuts");
    assert!(nearest.0.abs_diff(place.0) < u128::MAX / 1_000, "{place} {nearest}");
    *nearest
}

#[test]
fn many_tiny_records_count_as_much_as_many_bytes() {
    let mut world = World::new(ShardMap::new(1, 0), policy(), Vec::new());
    for _ in 0..2 {
        observe(&mut world, &[load(0, 20_000, 2_000)]);
    }
    let decision = world.decide();
    assert!(matches!(&decision.actions[..], [Action::Split { cuts, .. }] if cuts.len() == 3), "{decision:?}");
    assert!(
        decision.findings[0]
            .to_string()
            .contains("took 2000 records/s, 200 % of its target of 1000 records/s")
    );
}

#[test]
fn one_second_above_the_target_is_let_pass_unless_records_are_refused() {
    let mut world = World::new(ShardMap::new(1, 0), policy(), Vec::new());
    observe(&mut world, &[load(0, 100, 1)]);
    let mut hot = load(0, 1 << 20, 1_500);
    observe(&mut world, std::slice::from_ref(&hot));
    assert_eq!(world.decide().actions, []);
    hot.throttled_per_s = 1_500;
    world.history = LoadHistory::new();
    observe(&mut world, &[load(0, 100, 1)]);
    observe(&mut world, &[hot]);
    let decision = world.decide();
    // 150 % was stored, as much refused: what was tried is what the children must carry.
    assert!(matches!(&decision.actions[..], [Action::Split { cuts, .. }] if cuts.len() == 4), "{decision:?}");
}

#[test]
fn a_shard_under_reshard_is_left_alone() {
    let mut world = World::new(ShardMap::new(2, 0), policy(), Vec::new());
    let split = Action::Split { shard: ShardId(0), cuts: vec![HashKey(5)] };
    world.map = world.map.plan(&[split], 0).expect("it can be split");
    for _ in 0..40 {
        observe(&mut world, &[load(0, 9 << 20, 9_000)]);
    }
    assert_eq!(world.decide().actions, []);
}

#[test]
fn a_hot_key_is_isolated_told_and_not_cut_again() {
    let hot = HashKey(u128::MAX / 3);
    let mut keys = even(256);
    keys.push((hot, 400));
    let mut world = World::new(ShardMap::new(1, 0), policy(), keys);
    let mut last_split = 0;
    let mut told = 0;
    for second in 0..120 {
        let decision = world.second(1.0);
        if decision.actions.iter().any(|action| matches!(action, Action::Split { .. })) {
            last_split = second;
        }
        told += decision.findings.iter().filter(|f| matches!(f, Finding::HotKey { .. })).count();
    }
    let index = world.map.route(hot);
    assert_eq!(world.map.range(index), HashRange { start: hot, end: hot });
    assert!(last_split < 12, "still split in second {last_split}");
    assert!(told > 100, "told {told} times");
    assert!(world.shard_loads().iter().all(|(_, load, heaviest)| *load <= 1_000 || load == heaviest));
}

#[test]
fn a_shard_that_is_one_hot_key_is_not_cut_at_all() {
    let mut world = World::new(ShardMap::new(4, 0), policy(), vec![(spread(1), 300)]);
    for _ in 0..10 {
        let decision = world.second(1.0);
        assert!(
            !decision.actions.iter().any(|action| matches!(action, Action::Split { .. })),
            "{decision:?}"
        );
    }
    assert!(matches!(&world.decide().findings[..], [Finding::HotKey { key, .. }] if *key == spread(1)));
}

#[test]
fn a_thousand_silent_shards_become_one_and_no_fewer_than_the_least() {
    for min_shards in [1, 7] {
        let policy = Policy { min_shards, ..policy() };
        let mut world = World::new(ShardMap::new(1_000, 0), policy, Vec::new());
        for second in 0..100 {
            let decision = world.second(1.0);
            assert!(second >= 59 || decision.actions.is_empty(), "merged after {second} s");
            assert!(decision.actions.len() <= 64);
        }
        assert_eq!(world.map.open.len(), min_shards as usize);
    }
}

#[test]
fn bounds_that_were_changed_are_reached_from_either_side() {
    let grow = Policy { min_shards: 100, ..policy() };
    let mut world = World::new(ShardMap::new(3, 0), grow, Vec::new());
    for _ in 0..10 {
        world.second(1.0);
    }
    assert_eq!(world.map.open.len(), 100);
    world.policy = Policy { max_shards: 20, ..policy() };
    for _ in 0..10 {
        world.second(1.0);
    }
    assert!(world.map.open.len() <= 20);
}

#[test]
fn provisioned_streams_go_to_their_number_and_keep_what_users_split() {
    let policy = Policy { mode: CapacityMode::Provisioned, shards: 5, rescale: true, ..policy() };
    let mut world = World::new(ShardMap::new(3, 0), policy, even(2_000));
    for _ in 0..5 {
        world.second(1.0);
    }
    let starts: Vec<HashKey> = world.map.open.iter().map(|shard| shard.start).collect();
    assert_eq!(starts, HashRange::FULL.divide(5));
    assert!(is_rescaled(&world.map, 5));
    world.policy.rescale = false;
    world.apply(&[Action::Split { shard: world.map.open[0].id, cuts: vec![HashKey(9)] }]);
    for _ in 0..50 {
        assert_eq!(world.second(1.0).actions, []);
    }
}

#[test]
fn a_stream_at_its_most_says_so_and_does_nothing() {
    let policy = Policy { max_shards: 2, ..policy() };
    let mut world = World::new(ShardMap::new(2, 0), policy, even(1_000));
    for _ in 0..5 {
        world.second(1.0);
    }
    assert_eq!(world.map.open.len(), 2);
    let decision = world.decide();
    assert!(matches!(&decision.findings[..], [Finding::AtMax { max_shards: 2, .. }, Finding::AtMax { .. }]));
}

/// Keys that are spread, clustered, few, or skewed, of 1 to 30 targets in all.
fn keys() -> impl Strategy<Value = Vec<(HashKey, u32)>> {
    let total = 128u32..3_840;
    let place = any::<u128>();
    (0u8..4, total, place).prop_map(|(kind, total, place)| match kind {
        0 => (0..u64::from(total)).map(|n| (spread(n), 1)).collect(),
        1 => (0..total).map(|n| (HashKey(place.saturating_add(u128::from(n) * 7)), 1)).collect(),
        2 => (0..10).map(|n| (spread(n), total / 10)).collect(),
        _ => (0..200).map(|n| (spread(n), (total / 5 / (n as u32 + 1)).max(1))).collect(),
    })
}

/// A map after some splits by hand.
fn map() -> impl Strategy<Value = ShardMap> {
    (1u32..12, prop::collection::vec(any::<u128>(), 0..8)).prop_map(|(shards, cuts)| {
        let mut world = World::new(ShardMap::new(shards, 0), policy(), Vec::new());
        for cut in cuts {
            let index = world.map.route(HashKey(cut));
            if world.map.open[index].start.0 != cut {
                world.apply(&[Action::Split { shard: world.map.open[index].id, cuts: vec![HashKey(cut)] }]);
            }
        }
        world.map
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn constant_load_ends_in_shards_below_their_target_or_of_one_key(map in map(), keys in keys()) {
        let mut world = World::new(map, policy(), keys);
        for _ in 0..40 {
            world.second(1.0);
            let open = world.map.open.len() as u32;
            prop_assert!((1..=world.policy.max_shards).contains(&open));
        }
        for (shard, load, heaviest) in world.shard_loads() {
            // A hot key that has its shard almost to itself gains nothing from having it alone.
            let is_of_one_key = load - heaviest < 100;
            prop_assert!(load <= 1_000 || is_of_one_key, "{shard} carries {load}, {heaviest} of it by one key");
        }
        // Not many more shards than the load needs, each of which is to be filled to 60 %.
        let needed: u64 = world.shard_loads().iter().map(|(_, load, _)| load).sum::<u64>() / 600 + 1;
        prop_assert!(world.map.open.len() as u64 <= 3 * needed + 24, "{} for {needed}", world.map.open.len());
    }

    #[test]
    fn noise_of_a_fifth_moves_nothing_once_settled(
        map in map(), keys in keys(), noise in prop::collection::vec(0.8f64..1.2, 60)
    ) {
        let mut world = World::new(map, policy(), keys);
        // Settled under noise that reaches its bounds now and then.
        let scale = |second: usize| match second % 10 {
            0 | 1 => 1.2,
            5 => 0.8,
            _ => noise[second % noise.len()],
        };
        for second in 0..200 {
            world.second(scale(second));
        }
        let mut moved = BTreeSet::new();
        for second in 200..300 {
            let decision = world.second(scale(second));
            moved.extend(decision.actions.iter().map(|action| format!("{second}: {action:?}")));
        }
        prop_assert!(moved.is_empty(), "{moved:?}");
    }

    #[test]
    fn decisions_can_always_be_planned_and_keep_the_bounds(
        map in map(), bounds in (1u32..20, 0u32..20), loads in prop::collection::vec(
            prop::collection::vec((0usize..20, 0u64..20 << 20, 0u64..20_000, 0u64..5_000, any::<u128>()), 0..20), 1..30
        ),
    ) {
        let (min_shards, more) = bounds;
        let policy = Policy { min_shards, max_shards: min_shards + more, max_reshards: 5, ..policy() };
        let mut world = World::new(map, policy, Vec::new());
        for second in loads {
            let open = world.map.open.clone();
            let reports: Vec<ShardLoad> = second.into_iter().map(|(index, bytes, records, throttled, at)| {
                let mut load = load(open[index % open.len()].id.0, bytes, records);
                load.throttled_per_s = throttled;
                load.cuts = vec![millrace_core::load::CutPoint { at: HashKey(at), below_per_mille: (at % 1_001) as u16 }];
                load.heavy = vec![millrace_core::load::HeavyKey { key: HashKey(at), share_per_mille: (at % 999) as u16 }];
                load
            }).collect();
            observe(&mut world, &reports);
            let before = world.map.open.len() as u32;
            let input = Input {
                map: &world.map, history: &world.history, policy: &world.policy, now_ms: world.now_ms,
            };
            let decision = decide(&input);
            let refused = decision.findings.iter().any(|finding| matches!(finding, Finding::Refused { .. }));
            prop_assert!(!refused, "{decision:?}");
            prop_assert!(decision.actions.len() <= 5);
            world.apply(&decision.actions);
            let after = world.map.open.len() as u32;
            prop_assert!(after <= before.max(world.policy.max_shards), "{before} to {after}");
            prop_assert!(after >= before.min(world.policy.min_shards), "{before} to {after}");
            prop_assert!(decision.findings.iter().all(|finding| !finding.to_string().is_empty()));
        }
    }
}

/// A world in which one shard becomes two by load, and these are merged after it; how long that took, in seconds.
fn merged_after_s(world: &mut World) -> u32 {
    world.keys = even(200);
    for _ in 0..4 {
        world.second(1.0);
    }
    assert!(world.map.open.len() > 1);
    world.keys = Vec::new();
    (1..=600).find(|_| !world.second(1.0).actions.is_empty()).expect("merged in the end")
}

#[test]
fn a_merge_waits_longer_where_load_has_come_back_soon_after_one() {
    let mut world = World::new(ShardMap::new(1, 0), policy(), Vec::new());
    let first_s = merged_after_s(&mut world);
    assert!((60..=80).contains(&first_s), "{first_s} s");
    for _ in 0..60 {
        world.second(1.0);
    }
    assert_eq!(world.map.open.len(), 1);
    let second_s = merged_after_s(&mut world);
    assert!(second_s >= first_s + 20, "{second_s} s after {first_s} s");
    // Load that stays away for longer than any wait is let go again, by and by.
    for _ in 0..500 {
        world.second(1.0);
    }
    let third_s = merged_after_s(&mut world);
    assert!(third_s < second_s, "{third_s} s after {second_s} s");
}

#[test]
fn what_is_quiet_stays_so_until_it_says() {
    let mut world = World::new(ShardMap::new(6, 0), policy(), even(200));
    for _ in 0..400 {
        let quiet_until_ms = world.history.quiet_until_ms(world.now_ms, world.policy.merge_after_s);
        let decision = world.second(1.0);
        assert!(world.now_ms >= quiet_until_ms || decision.actions.is_empty(), "{decision:?}");
    }
    assert!(world.map.open.len() < 6);
}
