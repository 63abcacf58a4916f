//! Tumbling windows.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::promises::shard;
use super::run::{Story, run};
use super::*;

const WINDOW_MS: i64 = 10_000;

fn windows() -> Settings {
    Settings { tumbling_window_ms: Some(WINDOW_MS), ..Settings::default() }
}

/// The one invocation that is asked for: its id, packs, state, and whether it is final and early.
#[track_caller]
fn asked(batcher: &mut ShardBatcher, now_ms: i64) -> (InvocationId, Vec<u64>, String, bool, bool) {
    match &batcher.actions(now_ms)[..] {
        [Action::Invoke { id, batch }] => {
            let window = batch.window.clone().unwrap();
            (*id, packs(batch), window.state.to_string(), window.is_final, window.terminated_early)
        }
        other => panic!("one invocation was expected: {other:?}"),
    }
}

#[track_caller]
fn kept(actions: Vec<Action>) -> Checkpoint {
    match &actions[..] {
        [Action::Keep(checkpoint)] => checkpoint.clone(),
        other => panic!("a checkpoint was expected: {other:?}"),
    }
}

#[test]
fn a_state_goes_through_the_batches_of_a_window_to_its_last_invocation() {
    let mut batcher = batcher(Settings { batch_size: 2, ..windows() });
    let all = vec![
        record(1, "k", 100, ""),
        record(2, "k", 200, ""),
        record(3, "k", 300, ""),
        record(4, "k", 10_000, ""),
    ];
    batcher.arrived(all, Position::at_pack(5), 10_000);
    let (id, packs, state, is_final, _) = asked(&mut batcher, 10_000);
    assert_eq!((packs, &state[..], is_final), (vec![1, 2], "{}", false));
    let checkpoint = kept(batcher.invoked(id, answered(r#"{"state": {"n": 2}}"#), 10_000));
    let open = OpenWindow { start_ms: 0, state: r#"{"n": 2}"#.into() };
    assert_eq!(checkpoint, Checkpoint { position: Position::at_pack(3), window: Some(open), ended: false });
    let (id, packs, state, is_final, _) = asked(&mut batcher, 10_000);
    assert_eq!((packs, &state[..], is_final), (vec![3], r#"{"n": 2}"#, false));
    batcher.invoked(id, answered(r#"{"state": {"n": 3}}"#), 10_000);
    let (id, packs, state, is_final, early) = asked(&mut batcher, 10_000);
    assert_eq!((packs, &state[..], is_final, early), (vec![], r#"{"n": 3}"#, true, false));
    assert_eq!(kept(batcher.invoked(id, answered(""), 10_000)).window, None);
    let (_, packs, state, ..) = asked(&mut batcher, 10_000);
    assert_eq!((packs, &state[..]), (vec![4], "{}"));
}

#[test]
fn a_window_ends_by_time_once_all_before_was_read() {
    let mut batcher = batcher(windows());
    batcher.arrived(vec![record(1, "k", 5_000, "")], Position::at_pack(2), 5_000);
    let (id, ..) = asked(&mut batcher, 5_000);
    batcher.invoked(id, answered(r#"{"state": {}}"#), 5_000);
    assert!(batcher.actions(60_000).is_empty());
    batcher.read_until(10_999);
    assert!(batcher.actions(60_000).is_empty());
    batcher.read_until(11_000);
    let (_, _, _, is_final, early) = asked(&mut batcher, 60_000);
    assert_eq!((is_final, early), (true, false));
}

#[test]
fn a_last_invocation_that_fails_is_made_again_before_anything_else() {
    let mut batcher = batcher(Settings { maximum_retry_attempts: Some(0), ..windows() });
    batcher.arrived(vec![record(1, "k", 0, ""), record(2, "k", 10_000, "")], Position::at_pack(3), 10_000);
    let (id, ..) = asked(&mut batcher, 10_000);
    batcher.invoked(id, answered(r#"{"state": {"n": 1}}"#), 10_000);
    for now_ms in [10_000, 20_000, 30_000, 40_000] {
        let (id, _, state, is_final, _) = asked(&mut batcher, now_ms);
        assert_eq!((&state[..], is_final), (r#"{"n": 1}"#, true));
        assert!(batcher.invoked(id, failed(), now_ms).is_empty());
    }
}

#[test]
fn an_answer_without_a_state_is_a_failure() {
    let mut batcher = batcher(windows());
    batcher.arrived(records(1), Position::at_pack(2), 0);
    for (now_ms, payload) in
        [(0, ""), (10_000, "{}"), (20_000, r#"{"state": 5}"#), (30_000, r#"{"state": null}"#)]
    {
        let (id, packs, state, ..) = asked(&mut batcher, now_ms);
        assert_eq!((packs, &state[..]), (vec![1], "{}"));
        assert!(batcher.invoked(id, answered(payload), now_ms).is_empty());
    }
}

#[test]
fn a_state_that_is_too_large_ends_its_window_early_and_the_window_goes_on_with_a_fresh_one() {
    let mut batcher = batcher(Settings { batch_size: 1, ..windows() });
    batcher.arrived(records(2), Position::at_pack(3), 0);
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(MAX_STATE_BYTES));
    let (id, ..) = asked(&mut batcher, 0);
    // Nothing is kept of it: after a crash the batch comes again.
    assert!(batcher.invoked(id, answered(&format!(r#"{{"state":{large}}}"#)), 0).is_empty());
    let (id, packs, state, is_final, early) = asked(&mut batcher, 0);
    assert_eq!((packs, is_final, early), (vec![], true, true));
    assert!(state == large);
    let after = kept(batcher.invoked(id, answered(""), 0));
    assert_eq!((after.position, after.window), (Position::at_pack(2), None));
    let (_, packs, state, ..) = asked(&mut batcher, 0);
    assert_eq!((packs, &state[..]), (vec![2], "{}"));
}

#[test]
fn at_a_shards_end_its_window_goes_to_its_heir_or_ends_early() {
    let ended = |heir: bool| {
        let mut batcher = batcher(windows());
        batcher.arrived(records(1), Position::at_pack(2), 0);
        batcher.ended(heir);
        let (id, ..) = asked(&mut batcher, 0);
        let after = batcher.invoked(id, answered(r#"{"state":{"n":1}}"#), 0);
        (batcher, kept(after))
    };
    let (_, last) = ended(true);
    let open = Some(OpenWindow { start_ms: 0, state: r#"{"n":1}"#.into() });
    assert_eq!((last.ended, last.window.clone()), (true, open));
    // The heir goes on with it, and ends it in its time.
    let mut heir = ShardBatcher::new(windows(), writer(), Checkpoint { window: last.window, ..start() });
    heir.arrived(vec![record(1, "k", 10_000, "")], Position::at_pack(2), 10_000);
    let (_, _, state, is_final, early) = asked(&mut heir, 10_000);
    assert_eq!((&state[..], is_final, early), (r#"{"n":1}"#, true, false));

    let (mut batcher, last) = ended(false);
    assert!(!last.ended);
    let (id, _, state, is_final, early) = asked(&mut batcher, 5_000);
    assert_eq!((&state[..], is_final, early), (r#"{"n":1}"#, true, true));
    assert!(kept(batcher.invoked(id, answered(""), 5_000)).ended);
}

/// Generations of shards: each generation splits or merges the shards of the one before.
#[derive(Clone, Debug)]
struct Lineage {
    /// For each generation and each of its shards the records and dice.
    shards: Vec<Vec<(Vec<EventRecord>, Vec<u8>)>>,
    bisect: bool,
    report: bool,
}

fn lineages() -> impl Strategy<Value = Lineage> {
    let one = (shard(30, 1, 0), prop::collection::vec(any::<u8>(), 0..120));
    let generation = prop::collection::vec(one, 1..4);
    (prop::collection::vec(generation, 1..5), any::<bool>(), any::<bool>())
        .prop_map(|(shards, bisect, report)| Lineage { shards, bisect, report })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn windows_across_splits_and_merges_count_what_an_offline_aggregate_counts(lineage in lineages()) {
        let settings = Settings {
            batch_size: 5,
            bisect_batch_on_function_error: lineage.bisect,
            report_batch_item_failures: lineage.report,
            ..windows()
        };
        let mut counted: BTreeMap<i64, u64> = BTreeMap::new();
        let mut expected: BTreeMap<i64, u64> = BTreeMap::new();
        let mut inherited: Vec<Option<OpenWindow>> = Vec::new();
        let mut now_ms = 0;
        for (generation, shards) in lineage.shards.iter().enumerate() {
            let children = lineage.shards.get(generation + 1).map_or(0, Vec::len);
            let (mut next, mut latest_ms) = (vec![None; children], now_ms);
            for (index, (records, dice)) in shards.iter().enumerate() {
                let mut records = records.clone();
                for record in &mut records {
                    record.record.arrival_ms += now_ms;
                    latest_ms = latest_ms.max(record.record.arrival_ms);
                    *expected.entry(record.record.arrival_ms.div_euclid(WINDOW_MS) * WINDOW_MS).or_default() += 1;
                }
                // A child is the heir of one parent at most.
                let heir = index < children;
                let story = Story {
                    settings: settings.clone(),
                    records,
                    unwanted: BTreeSet::new(),
                    poison: BTreeSet::new(),
                    dice: dice.clone(),
                    heir,
                };
                let window = inherited.get(index).cloned().flatten();
                let told = run(&story, Checkpoint { window, ..start() }, now_ms);
                for (window, count) in told.totals {
                    *counted.entry(window).or_default() += count;
                }
                if heir {
                    next[index] = told.last.unwrap().window;
                }
            }
            now_ms = latest_ms;
            inherited = next;
        }
        counted.retain(|_, count| *count > 0);
        prop_assert_eq!(counted, expected);
    }
}
