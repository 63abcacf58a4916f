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
    /// A fold of each key, which lies in two cache lines and is compared in a few wide instructions.
    tags: [u32; COUNTERS],
    keys: [HashKey; COUNTERS],
    weights: [u64; COUNTERS],
    /// How much of each weight may belong to keys that were displaced.
    errors: [u64; COUNTERS],
    used: u8,
    /// No counter is lighter than this one was when it was found …
    floor: u64,
    /// … and those before this one were looked at since.
    looked: u8,
}

/// All four words of the key: any of them may be all that distinguishes keys which their writers chose.
fn tag(key: HashKey) -> u32 {
    (key.0 ^ (key.0 >> 32) ^ (key.0 >> 64) ^ (key.0 >> 96)) as u32
}

impl HeavyKeys {
    pub(super) fn add(&mut self, key: HashKey, weight: u64) {
        let used = usize::from(self.used);
        if let Some(slot) = self.find(key) {
            self.weights[slot] += weight;
            return;
        }
        let (slot, error) = if used < COUNTERS {
            self.used += 1;
            (used, 0)
        } else {
            let lightest = self.lightest();
            (lightest, self.weights[lightest])
        };
        self.tags[slot] = tag(key);
        self.keys[slot] = key;
        self.errors[slot] = error;
        self.weights[slot] = error + weight;
    }

    /// The counter of a key.
    fn find(&self, key: HashKey) -> Option<usize> {
        let wanted = tag(key);
        // No early exit, so that the compiler compares several at once. The slots are fewer than the bits.
        let mut hits = 0_u32;
        for (slot, tag) in self.tags.iter().enumerate() {
            hits |= u32::from(*tag == wanted) << slot;
        }
        while hits != 0 {
            let slot = hits.trailing_zeros() as usize;
            if self.keys[slot] == key && slot < usize::from(self.used) {
                return Some(slot);
            }
            hits &= hits - 1;
        }
        None
    }

    /// The lightest of all counters, once all are used. Weights only grow, so while one is found that weighs what
    /// the lightest did, it is the lightest, and the search goes on from it the next time.
    fn lightest(&mut self) -> usize {
        for slot in usize::from(self.looked)..COUNTERS {
            if self.weights[slot] <= self.floor {
                self.looked = slot as u8 + 1;
                return slot;
            }
        }
        let lightest = (0..COUNTERS).fold(0, |a, b| if self.weights[b] < self.weights[a] { b } else { a });
        self.floor = self.weights[lightest];
        self.looked = lightest as u8 + 1;
        lightest
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
        for (key, weight, error) in self.counters() {
            let theirs = other.counters().find(|(theirs, ..)| *theirs == key);
            let (_, more, unsure) = theirs.unwrap_or((key, other.unseen(), other.unseen()));
            all.push((key, weight + more, error + unsure));
        }
        for (key, weight, error) in other.counters() {
            if self.find(key).is_none() {
                all.push((key, weight + self.unseen(), error + self.unseen()));
            }
        }
        all.sort_unstable_by_key(|(key, weight, _)| (std::cmp::Reverse(*weight), *key));
        all.truncate(COUNTERS);
        self.clear();
        for (slot, (key, weight, error)) in all.into_iter().enumerate() {
            self.tags[slot] = tag(key);
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
        (self.used, self.floor, self.looked) = (0, 0, 0);
    }
}
