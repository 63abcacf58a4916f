//! Chance that a seed decides.

use std::ops::RangeInclusive;

/// A small generator (SplitMix64, Steele et al. 2014) of its own, so that a seed that once found a fault finds
/// it with every version of every library.
#[derive(Clone, Debug, Hash)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Dice {
        let mut dice = Dice { state: seed };
        dice.bits();
        dice
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `count`, which is not 0.
    pub fn below(&mut self, count: u64) -> u64 {
        // The bias of a remainder is far below what a simulation could notice.
        self.bits() % count
    }

    /// A number of the range.
    pub fn between(&mut self, range: &RangeInclusive<u64>) -> u64 {
        range.start() + self.below((range.end() - range.start()).saturating_add(1))
    }

    /// True this many times in a thousand.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1_000) < u64::from(per_mille)
    }

    /// One of `choices`, which are not none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }

    /// Another generator, whose numbers do not depend on how many are drawn from this one later.
    pub fn fork(&mut self) -> Dice {
        Dice::new(self.bits())
    }
}
