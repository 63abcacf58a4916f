//! Heavy keys in bounded memory: SpaceSaving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent
//! and Top-k Elements in Data Streams, ICDT 2005).
//!
//! A key that has no counter takes that of the lightest, weight included, and remembers how much of it may be
//! another's. A key whose weight is above 1/[`COUNTERS`] of the whole is always among those kept, and no weight
//! is overstated by more than that part of the whole.

use crate::hash::HashKey;

/// How many keys are kept.
pub(super) const COUNTERS: usize = 24;

#[derive(Clone, Debug, Default)]
pub(super) struct HeavyKeys {
    keys: [HashKey; COUNTERS],
    weights: [u64; COUNTERS],
    /// How much of each weight may belong to keys that were displaced.
    errors: [u64; COUNTERS],
    used: u8,
}

impl HeavyKeys {
    pub(super) fn add(&mut self, key: HashKey, weight: u64) {
        let used = usize::from(self.used);
        if let Some(slot) = self.keys[..used].iter().position(|kept| *kept == key) {
            self.weights[slot] += weight;
            return;
        }
        if used < COUNTERS {
            (self.keys[used], self.weights[used], self.errors[used]) = (key, weight, 0);
            self.used += 1;
            return;
        }
        let lightest = (0..COUNTERS).fold(0, |a, b| if self.weights[b] < self.weights[a] { b } else { a });
        self.keys[lightest] = key;
        self.errors[lightest] = self.weights[lightest];
        self.weights[lightest] += weight;
    }

    /// The weight that a key without a counter may have had at most.
    fn unseen(&self) -> u64 {
        if usize::from(self.used) < COUNTERS { 0 } else { self.weights.iter().copied().min().unwrap_or(0) }
    }

    /// Key, weight, error of each counter.
    fn counters(&self) -> impl Iterator<Item = (HashKey, u64, u64)> {
        (0..usize::from(self.used)).map(|slot| (self.keys[slot], self.weights[slot], self.errors[slot]))
    }

    /// Adds what `other` counted (Agarwal et al.: Mergeable Summaries, PODS 2012).
    pub(super) fn merge(&mut self, other: &HeavyKeys) {
        let mut all: Vec<(HashKey, u64, u64)> = Vec::with_capacity(2 * COUNTERS);
        for (key, mut weight, mut error) in self.counters() {
            match other.counters().find(|(theirs, ..)| *theirs == key) {
                Some((_, their_weight, their_error)) => {
                    weight += their_weight;
                    error += their_error;
                }
                None => {
                    weight += other.unseen();
                    error += other.unseen();
                }
            }
            all.push((key, weight, error));
        }
        for (key, weight, error) in other.counters() {
            if self.counters().all(|(ours, ..)| ours != key) {
                all.push((key, weight + self.unseen(), error + self.unseen()));
            }
        }
        all.sort_unstable_by_key(|(key, weight, _)| (std::cmp::Reverse(*weight), *key));
        all.truncate(COUNTERS);
        *self = HeavyKeys::default();
        for (slot, (key, weight, error)) in all.into_iter().enumerate() {
            (self.keys[slot], self.weights[slot], self.errors[slot]) = (key, weight, error);
            self.used += 1;
        }
    }

    /// The kept keys and what each has weighed at least, heaviest first.
    pub(super) fn sure(&self) -> Vec<(HashKey, u64)> {
        let mut sure: Vec<_> = self.counters().map(|(key, weight, error)| (key, weight - error)).collect();
        sure.sort_unstable_by_key(|(key, weight)| (std::cmp::Reverse(*weight), *key));
        sure
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
    }
}
