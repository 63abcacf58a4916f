//! Reshards whose brokers crash at every call that they make, and at every two of them: the end is always that
//! of an undisturbed run, and nothing that was acknowledged is lost.

use std::sync::atomic::{AtomicU64, Ordering};

use millrace_core::ShardMap;
use millrace_core::plan::Action;
use millrace_log::memory::Blow;
use millrace_simulation::{Outcome, parallel, reshard_with_blows};

const BLOWS: [Blow; 4] = [Blow::CrashBefore, Blow::CrashAfter, Blow::LoseRequest, Blow::LoseReply];
const CRASHES: [Blow; 2] = [Blow::CrashBefore, Blow::CrashAfter];

type Decide = fn(&ShardMap) -> Vec<Action>;

fn split(map: &ShardMap, index: usize, parts: u32) -> Action {
    let cuts = map.range(index).divide(parts).split_off(1);
    Action::Split { shard: map.open[index].id, cuts }
}

fn merge(map: &ShardMap, index: usize) -> Action {
    Action::Merge { shard: map.open[index].id, adjacent: map.open[index + 1].id }
}

/// Runs the reshards undisturbed and with each choice of blows.
fn exhaust(
    seed: u64,
    shards: u32,
    decide: Decide,
    choices: impl Fn(u64) -> Vec<Vec<(u64, Blow)>>,
) -> Outcome {
    let undisturbed =
        reshard_with_blows(seed, shards, decide, &[]).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(undisturbed.calls >= 4, "a reshard takes more calls than {}", undisturbed.calls);
    let choices = choices(undisturbed.calls);
    let runs = AtomicU64::new(0);
    let wrong = parallel(&choices, |blows| {
        runs.fetch_add(1, Ordering::Relaxed);
        match reshard_with_blows(seed, shards, decide, blows) {
            Ok(outcome) if outcome.agrees(&undisturbed) => None,
            Ok(outcome) => Some(format!("{blows:?} leads to {outcome:?} instead of {undisturbed:?}")),
            Err(failure) => Some(format!("{blows:?}: {failure}")),
        }
    });
    assert!(wrong.is_empty(), "{} of {} runs: {}", wrong.len(), choices.len(), wrong[0]);
    println!("{} runs of {} calls", runs.into_inner(), undisturbed.calls);
    undisturbed
}

fn single(calls: u64) -> Vec<Vec<(u64, Blow)>> {
    (0..=calls).flat_map(|call| BLOWS.map(|blow| vec![(call, blow)])).collect()
}

/// The second call is counted from the decision as well; what comes after the first crash takes more calls than
/// an undisturbed run.
fn pairs(calls: u64) -> Vec<Vec<(u64, Blow)>> {
    let firsts = (0..=calls).flat_map(|call| CRASHES.map(|blow| (call, blow)));
    let both = firsts.flat_map(|first| {
        let seconds = first.0 + 1..=calls + 20;
        seconds.flat_map(move |call| CRASHES.map(|blow| vec![first, (call, blow)]))
    });
    both.collect()
}

/// A seed under which two brokers close the parents.
fn with_two_owners(shards: u32, decide: Decide) -> u64 {
    let two = |seed: &u64| {
        let outcome = reshard_with_blows(*seed, shards, decide, &[]);
        outcome.unwrap_or_else(|failure| panic!("{failure}")).closers.len() == 2
    };
    (1..50).find(two).expect("two brokers share two shards under one of 50 seeds")
}

fn a_split(map: &ShardMap) -> Vec<Action> {
    vec![split(map, 0, 3)]
}

fn a_merge(map: &ShardMap) -> Vec<Action> {
    vec![merge(map, 0)]
}

fn a_split_and_a_merge(map: &ShardMap) -> Vec<Action> {
    vec![split(map, 0, 2), merge(map, 1)]
}

fn two_merges(map: &ShardMap) -> Vec<Action> {
    vec![merge(map, 0), merge(map, 2)]
}

#[test]
fn a_split_survives_a_blow_at_each_call() {
    let outcome = exhaust(1, 1, a_split, single);
    assert_eq!(outcome.open.len(), 3);
}

#[test]
fn a_split_survives_crashes_at_every_two_calls() {
    exhaust(1, 1, a_split, pairs);
}

#[test]
fn a_merge_of_two_owners_shards_survives_a_blow_at_each_call() {
    let outcome = exhaust(with_two_owners(2, a_merge), 2, a_merge, single);
    assert_eq!(outcome.open.len(), 1);
}

#[test]
fn a_merge_of_two_owners_shards_survives_crashes_at_every_two_calls() {
    exhaust(with_two_owners(2, a_merge), 2, a_merge, pairs);
}

#[test]
fn two_reshards_at_once_survive_a_blow_at_each_call() {
    exhaust(with_two_owners(3, a_split_and_a_merge), 3, a_split_and_a_merge, single);
    exhaust(with_two_owners(4, two_merges), 4, two_merges, single);
}

#[test]
fn two_reshards_at_once_survive_crashes_at_every_two_calls() {
    exhaust(with_two_owners(3, a_split_and_a_merge), 3, a_split_and_a_merge, pairs);
}
