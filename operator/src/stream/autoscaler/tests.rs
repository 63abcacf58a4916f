use super::*;
use millrace_autoscaler::Finding as Decided;
use millrace_core::{HashKey, ShardId};
use proptest::prelude::*;

/// When the tests' story begins, in Unix seconds.
const BEGAN: i64 = 1_700_000_000;

fn at(second: i64) -> Time {
    time((BEGAN + second) * 1_000)
}

fn ms(second: i64) -> i64 {
    (BEGAN + second) * 1_000
}

fn outlook(standing: Standing, since: i64, busiest_percent: u32) -> Outlook {
    Outlook { busiest_per_mille: Some(busiest_percent * 10), ..Outlook::of(standing, ms(since)) }
}

fn steady(since: i64, busiest_percent: u32) -> Outlook {
    let standing = Standing::Steady {
        busiest_per_mille: busiest_percent * 10,
        shards: 4,
        split_after_s: 2,
        merge_below_per_mille: 700,
    };
    outlook(standing, since, busiest_percent)
}

fn cooling(since: i64, merge: i64) -> Outlook {
    let standing = Standing::CoolingDown {
        shard: ShardId(1),
        adjacent: ShardId(2),
        merge_ms: ms(merge),
        wait_s: 300,
        shortest_s: 300,
        below_per_mille: 700,
    };
    outlook(standing, since, 20)
}

fn at_max(since: i64) -> Outlook {
    outlook(Standing::AtMax { busiest_per_mille: 1_500, max_shards: 4 }, since, 150)
}

fn resharding(since: i64, reshards: u32) -> Outlook {
    outlook(Standing::Resharding { reshards }, since, 150)
}

fn hot(since: i64, keys: &[(u128, u32)]) -> Outlook {
    let hot_keys: Vec<HotKey> = keys
        .iter()
        .map(|(key, percent)| HotKey {
            key: HashKey(*key),
            shard: ShardId(3),
            per_mille: percent * 10,
            seen_ms: ms(since),
        })
        .collect();
    Outlook { hot_keys: hot_keys.clone(), ..outlook(Standing::HotKey { key: hot_keys[0] }, since, 200) }
}

/// What a status says after all of this was seen, each at its second.
fn said(seen: &[(i64, Outlook)]) -> AutoscalerStatus {
    let said = seen
        .iter()
        .fold(None, |before, (second, outlook)| status(before.as_ref(), Some(outlook), &[], &at(*second)));
    said.expect("something was seen")
}

fn told(second: i64, finding: Decided, applies: bool) -> Told {
    Told { at_ms: ms(second) + 250, namespace: "shop".into(), name: "orders".into(), finding, applies }
}

fn merge(shard: u64) -> Decided {
    let [shard, adjacent] = [ShardId(shard), ShardId(shard + 1)];
    Decided::Merge { shard, adjacent, peak_per_mille: 100, below_per_mille: 700, for_s: 300 }
}

fn out_of_bounds() -> Decided {
    Decided::OutOfBounds { shards: 4, min_shards: 1, max_shards: 2, reshards: 0 }
}

fn listed(before: Option<&AutoscalerStatus>, all: &[Told]) -> AutoscalerStatus {
    status(before, Some(&steady(0, 40)), all, &at(0)).expect("something was seen")
}

#[test]
fn what_was_never_said_is_said_at_once() {
    let said = said(&[(5, cooling(0, 300))]);
    assert_eq!((said.standing.as_str(), &said.since, &said.observed_at), ("CoolingDown", &at(0), &at(5)));
    assert_eq!((said.merge_at, said.busiest_percent), (Some(at(300)), Some(20)));
    assert!(said.message.contains(" together carry less than 70 % of one target: they are merged at "));
}

#[test]
fn an_operator_that_has_just_begun_leaves_what_was_said() {
    assert_eq!(status(None, None, &[], &at(0)), None);
    let before = said(&[(5, cooling(0, 300))]);
    assert_eq!(status(Some(&before), None, &[], &at(900)), Some(before));
}

