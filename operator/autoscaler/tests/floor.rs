//! What has to hold of floors: shards are there when a window begins, stay while it is on, and go after it.

mod simulated;

use millrace_autoscaler::{Finding, FloorNow, LEAD_MS, Policy};
use millrace_core::floor::{Days, FloorWindow};
use millrace_core::{CapacityMode, Floor, HashKey, HashRange, ShardMap};
use proptest::prelude::*;
use simulated::{World, policy};

/// A world begins on the 14th of November 2023, a Tuesday, at 22:13:20.
const MIDNIGHT_MS: i64 = 1_700_000_000_000 - (22 * 3_600 + 13 * 60 + 20) * 1_000;

fn at_ms(time: &str) -> i64 {
    let (hours, minutes) = time.split_once(':').expect("a time");
    let number = |text: &str| text.parse::<i64>().expect("a number");
    MIDNIGHT_MS + (number(hours) * 60 + number(minutes)) * 60_000
}

fn window(start: &str, end: &str, shards: u32) -> FloorWindow {
    FloorWindow {
        start: start.parse().expect("a time"),
        end: end.parse().expect("a time"),
        days: Days::EVERY,
        time_zone: "UTC".to_owned(),
        shards,
    }
}

fn world(shards: u32, policy: Policy, windows: impl IntoIterator<Item = FloorWindow>) -> World {
    let mut world = World::new(ShardMap::new(shards, 0), policy, Vec::new());
    world.floor = Floor(windows.into_iter().collect());
    world
}

/// Goes on to this time, and hands back how many shards there were in each second.
fn until(world: &mut World, time: &str) -> Vec<usize> {
    let mut counts = Vec::new();
    while world.now_ms < at_ms(time) {
        world.second(1.0);
        counts.push(world.map.open.len());
    }
    counts
}

#[test]
fn shards_are_there_when_a_window_begins_stay_while_it_is_on_and_go_after_it() {
    let policy = Policy { min_shards: 2, ..policy() };
    let mut world = world(2, policy, [window("22:20", "22:40", 20)]);
    until(&mut world, "22:18");
    while world.now_ms < at_ms("22:20") - LEAD_MS - 1_000 {
        world.second(1.0);
    }
    assert_eq!(world.map.open.len(), 2);
    let decision = world.second(1.0);
    assert_eq!(decision.actions.len(), 2);
    assert_eq!(
        decision.findings[0].to_string(),
        "the stream has 2 shards, where the window 22:20-22:40 UTC of its floor asks for 20 until 2023-11-14 22:40: \
         2 splits"
    );
    assert!(until(&mut world, "22:39").iter().all(|count| *count == 20));
    while world.now_ms < at_ms("22:40") - 1_000 {
        assert_eq!(world.second(1.0).actions, []);
    }
    until(&mut world, "22:41");
    assert_eq!(world.map.open.len(), 2);
}

#[test]
fn neighbours_are_not_merged_shortly_before_a_window_that_would_split_them_again() {
    let counts = |windows: &[FloorWindow]| {
        let mut world = world(20, policy(), windows.to_vec());
        until(&mut world, "22:16")
    };
    assert_eq!(counts(&[]).last(), Some(&1));
    // In tests a merge waits for 20 s, and for no more than twelve times as long.
    assert_eq!(counts(&[window("22:17", "23:00", 12)]).iter().min(), Some(&12));
    assert_eq!(counts(&[window("22:21", "23:00", 12)]).last(), Some(&1));
}

#[test]
fn of_windows_that_overlap_the_one_that_asks_for_the_most_counts() {
    let windows = [window("20:00", "22:30", 5), window("22:00", "22:20", 9), window("22:24", "23:00", 7)];
    let mut world = world(1, policy(), windows);
    let told = world.second(1.0).findings;
    assert!(matches!(&told[..], [Finding::Floor { least: 9, until_ms, .. }] if *until_ms == at_ms("22:20")));
    assert_eq!(until(&mut world, "22:20").pop(), Some(7), "a merge to 5 would be undone by the third window");
    assert_eq!(until(&mut world, "22:29").pop(), Some(7));
    assert_eq!(until(&mut world, "22:59").iter().min(), Some(&7));
}

