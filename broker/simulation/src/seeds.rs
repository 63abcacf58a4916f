//! Many seeds on all processors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::{Failure, Report};

/// Runs `run` for `count` seeds from `first` on, each on one of two threads, and gives the reports in the order
/// of the seeds.
///
/// # Errors
/// The failure with the lowest seed among those that were found until all threads had stopped.
pub fn run_seeds(
    first: u64,
    count: u64,
    run: impl Fn(u64) -> Result<Report, Failure> + Sync,
) -> Result<Vec<Report>, Failure> {
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let result = run(seed);
                    stop.fetch_or(result.is_err(), Ordering::Relaxed);
                    results.lock().push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}
