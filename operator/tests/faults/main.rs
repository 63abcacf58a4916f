//! Both reconcilers against an API server that fails or kills the operator at the n-th request, for every n: the end is
//! always that of an undisturbed run, nothing is lost on the way, and what has come to rest is left alone.

mod stories;
#[path = "../world/mod.rs"]
mod world;

use millrace_fake_kube::Fault;
use stories::{STORIES, Story};
use world::{End, World, is_fast, run};

/// What befalls a write: it is refused, its answer is lost, or the operator dies before or after it.
const FAULTS: [Fault; 4] = [Fault::Status(500), Fault::Crash, Fault::Lost, Fault::CrashAfter];
/// What befalls a read, in turn: for it the other two are the same as these.
const FAULTS_OF_READS: [Fault; 2] = [Fault::Status(500), Fault::Crash];
/// Of so many runs one is watched at rest as well; the undisturbed one is always.
const WATCHED_AT_REST: u64 = 16;

/// Tells a story with a fault at a request, and returns how it ended, and of each request whether it was a write.
async fn tell(story: &Story, fault: Option<(u64, Fault)>) -> (End, Vec<bool>) {
    let mut world = World::new();
    if let Some((number, fault)) = fault {
        world.kube.fail_at(number, fault);
    }
    for step in (story.steps)() {
        world.act(&step).await.expect("what users of a story ask for is admitted");
        world.settle().await;
    }
    let requests = world.kube.requests().iter().map(|request| request.is_write()).collect();
    if fault.is_none_or(|(number, _)| number % WATCHED_AT_REST == 0) {
        world.rests(10).await;
    }
    (world.end(), requests)
}

fn faults_change_nothing(name: &str) {
    let story = STORIES.iter().find(|story| story.name == name).expect("there is such a story");
    let ((objects, logs), requests) = run(tell(story, None));
    assert!(requests.iter().any(|is_write| *is_write), "the story {name} is about something");
    let mut runs = 0;
    for (number, is_write) in (1..).zip(&requests) {
        if is_fast() && number % 8 != 0 {
            continue;
        }
        let of_reads = &FAULTS_OF_READS[(number % 2) as usize..][..1];
        for fault in if *is_write { &FAULTS[..] } else { of_reads } {
            let fault = *fault;
            runs += 1;
            let (end, _) = run(tell(story, Some((number, fault))));
            for (key, object) in &objects {
                assert_eq!(
                    end.0.get(key),
                    Some(object),
                    "{name}: {key}, after {fault:?} at request {number}"
                );
            }
            let more: Vec<_> = end.0.keys().filter(|key| !objects.contains_key(*key)).collect();
            assert!(more.is_empty(), "{name}: {more:?} are left over, after {fault:?} at request {number}");
            assert_eq!(end.1, logs, "{name}: the logs, after {fault:?} at request {number}");
        }
    }
    println!("{name}: {} requests, {runs} runs", requests.len());
}

#[test]
fn a_broker_and_a_stream_are_made_whatever_fails() {
    faults_change_nothing("made");
}

#[test]
fn a_stream_that_comes_before_its_broker_is_made_whatever_fails() {
    faults_change_nothing("stream first");
}

#[test]
fn a_changed_stream_is_changed_whatever_fails() {
    faults_change_nothing("stream changed");
}

#[test]
fn a_stream_whose_limits_change_follows_whatever_fails() {
    faults_change_nothing("stream's limits changed");
}

#[test]
fn a_stream_that_is_to_be_kept_after_all_is_kept_whatever_fails() {
    faults_change_nothing("kept after all");
}

#[test]
fn a_broker_is_placed_and_reached_anew_whatever_fails() {
    faults_change_nothing("placed anew");
}

#[test]
fn a_stream_that_goes_leaves_its_data_and_finds_it_again_whatever_fails() {
    faults_change_nothing("retained");
}

#[test]
fn a_stream_that_takes_its_data_along_leaves_nothing_whatever_fails() {
    faults_change_nothing("deleted");
}

#[test]
fn a_changed_broker_is_rolled_out_whatever_fails() {
    faults_change_nothing("rolled");
}

#[test]
fn volumes_grow_whatever_fails() {
    faults_change_nothing("grown");
}

#[test]
fn log_servers_are_added_whatever_fails() {
    faults_change_nothing("servers added");
}

#[test]
fn a_broker_that_goes_and_comes_again_finds_its_volumes_whatever_fails() {
    faults_change_nothing("broker again");
}

#[test]
fn a_name_goes_over_to_the_stream_that_waits_for_it_whatever_fails() {
    faults_change_nothing("name handed over");
}
