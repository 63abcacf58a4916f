//! The simulation finds what it is there to find: each of many mistakes in the protocol, made on purpose.

use millrace_server::sabotage::{self, Bug};
use millrace_simulation::{Failure, Report, run, run_seeds};

/// Within so many seeds each mistake is found. The right code passes far more of them (see `seeds.rs`).
const SEEDS: u64 = 2_000;

fn run_with(bug: Bug, seed: u64) -> Result<Report, Failure> {
    sabotage::make(Some(bug));
    let result = run(seed, false);
    sabotage::make(None);
    result
}

/// `MILLRACE_BUG=RetryBlindly MILLRACE_SEED=1 cargo test -p millrace-simulation replay -- --nocapture` prints all
/// that happens under one mistake.
#[test]
fn replay_a_mistake() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let chosen = std::env::var("MILLRACE_BUG").ok();
    let bug = Bug::ALL.into_iter().find(|bug| chosen.as_deref() == Some(&format!("{bug:?}")));
    sabotage::make(Some(bug.unwrap_or(Bug::RouteInDoubt)));
    let result = run(number("MILLRACE_SEED").unwrap_or(1), bug.is_some());
    sabotage::make(None);
    match result {
        Ok(report) => assert!(bug.is_some(), "a mistake that seed 1 finds is not found: {report:?}"),
        Err(failure) => println!("{failure}"),
    }
}

#[test]
fn every_mistake_is_found() {
    let mut unnoticed = Vec::new();
    for bug in Bug::ALL {
        match run_seeds(1, SEEDS, |seed| run_with(bug, seed)) {
            Ok(_) => {
                println!("{bug:?} is not found by {SEEDS} seeds");
                unnoticed.push(bug);
            }
            Err(failure) => println!("{bug:?} is found by seed {}: {}", failure.seed, failure.faults[0]),
        }
    }
    assert!(unnoticed.is_empty(), "not found within {SEEDS} seeds: {unnoticed:?}");
}
