//! Many runs, each under its own seed.

use millrace_simulation::{run, run_seeds};

/// A number that whoever runs the test may choose.
fn choice(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs one seed: `MILLRACE_SEED=123 cargo test -p millrace-simulation replay -- --nocapture` prints all that
/// happens.
#[test]
fn replay() {
    let chosen = choice("MILLRACE_SEED");
    match run(chosen.unwrap_or(1), chosen.is_some()) {
        Ok(report) => println!("seed {} holds: {report:?}", chosen.unwrap_or(1)),
        Err(failure) => panic!("{failure}"),
    }
}

/// `MILLRACE_SEEDS` says how many, `MILLRACE_FIRST_SEED` from which on.
#[test]
fn a_thousand_seeds_hold() {
    let count = choice("MILLRACE_SEEDS").unwrap_or(1_000);
    match run_seeds(choice("MILLRACE_FIRST_SEED").unwrap_or(1), count, |seed| run(seed, false)) {
        Ok(reports) => {
            let total = |count: fn(&millrace_simulation::oracle::Counts) -> u64| -> u64 {
                reports.iter().map(|report| count(&report.counts)).sum()
            };
            println!(
                "{count} seeds hold: {} records acknowledged, {} stored in {} packs, {} appends refused, \
                 {} reshards, {} faults, {} records read",
                total(|c| c.acknowledged),
                total(|c| c.records),
                total(|c| c.packs),
                total(|c| c.refused),
                total(|c| c.reshards),
                total(|c| c.faults),
                total(|c| c.read),
            );
            // Runs in which nothing happens would prove nothing.
            assert!(total(|c| c.acknowledged) > 100 * count && total(|c| c.reshards) > count);
            assert!(total(|c| c.faults) > count && total(|c| c.refused) > count);
        }
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 1..=5 {
        let (first, again) = (run(seed, false), run(seed, false));
        assert_eq!(first.expect("the seed holds"), again.expect("the seed holds"));
    }
}
