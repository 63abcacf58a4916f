//! What is promised of any shard, whatever happens.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::run::{Story, Told, run};
use super::*;

/// Records of a few keys, each some time after the one before.
pub(super) fn shard(most: usize, first_pack: u64, first_ms: i64) -> impl Strategy<Value = Vec<EventRecord>> {
    let one = (0_u8..6, 0_i64..4_000, 0_usize..400);
    prop::collection::vec(one, 1..most).prop_map(move |all| {
        let mut arrival_ms = first_ms;
        let record = |(pack, (key, later_ms, bytes)): (u64, (u8, i64, usize))| {
            arrival_ms += later_ms;
            record(pack, &format!("key-{key}"), arrival_ms, &"x".repeat(bytes))
        };
        (first_pack..).zip(all).map(record).collect()
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let numbers = (1_usize..12, prop_oneof![Just(0_i64), Just(700), Just(20_000)], 1_usize..14, 0_u32..4);
    let switches = (any::<bool>(), any::<bool>(), any::<bool>(), 1_200_usize..8_000, 2_000_usize..20_000);
    (numbers, switches).prop_map(|(numbers, switches)| {
        let (batch_size, batching_window_ms, parallelization_factor, retries) = numbers;
        let (bisect, report, ages, payload_bytes, buffer_bytes) = switches;
        Settings {
            batch_size,
            batching_window_ms,
            parallelization_factor,
            maximum_retry_attempts: (!ages).then_some(retries),
            maximum_record_age_ms: ages.then_some(60_000),
            bisect_batch_on_function_error: bisect,
            report_batch_item_failures: report,
            tumbling_window_ms: None,
            payload_bytes,
            buffer_bytes,
        }
    })
}

fn stories() -> impl Strategy<Value = Story> {
    let packs = || prop::collection::btree_set(1_u64..60, 0..12);
    let dice = prop::collection::vec(any::<u8>(), 0..300);
    (settings(), shard(60, 1, 0), packs(), packs(), dice).prop_map(
        |(settings, records, unwanted, poison, dice)| {
            let poison = poison.difference(&unwanted).copied().collect();
            Story { settings, records, unwanted, poison, dice, heir: false }
        },
    )
}

fn wanted(story: &Story) -> BTreeSet<u64> {
    let packs = story.records.iter().map(|record| record.sequence.position.pack);
    packs.filter(|pack| !story.unwanted.contains(pack)).collect()
}

fn all_over(story: &Story, told: &Told) -> bool {
    told.processed.union(&told.given_up).copied().collect::<BTreeSet<_>>() == wanted(story)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Order per key, limits, keys in flight and checkpoints are looked at on the way: see [`run`].
    #[test]
    fn every_record_is_processed_or_given_up_and_poison_is_given_up(story in stories()) {
        let told = run(&story, start(), 0);
        prop_assert!(all_over(&story, &told));
        let poison: BTreeSet<u64> = story.poison.intersection(&wanted(&story)).copied().collect();
        prop_assert!(told.given_up.is_superset(&poison));
        prop_assert!(told.processed.is_disjoint(&poison));
    }

    #[test]
    fn bisecting_gives_up_nothing_but_poison_where_nothing_else_fails(story in stories()) {
        let mut story = Story { dice: Vec::new(), ..story };
        story.settings.bisect_batch_on_function_error = true;
        story.settings.maximum_record_age_ms = None;
        story.settings.maximum_retry_attempts.get_or_insert(1);
        let told = run(&story, start(), 0);
        let poison: BTreeSet<u64> = story.poison.intersection(&wanted(&story)).copied().collect();
        prop_assert_eq!(told.given_up, poison);
        prop_assert!(told.processed.len() + story.poison.len() >= wanted(&story).len());
    }

    #[test]
    fn without_poison_and_limits_nothing_is_given_up(story in stories()) {
        let mut story = Story { poison: BTreeSet::new(), ..story };
        story.settings.maximum_record_age_ms = None;
        story.settings.maximum_retry_attempts = None;
        let told = run(&story, start(), 0);
        prop_assert_eq!(told.processed, wanted(&story));
        prop_assert!(told.given_up.is_empty());
    }
}