#[test]
fn load_that_changes_by_little_is_not_written_however_long_that_lasts() {
    let first = said(&[(0, steady(0, 40))]);
    for (second, busiest) in [(1, 45), (70, 50), (500, 30), (9_000, 35)] {
        assert_eq!(status(Some(&first), Some(&steady(0, busiest)), &[], &at(second)), Some(first.clone()));
    }
}

#[test]
fn load_that_changes_by_much_is_written_once_in_a_minute() {
    let first = said(&[(0, steady(0, 40))]);
    assert_eq!(status(Some(&first), Some(&steady(0, 80)), &[], &at(59)), Some(first.clone()));
    let next = status(Some(&first), Some(&steady(0, 80)), &[], &at(60)).expect("it was seen");
    assert_eq!((next.busiest_percent, &next.observed_at, &next.since), (Some(80), &at(60), &at(0)));
    assert!(next.message.starts_with("No shard carried more than 80 % of its target"), "{}", next.message);
    assert_eq!(worth(Some(&first), &steady(0, 80), &at(60)), Worth::Figures, "it may wait for others");
}

#[test]
fn a_merge_that_is_put_off_is_told_anew_and_one_that_trembles_is_not() {
    let first = said(&[(0, cooling(0, 300))]);
    assert_eq!(worth(Some(&first), &cooling(0, 305), &at(100)), Worth::Nothing);
    assert_eq!(worth(Some(&first), &cooling(0, 306), &at(100)), Worth::Figures);
    assert_eq!(worth(Some(&first), &cooling(0, 306), &at(59)), Worth::Nothing);
}

#[test]
fn one_calm_standing_follows_another_only_once_it_has_lasted() {
    let first = said(&[(0, steady(0, 40))]);
    assert_eq!(worth(Some(&first), &cooling(91, 300), &at(100)), Worth::Nothing);
    assert_eq!(worth(Some(&first), &cooling(90, 300), &at(100)), Worth::Figures);
    assert_eq!(worth(Some(&first), &cooling(10, 300), &at(59)), Worth::Nothing);
}

#[test]
fn reshards_and_limits_are_told_at_once() {
    let first = said(&[(0, steady(0, 40))]);
    for seen in [resharding(1, 3), at_max(1), outlook(Standing::Off, 1, 0)] {
        assert_eq!(worth(Some(&first), &seen, &at(1)), Worth::Write, "{seen:?}");
    }
    let resharding_3 = said(&[(0, steady(0, 40)), (1, resharding(1, 3))]);
    assert_eq!(worth(Some(&resharding_3), &resharding(1, 3), &at(900)), Worth::Nothing);
    assert_eq!(worth(Some(&resharding_3), &resharding(1, 2), &at(2)), Worth::Write);
    assert_eq!(worth(Some(&resharding_3), &steady(3, 40), &at(3)), Worth::Write);
}

#[test]
fn a_limit_is_over_when_it_has_been_for_a_minute() {
    let first = said(&[(0, at_max(0))]);
    assert_eq!(worth(Some(&first), &steady(100, 90), &at(159)), Worth::Nothing);
    assert_eq!(worth(Some(&first), &steady(100, 90), &at(160)), Worth::Write);
}

#[test]
fn a_moment_without_reports_is_not_told() {
    let first = said(&[(0, steady(0, 40))]);
    assert_eq!(worth(Some(&first), &Outlook::of(Standing::Unheard, ms(5)), &at(9)), Worth::Nothing);
    assert_eq!(worth(Some(&first), &Outlook::of(Standing::Unheard, ms(5)), &at(15)), Worth::Write);
}

#[test]
fn a_hot_key_is_in_the_condition_from_the_second_it_is_seen_until_it_is_gone() {
    let first = said(&[(0, steady(0, 40))]);
    assert_eq!(hot_key(&first), None);
    let found = said(&[(0, steady(0, 40)), (1, hot(1, &[(77, 200)]))]);
    let condition = hot_key(&found).expect("a key is hot");
    assert!(condition.status);
    assert_eq!(
        condition.message,
        "Hash key 77 alone brings 200 % of a shard's target, in shardId-000000000003: no split divides a key. Spread its \
         records over several partition keys, or raise capacity.targetPerShard."
    );
    // It fell below the target, and is told of for as long as the outlook has it.
    let lingering = Outlook { hot_keys: hot(1, &[(77, 200)]).hot_keys, ..steady(30, 90) };
    assert_eq!(worth(Some(&found), &lingering, &at(60)), Worth::Nothing);
    let gone = status(Some(&found), Some(&steady(30, 90)), &[], &at(61)).expect("it was seen");
    assert_eq!((hot_key(&gone), gone.standing.as_str()), (None, "Steady"));
}

