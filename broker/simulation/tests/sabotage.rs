//! The simulation finds what it is there to find: each of many mistakes in the protocol, made on purpose.

use millrace_server::sabotage::{self, Bug};
use millrace_simulation::{Failure, Report, run, run_seeds};

/// Within so many seeds each mistake is found. The right code passes far more of them (see `seeds.rs`).
const SEEDS: u64 = 1_000;

fn run_with(bug: Bug, seed: u64) -> Result<Report, Failure> {
    sabotage::make(Some(bug));
    let result = run(seed, false);
    sabotage::make(None);
    result
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
