//! Many seeds on all processors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    let stop = AtomicBool::new(false);
    let seeds: Vec<u64> = (first..first + count).collect();
    let results = parallel(&seeds, |seed| {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let result = run(*seed);
        stop.fetch_or(result.is_err(), Ordering::Relaxed);
        Some(result)
    });
    results.into_iter().collect()
}

/// What `work` makes of each of `items`, in their order, as far as it makes anything; on two threads.
pub fn parallel<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> Option<T> + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    if let Some(result) = work(item) {
                        results.lock().push((index, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