#[test]
fn further_hot_keys_are_named_and_which_is_the_heaviest_does_not_matter() {
    let found = said(&[(0, hot(0, &[(1, 300), (2, 250)]))]);
    assert!(hot_key(&found).expect("keys are hot").message.ends_with(" So does hash key 2."));
    assert_eq!(worth(Some(&found), &hot(0, &[(2, 310), (1, 290)]), &at(90)), Worth::Nothing);
    assert_eq!(worth(Some(&found), &hot(0, &[(2, 600), (1, 290)]), &at(90)), Worth::Figures);
    assert_eq!(worth(Some(&found), &hot(0, &[(1, 300)]), &at(1)), Worth::Write);
}

#[test]
fn decisions_are_listed_with_the_newest_first_and_advice_by_another_word() {
    let first = listed(None, &[told(1, merge(1), true), told(2, merge(3), false)]);
    let reasons: Vec<(&str, bool, &Time)> =
        first.decisions.iter().map(|each| (each.reason.as_str(), each.applied, &each.time)).collect();
    assert_eq!(reasons, [("RecommendedMerge", false, &at(2)), ("Merge", true, &at(1))]);
    assert!(first.decisions[0].message.ends_with("(advice: nothing is done)"));
}

#[test]
fn what_changes_nothing_is_listed_once_an_hour() {
    let all: Vec<Told> = (0..20).map(|n| told(n * 300, out_of_bounds(), true)).collect();
    let times: Vec<Time> = listed(None, &all).decisions.into_iter().map(|each| each.time).collect();
    assert_eq!(times, [at(3_600), at(0)]);
}

#[test]
fn an_operator_that_begins_anew_adds_to_what_was_listed() {
    let first = listed(None, &[told(1, merge(1), true)]);
    let second = listed(Some(&first), &[told(9, merge(5), true)]);
    assert_eq!(second.decisions.iter().map(|each| &each.time).collect::<Vec<_>>(), [&at(9), &at(1)]);
}

#[test]
fn a_long_message_is_cut_to_what_the_definition_allows() {
    let text = bounded("ä".repeat(2_000));
    assert_eq!((text.chars().count(), text.ends_with("ä …")), (MAX_MESSAGE, true));
}

proptest! {
    #[test]
    fn a_list_holds_ten_at_most_and_says_the_same_when_nothing_was_decided(
        seconds in prop::collection::vec((0i64..40, 0u64..5, 0u8..3), 0..60), cut in 0usize..60,
    ) {
        let mut all: Vec<Told> = seconds
            .into_iter()
            .map(|(second, shard, kind)| match kind {
                0 => told(second, merge(shard), true),
                1 => told(second, merge(shard), false),
                _ => told(second, out_of_bounds(), true),
            })
            .collect();
        all.sort_by_key(|told| told.at_ms);
        let first = listed(None, &all[..cut.min(all.len())]);
        prop_assert!(first.decisions.len() <= MAX_DECISIONS);
        prop_assert_eq!(&listed(Some(&first), &all[..cut.min(all.len())]), &first);
        let second = listed(Some(&first), &all);
        prop_assert_eq!(&listed(Some(&second), &all), &second);
        prop_assert!(second.decisions.is_sorted_by(|a, b| a.time >= b.time));
    }

    #[test]
    fn noise_about_a_load_is_written_no_more_than_once(
        load in 10u32..90, noise in prop::collection::vec(-9i32..10, 1..400),
    ) {
        let mut before = said(&[(0, steady(0, load))]);
        for (second, noise) in noise.into_iter().enumerate() {
            let seen = steady(0, load.saturating_add_signed(noise));
            let after = status(Some(&before), Some(&seen), &[], &at(second as i64)).expect("it was seen");
            prop_assert_eq!(&after, &before);
            before = after;
        }
    }
}
