//! One thing at a time.

use super::*;
use crate::event::StreamCondition;

/// The one invocation that is asked for.
#[track_caller]
fn invocation(actions: &[Action]) -> (InvocationId, Batch) {
    match actions {
        [Action::Invoke { id, batch }] => (*id, batch.clone()),
        other => panic!("one invocation was expected: {other:?}"),
    }
}

/// Invokes with what there is, which has to be `expected`, and tells the outcome.
#[track_caller]
fn round(batcher: &mut ShardBatcher, now_ms: i64, expected: &[u64], outcome: Outcome) -> Vec<Action> {
    let (id, batch) = invocation(&batcher.actions(now_ms));
    assert_eq!(packs(&batch), expected);
    batcher.invoked(id, outcome, now_ms)
}

#[track_caller]
fn kept(actions: &[Action]) -> Position {
    match actions {
        [.., Action::Keep(checkpoint)] => checkpoint.position,
        other => panic!("a checkpoint was expected: {other:?}"),
    }
}

fn failures(packs: &[u64]) -> Outcome {
    let items: Vec<String> =
        packs.iter().map(|pack| format!(r#"{{"itemIdentifier":"{}"}}"#, sequence(*pack))).collect();
    answered(&format!(r#"{{"batchItemFailures":[{}]}}"#, items.join(",")))
}

#[test]
fn batches_have_a_size_and_come_one_after_the_other() {
    let mut batcher = batcher(Settings { batch_size: 3, ..Settings::default() });
    batcher.arrived(records(4), Position::at_pack(5), 0);
    let (id, batch) = invocation(&batcher.actions(0));
    assert_eq!(packs(&batch), [1, 2, 3]);
    assert!(batcher.actions(0).is_empty());
    assert_eq!(kept(&batcher.invoked(id, answered(""), 0)), Position::at_pack(4));
    assert_eq!(kept(&round(&mut batcher, 0, &[4], answered("null"))), Position::at_pack(5));
}

#[test]
fn a_batch_waits_for_its_window_or_until_it_is_full() {
    let settings = Settings { batch_size: 3, batching_window_ms: 500, ..Settings::default() };
    let mut batcher = batcher(settings);
    batcher.arrived(records(1), Position::at_pack(2), 1_000);
    assert!(batcher.actions(1_499).is_empty());
    assert_eq!(batcher.wake_ms(), Some(1_500));
    let more = (2..=4).map(|pack| record(pack, "k", 0, "data")).collect();
    batcher.arrived(more, Position::at_pack(5), 1_400);
    round(&mut batcher, 1_400, &[1, 2, 3], answered(""));
    assert_eq!(batcher.wake_ms(), Some(1_900));
    round(&mut batcher, 1_900, &[4], answered(""));
    assert_eq!(batcher.wake_ms(), None);
}

#[test]
fn the_end_of_a_shard_is_not_waited_for() {
    let mut batcher = batcher(Settings { batching_window_ms: 300_000, ..Settings::default() });
    batcher.arrived(records(1), Position::at_pack(2), 0);
    batcher.ended(false);
    let last = round(&mut batcher, 0, &[1], answered(""));
    let ended = Checkpoint { position: Position::at_pack(2), window: None, ended: true };
    assert!(matches!(&last[..], [Action::Keep(checkpoint)] if *checkpoint == ended));
    assert!(batcher.is_finished());
}

#[test]
fn a_batch_is_as_large_as_an_event_may_be_and_a_larger_record_comes_alone() {
    let writer = writer();
    let large = |pack: u64, bytes: usize| record(pack, "k", 0, &"x".repeat(bytes));
    let all = vec![large(1, 1_000), large(2, 1_000), large(3, 9_000), large(4, 10)];
    let payload_bytes =
        writer.envelope_bytes(2) + all[..2].iter().map(|r| writer.record_bytes(r)).sum::<usize>();
    let mut batcher = batcher(Settings { payload_bytes, ..Settings::default() });
    batcher.arrived(all, Position::at_pack(5), 0);
    let (id, batch) = invocation(&batcher.actions(0));
    assert_eq!(packs(&batch), [1, 2]);
    assert!(batch.event(&writer).len() <= payload_bytes);
    batcher.invoked(id, answered(""), 0);
    round(&mut batcher, 0, &[3], answered(""));
    round(&mut batcher, 0, &[4], answered(""));
}

#[test]
fn what_no_filter_wants_is_done_once_what_came_before_it_is() {
    let mut batcher = batcher(Settings::default());
    batcher.arrived(vec![], Position::at_pack(7), 0);
    assert_eq!(kept(&batcher.actions(0)), Position::at_pack(7));
    batcher.arrived(vec![record(9, "k", 0, "")], Position::at_pack(20), 0);
    let (id, _) = match &batcher.actions(0)[..] {
        [Action::Invoke { id, batch }, Action::Keep(checkpoint)] => {
            assert_eq!(checkpoint.position, Position::at_pack(9));
            (*id, batch.clone())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(kept(&batcher.invoked(id, answered(""), 0)), Position::at_pack(20));
}

#[test]
fn a_failed_batch_is_tried_again_ever_later() {
    let mut batcher = batcher(Settings::default());
    batcher.arrived(records(2), Position::at_pack(3), 0);
    let mut now_ms = 0;
    for pause_ms in [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000] {
        round(&mut batcher, now_ms, &[1, 2], failed());
        assert!(batcher.actions(now_ms + pause_ms - 1).is_empty());
        assert_eq!(batcher.wake_ms(), Some(now_ms + pause_ms));
        now_ms += pause_ms;
    }
    assert_eq!(kept(&round(&mut batcher, now_ms, &[1, 2], answered(""))), Position::at_pack(3));
}

#[test]
fn what_failed_too_often_goes_to_the_failure_destination_and_is_done_when_it_is_there() {
    let mut batcher =
        batcher(Settings { maximum_retry_attempts: Some(1), batch_size: 2, ..Settings::default() });
    batcher.arrived(records(3), Position::at_pack(4), 0);
    round(&mut batcher, 0, &[1, 2], failed());
    let actions = round(&mut batcher, 100, &[1, 2], failed());
    let [Action::GiveUp { id, batch, condition, invoke_count, last }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(
        (packs(batch), *condition, *invoke_count),
        (vec![1, 2], StreamCondition::RetryAttemptsExhausted, 2)
    );
    assert_eq!(*last, Some(Attempt { request_id: "r".into(), function_failed: true }));
    // What came later waits for it.
    assert!(batcher.actions(100_000).is_empty());
    assert_eq!(kept(&batcher.given_up(*id)), Position::at_pack(3));
    round(&mut batcher, 100_000, &[3], answered(""));
}

#[test]
fn what_could_not_be_invoked_is_no_attempt() {
    let mut batcher = batcher(Settings { maximum_retry_attempts: Some(0), ..Settings::default() });
    batcher.arrived(records(1), Position::at_pack(2), 0);
    round(&mut batcher, 0, &[1], Outcome::NotInvoked);
    round(&mut batcher, 100, &[1], Outcome::NotInvoked);
    let actions = round(&mut batcher, 300, &[1], failed());
    assert!(matches!(&actions[..], [Action::GiveUp { invoke_count: 1, .. }]), "{actions:?}");
}

#[test]
fn records_that_are_too_old_are_given_up_and_younger_ones_are_not() {
    let mut batcher = batcher(Settings { maximum_record_age_ms: Some(60_000), ..Settings::default() });
    let all = vec![record(1, "k", 0, ""), record(2, "k", 1_000, ""), record(3, "k", 50_000, "")];
    batcher.arrived(all, Position::at_pack(4), 61_000);
    let actions = batcher.actions(61_000);
    let [Action::GiveUp { id, batch, condition, invoke_count: 0, last: None }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((packs(batch), *condition), (vec![1], StreamCondition::RecordAgeExceeded));
    batcher.given_up(*id);
    // They age while the function fails, too.
    round(&mut batcher, 61_000, &[2, 3], failed());
    let actions = batcher.actions(61_100);
    let [Action::GiveUp { id, batch, invoke_count: 1, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(packs(batch), [2]);
    batcher.given_up(*id);
    round(&mut batcher, 61_100, &[3], answered(""));
}

#[test]
fn a_failing_batch_is_cut_until_the_poison_stands_alone() {
    let settings = Settings {
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: Some(1),
        ..Settings::default()
    };
    let mut batcher = batcher(settings);
    batcher.arrived(records(4), Position::at_pack(5), 0);
    round(&mut batcher, 0, &[1, 2, 3, 4], failed());
    round(&mut batcher, 10_000, &[1, 2], answered(""));
    round(&mut batcher, 20_000, &[3, 4], failed());
    round(&mut batcher, 30_000, &[3], failed());
    let actions = round(&mut batcher, 40_000, &[3], failed());
    let [Action::GiveUp { id, batch, invoke_count, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((packs(batch), *invoke_count), (vec![3], 4));
    assert_eq!(kept(&batcher.given_up(*id)), Position::at_pack(4));
    round(&mut batcher, 50_000, &[4], answered(""));
}

#[test]
fn records_before_the_lowest_that_failed_are_done() {
    let settings =
        Settings { report_batch_item_failures: true, maximum_retry_attempts: Some(1), ..Settings::default() };
    let mut batcher = batcher(settings);
    batcher.arrived(records(4), Position::at_pack(5), 0);
    assert_eq!(kept(&round(&mut batcher, 0, &[1, 2, 3, 4], failures(&[4, 2]))), Position::at_pack(2));
    assert_eq!(kept(&round(&mut batcher, 100, &[2, 3, 4], failures(&[3]))), Position::at_pack(3));
    // Without bisecting the rest goes as a whole, once it failed with the same record first.
    let actions = round(&mut batcher, 200, &[3, 4], failures(&[3]));
    let [Action::GiveUp { batch, invoke_count, last: Some(last), .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((packs(batch), *invoke_count, last.function_failed), (vec![3, 4], 3, false));
}

#[test]
fn a_record_that_is_named_is_set_apart_when_batches_are_bisected() {
    let settings = Settings {
        report_batch_item_failures: true,
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: Some(0),
        ..Settings::default()
    };
    let mut batcher = batcher(settings);
    batcher.arrived(records(4), Position::at_pack(5), 0);
    round(&mut batcher, 0, &[1, 2, 3, 4], failures(&[2]));
    round(&mut batcher, 1_000, &[2, 3, 4], failures(&[2]));
    let actions = round(&mut batcher, 2_000, &[2], failures(&[2]));
    let [Action::GiveUp { id, batch, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(packs(batch), [2]);
    batcher.given_up(*id);
    round(&mut batcher, 3_000, &[3, 4], answered("{}"));
}

#[test]
fn an_answer_that_names_no_record_of_the_batch_fails_all_of_it() {
    let mut batcher = batcher(Settings { report_batch_item_failures: true, ..Settings::default() });
    batcher.arrived(records(2), Position::at_pack(3), 0);
    let bad = [
        failures(&[7]),
        answered(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#),
        answered(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#),
        answered(r#"{"batchItemFailures":[{"id":"1"}]}"#),
        answered(r#"{"batchItemFailures":"all"}"#),
        answered("{"),
    ];
    let mut now_ms = 0;
    for outcome in bad {
        assert!(round(&mut batcher, now_ms, &[1, 2], outcome).is_empty());
        now_ms += 10_000;
    }
    // Lambda takes all of these for success.
    let good =
        ["", "null", "{}", "[]", "\"\"", "5", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#];
    for (index, payload) in (0..).zip(good) {
        let more = vec![record(10 + index, "k", 0, "")];
        batcher.arrived(more, Position::at_pack(11 + index), now_ms);
        // The first came while the batch was tried again.
        let expected = match index {
            0 => vec![1, 2],
            1 => vec![10, 11],
            _ => vec![10 + index],
        };
        assert!(!round(&mut batcher, now_ms, &expected, answered(payload)).is_empty(), "{payload}");
    }
}

#[test]
fn answers_are_not_looked_at_unless_they_are_asked_for() {
    let mut batcher = batcher(Settings::default());
    batcher.arrived(records(1), Position::at_pack(2), 0);
    assert_eq!(kept(&round(&mut batcher, 0, &[1], failures(&[1]))), Position::at_pack(2));
}

#[test]
fn outcomes_that_nobody_waits_for_change_nothing() {
    let mut batcher = batcher(Settings::default());
    batcher.arrived(records(1), Position::at_pack(2), 0);
    let (id, _) = invocation(&batcher.actions(0));
    assert!(batcher.invoked(InvocationId(99), answered(""), 0).is_empty());
    assert!(batcher.given_up(id).is_empty());
    batcher.invoked(id, failed(), 0);
    assert!(batcher.invoked(id, answered(""), 0).is_empty());
    round(&mut batcher, 100, &[1], answered(""));
}

#[test]
fn lanes_work_side_by_side_and_the_checkpoint_waits_for_the_slowest() {
    let mut batcher = batcher(Settings { parallelization_factor: 20, batch_size: 1, ..Settings::default() });
    let all = (1..=40).map(|pack| record(pack, &format!("k{pack}"), 0, "")).collect();
    batcher.arrived(all, Position::at_pack(41), 0);
    let mut waiting = batcher.actions(0);
    assert!(waiting.len() > 10);
    let first = waiting
        .iter()
        .position(|action| matches!(action, Action::Invoke { batch, .. } if packs(batch) == [1]));
    let Action::Invoke { id: slow, .. } = waiting.remove(first.unwrap()) else { unreachable!() };
    while let Some(Action::Invoke { id, .. }) = waiting.pop() {
        assert!(batcher.invoked(id, answered(""), 0).is_empty());
        waiting.extend(batcher.actions(0));
    }
    let after = kept(&batcher.invoked(slow, answered(""), 0));
    assert!(after > Position::at_pack(1));
}

#[test]
fn no_more_is_read_than_fits_and_a_full_buffer_is_not_waited_with() {
    let bytes = 4 * writer().record_bytes(&records(1)[0]);
    let settings = Settings { batching_window_ms: 300_000, buffer_bytes: bytes, ..Settings::default() };
    let mut batcher = batcher(settings);
    assert_eq!(batcher.room(), Room { records: 200, bytes });
    batcher.arrived(records(4), Position::at_pack(5), 0);
    assert_eq!(batcher.room(), Room { records: 196, bytes: 0 });
    round(&mut batcher, 0, &[1, 2, 3, 4], answered(""));
    assert_eq!(batcher.room(), Room { records: 200, bytes });
}
