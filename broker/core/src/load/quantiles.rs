//! Quantiles of hash keys in bounded memory: KLL (Karnin, Lang, Liberty: Optimal Quantile Approximation in
//! Streams, FOCS 2016), with the lazy compaction of Ivkin et al. (Streaming Quantiles Algorithms with Small
//! Space and Update Time, 2019).
//!
//! Items lie in levels; one of level h stands for 2^h units of weight. When all slots are taken, the lowest level
//! that is over its share is sorted and every other item, beginning with the first or second by a coin, goes one
//! level up, while the rest is forgotten. Each compaction moves a rank by at most one weight of its level, up or
//! down with equal chance, whatever the order in which items came.

use crate::hash::HashKey;

/// How many items are kept.
pub(super) const SLOTS: usize = 184;
/// The share of the highest level; each lower one has two thirds of the one above it.
const TOP_SHARE: usize = 50;
/// Weights up to 2^15 units. The sketch keeps the sum of all weights below that.
const LEVELS: usize = 16;

/// The highest level comes first in `items`, level 0 last, so that a new item of weight 1 is pushed at the end.
#[derive(Clone, Debug)]
pub(super) struct Quantiles {
    items: Vec<HashKey>,
    lens: [u16; LEVELS],
    top: u8,
}

impl Default for Quantiles {
    fn default() -> Self {
        Quantiles { items: Vec::with_capacity(SLOTS), lens: [0; LEVELS], top: 0 }
    }
}

impl Quantiles {
    /// Adds `weight` units of a key. `coins` gives random bits.
    pub(super) fn add(&mut self, key: HashKey, weight: u32, coins: &mut impl FnMut() -> u64) {
        let mut rest = weight;
        while rest > 0 {
            let level = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            self.put(key, level.min(LEVELS - 1));
            self.compact_to(SLOTS - 1, coins);
        }
    }

    fn put(&mut self, key: HashKey, level: usize) {
        if level == 0 {
            self.items.push(key);
        } else {
            let end = self.end_of(level);
            self.items.insert(end, key);
            self.top = self.top.max(level as u8);
        }
        self.lens[level] += 1;
    }

    /// Where a level ends in `items`.
    fn end_of(&self, level: usize) -> usize {
        let below: u16 = self.lens[..level].iter().sum();
        self.items.len() - usize::from(below)
    }

    fn compact_to(&mut self, most: usize, coins: &mut impl FnMut() -> u64) {
        while self.items.len() > most {
            let level = self.fullest();
            self.compact(level, coins());
        }
    }

    /// The lowest level that has its share or more.
    fn fullest(&self) -> usize {
        let top = usize::from(self.top);
        let mut share = TOP_SHARE;
        let mut lowest = top;
        for level in (0..=top).rev() {
            if usize::from(self.lens[level]) >= share.max(2) {
                lowest = level;
            }
            share = share * 2 / 3;
        }
        lowest
    }

    /// Moves half of a level's items up and forgets the others; an odd one stays.
    fn compact(&mut self, level: usize, coin: u64) {
        let (end, len) = (self.end_of(level), usize::from(self.lens[level]));
        let pairs = len / 2;
        // The odd one stays at the end of the segment, which is the level's own.
        let segment = &mut self.items[end - len..end - len + 2 * pairs];
        segment.sort_unstable();
        let first = (coin & 1) as usize;
        for pair in 0..pairs {
            segment[pair] = segment[2 * pair + first];
        }
        let start = end - len;
        self.items.drain(start + pairs..start + 2 * pairs);
        self.lens[level] -= 2 * pairs as u16;
        if level + 1 < LEVELS {
            self.lens[level + 1] += pairs as u16;
            self.top = self.top.max(level as u8 + 1);
        } else {
            self.lens[level] += pairs as u16;
        }
    }

    /// Makes the unit of weight twice what it was.
    pub(super) fn double_unit(&mut self, coins: &mut impl FnMut() -> u64) {
        self.compact(0, coins());
        if self.lens[0] == 1 && coins() & 1 == 0 {
            self.items.pop();
        } else {
            self.lens[1] += self.lens[0];
        }
        self.lens.copy_within(1.., 0);
        self.lens[LEVELS - 1] = 0;
        self.top = self.top.saturating_sub(1);
    }

    /// Adds all that `other` holds, in the same unit.
    pub(super) fn merge(&mut self, other: &Quantiles, coins: &mut impl FnMut() -> u64) {
        for (key, weight) in other.weighted() {
            self.put(key, weight.trailing_zeros() as usize);
        }
        self.compact_to(SLOTS - 1, coins);
        self.items.shrink_to(SLOTS);
    }

    /// The kept items and their weights, in no order.
    fn weighted(&self) -> impl Iterator<Item = (HashKey, u64)> {
        let levels = (0..LEVELS).rev().flat_map(|h| std::iter::repeat_n(1 << h, usize::from(self.lens[h])));
        self.items.iter().copied().zip(levels)
    }

    /// The kept keys in order, each with its weight.
    pub(super) fn sorted(&self) -> Vec<(HashKey, u64)> {
        let mut items: Vec<(HashKey, u64)> = self.weighted().collect();
        items.sort_unstable();
        items.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
        items
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.lens = [0; LEVELS];
        self.top = 0;
    }
}
