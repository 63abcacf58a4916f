//! Calls that are cut off at each of their requests, against an API server in memory: asked again, they end where
//! an undisturbed one does.

use std::collections::BTreeMap;

use millrace_fake_kube::{FakeKube, Fault};

use super::*;

const FAULTS: [Fault; 4] = [Fault::Status(409), Fault::Status(500), Fault::Lost, Fault::CrashAfter];

/// A name that is no object's, so that every way of naming is taken.
const STREAM: &str = "Orders_v1";

fn resources(kube: &FakeKube) -> StreamResources {
    StreamResources::new(kube.client("team-a"), "team-a".into(), "main".into())
}

fn longer(config: &mut StreamConfig) {
    config.retention_s = 48 * 3_600;
}

async fn run(kube: &FakeKube, call: Call<'_>) -> Result<(), ControlError> {
    resources(kube).carry_out("team-a", STREAM, call).await
}

/// A server on which the calls before `call` in a stream's life have been made.
async fn before(call: Call<'_>) -> FakeKube {
    let kube = FakeKube::new();
    if !matches!(call, Call::Create(_)) {
        run(&kube, Call::Create(&StreamConfig::default())).await.expect("nothing is in the way");
    }
    kube
}

async fn undisturbed(call: Call<'_>) -> BTreeMap<String, Value> {
    let kube = before(call).await;
    run(&kube, call).await.expect("nothing is in the way");
    kube.snapshot()
}

/// `done`: what a second call may answer when the first had its effect.
async fn strike_each_request(call: Call<'_>, done: impl Fn(&ControlError) -> bool) {
    let end = undisturbed(call).await;
    for fault in FAULTS {
        for ahead in 1.. {
            let kube = before(call).await;
            let before = kube.request_count();
            kube.fail_next(ahead, fault);
            let first = run(&kube, call).await;
            let struck = kube.request_count() - before >= ahead;
            if first.is_ok() {
                assert_eq!(kube.snapshot(), end, "{fault:?} at {ahead}");
            }
            kube.restart();
            if let Err(error) = run(&kube, call).await {
                assert!(done(&error), "{fault:?} at {ahead}: {error}");
            }
            assert_eq!(kube.snapshot(), end, "{fault:?} at {ahead}");
            if !struck {
                assert!(ahead > 2, "a call has more requests than that");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_is_finished_by_the_next_wherever_it_was_cut_off() {
    let config = StreamConfig::default();
    strike_each_request(Call::Create(&config), |error| matches!(error, ControlError::Exists(_))).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_is_finished_by_the_next_wherever_it_was_cut_off() {
    strike_each_request(Call::Configure(&longer), |_| false).await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_finished_by_the_next_wherever_it_was_cut_off() {
    strike_each_request(Call::Delete, |_| false).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_definition_refuses_is_refused_in_its_words_and_changes_nothing() {
    let kube = FakeKube::new();
    let tiny = StreamConfig { quota_bytes: 5, ..StreamConfig::default() };
    let refused = run(&kube, Call::Create(&tiny)).await;
    let Err(ControlError::Refused(words)) = refused else { panic!("{refused:?}") };
    assert!(words.contains("write a quota of whole bytes, 64Mi to 1Pi"), "{words}");
    assert!(kube.snapshot().is_empty());
}