#[test]
fn a_floor_keeps_to_the_most_shards_and_provisioned_streams_have_none() {
    let windows = [window("22:00", "23:00", 50)];
    let most = Policy { max_shards: 30, ..policy() };
    let mut bounded = world(1, most, windows.clone());
    let told = bounded.second(1.0).findings;
    assert!(matches!(&told[..], [Finding::Floor { least: 30, reshards: 1, .. }]), "{told:?}");
    assert_eq!(until(&mut bounded, "22:15").last(), Some(&30));
    assert_eq!(bounded.second(1.0).findings, []);
    let mut provisioned = world(3, Policy { mode: CapacityMode::Provisioned, ..policy() }, windows);
    assert_eq!(until(&mut provisioned, "22:15").last(), Some(&3));
}

#[test]
fn shards_are_cut_where_their_load_lies_and_idle_ones_in_the_middle() {
    let mut world = world(2, policy(), [window("22:00", "23:00", 8)]);
    // Nine tenths of a shard's target, in the first quarter of the first one's range.
    let step = u128::MAX / 8 / 115;
    world.keys = (0..115).map(|n| (HashKey(n * step), 1)).collect();
    for _ in 0..3 {
        world.second(1.0);
    }
    assert_eq!(world.map.open.len(), 8);
    let heaviest = world.shard_loads().into_iter().map(|(_, load, _)| load).max();
    assert!(heaviest < Some(250), "{heaviest:?}");
    let last = world.map.open.iter().map(|shard| shard.start).max();
    assert_eq!(last, Some(HashRange::FULL.divide(4)[3]), "{:?}", world.map.open);
}

#[test]
fn the_lead_is_long_enough_for_as_many_shards_as_a_stream_may_have() {
    let policy = Policy { max_shards: 8_000, ..policy() };
    let mut world = world(1, policy, [window("22:00", "23:00", 8_000)]);
    let rounds = (1..).find(|_| {
        world.second(1.0);
        world.map.open.len() == 8_000
    });
    // From a decision to open children it takes a second, or two (docs/autoscaler.md).
    assert_eq!(rounds, Some(18));
    const { assert!(18 * 2_000 < LEAD_MS) };
}

#[test]
fn what_a_floor_asks_for_stays_until_it_says() {
    let floor = Floor(vec![window("22:20", "22:40", 20), window("22:30", "22:50", 10)]);
    let now = |time: &str| FloorNow::at(&floor, at_ms(time), 20);
    for (from, to) in [("22:13", "22:16"), ("22:16", "22:19"), ("22:19", "22:26"), ("22:26", "22:29")] {
        assert_eq!(now(from).until_ms, at_ms(to), "{from}");
    }
    assert_eq!((now("22:15").keep, now("22:16").keep, now("22:18").asks), (0, 20, None));
    let told = |time: &str| now(time).asks.map(|asks| (asks.window.shards, asks.until_ms));
    assert_eq!(told("22:19"), Some((20, at_ms("22:40"))));
    assert_eq!(told("22:39"), Some((20, at_ms("22:40"))));
    assert_eq!(told("22:40"), Some((10, at_ms("22:50"))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_floor_holds_whatever_the_load_and_the_shards_before(
        shards in 1u32..30, floor in 1u32..60, max_shards in 30u32..50,
        keys in prop::collection::vec((any::<u128>(), 1u32..200), 0..40)
    ) {
        let mut world = world(shards, Policy { max_shards, ..policy() }, [window("22:15", "22:17", floor)]);
        world.keys = keys.into_iter().map(|(key, count)| (HashKey(key), count)).collect();
        until(&mut world, "22:15");
        let least = floor.min(max_shards) as usize;
        prop_assert!(world.map.open.len() >= least, "{} of {least}", world.map.open.len());
        world.keys.clear();
        while world.now_ms < at_ms("22:17") - 1_000 {
            world.second(1.0);
            prop_assert!((least..=max_shards as usize).contains(&world.map.open.len()));
        }
    }
}
