//! The 128-bit hash space that shards divide among themselves.
//!
//! A record's place is the MD5 of its partition key read as a big-endian number, unless its writer gave an
//! explicit hash key (Kinesis API, `PutRecord`).

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

/// A place in the hash space, `0 ..= 2^128 - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The first place of the hash space.
    pub const MIN: HashKey = HashKey(0);
    /// The last place of the hash space, 340282366920938463463374607431768211455.
    pub const MAX: HashKey = HashKey(u128::MAX);

    /// The place of a partition key: its MD5, big-endian.
    pub fn of_partition_key(key: &str) -> HashKey {
        HashKey(u128::from_be_bytes(Md5::digest(key.as_bytes()).into()))
    }

    /// The place right before this one, if there is one.
    pub fn before(self) -> Option<HashKey> {
        self.0.checked_sub(1).map(HashKey)
    }

    /// The place right after this one, if there is one.
    pub fn after(self) -> Option<HashKey> {
        self.0.checked_add(1).map(HashKey)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no hash key: not a decimal of `0 ..= 2^128 - 1` in its shortest form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a hash key: a decimal number of 0 to 2^128-1 without leading zeros is expected")]
pub struct InvalidHashKey;

impl FromStr for HashKey {
    type Err = InvalidHashKey;

    /// Reads Kinesis' pattern `0|([1-9]\d{0,38})`.
    fn from_str(text: &str) -> Result<Self, InvalidHashKey> {
        parse_decimal(text).map(HashKey).ok_or(InvalidHashKey)
    }
}

/// A decimal in its shortest form (`0|([1-9]\d*)`) that fits 128 bits.
pub(crate) fn parse_decimal(text: &str) -> Option<u128> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// A part of the hash space, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The first place that belongs to the range.
    pub start: HashKey,
    /// The last place that belongs to the range, not below `start`.
    pub end: HashKey,
}

impl HashRange {
    /// The whole hash space.
    pub const FULL: HashRange = HashRange { start: HashKey::MIN, end: HashKey::MAX };

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// How many places the range has, less one (so that the whole space fits 128 bits).
    pub fn width(&self) -> u128 {
        self.end.0 - self.start.0
    }

    /// The first places of `parts` ranges of equal width (to within one) that cover this one; fewer than
    /// `parts` when the range has fewer places. The first is always `start`.
    pub fn divide(&self, parts: u32) -> Vec<HashKey> {
        let parts = u128::from(parts.max(1)).min(self.width().saturating_add(1));
        let step = self.width() / parts;
        // width + 1 places = parts * step + remainder + 1: the first `extra` ranges are one wider.
        let extra = self.width() - step * parts + 1;
        (0..parts).map(|i| HashKey(self.start.0 + i * step + i.min(extra))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_partition_key_lies_at_its_md5() {
        // md5("a") = 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(HashKey::of_partition_key("a"), HashKey(0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661));
    }

    #[test]
    fn hash_keys_are_read_in_their_shortest_decimal_form_only() {
        assert_eq!("0".parse(), Ok(HashKey(0)));
        assert_eq!(HashKey::MAX.to_string().parse(), Ok(HashKey::MAX));
        for bad in ["", "00", "01", "-1", "+1", " 1", "1x", "340282366920938463463374607431768211456"] {
            assert_eq!(bad.parse::<HashKey>(), Err(InvalidHashKey), "{bad:?}");
        }
    }

    #[test]
    fn the_whole_space_divides_as_kinesis_divides_it() {
        let starts = HashRange::FULL.divide(2);
        assert_eq!(starts, [HashKey(0), HashKey(1 << 127)]);
        let thirds = HashRange::FULL.divide(3);
        assert_eq!(thirds[1], HashKey(113427455640312821154458202477256070486));
    }

    proptest! {
        #[test]
        fn division_covers_a_range_with_parts_whose_widths_differ_by_at_most_one(
            a in any::<u128>(), b in any::<u128>(), parts in 1u32..200
        ) {
            let range = HashRange { start: HashKey(a.min(b)), end: HashKey(a.max(b)) };
            let starts = range.divide(parts);
            prop_assert_eq!(starts[0], range.start);
            let ends = starts.iter().skip(1).map(|s| s.0 - 1).chain([range.end.0]);
            let widths: Vec<u128> = starts.iter().zip(ends).map(|(s, e)| e - s.0).collect();
            let (low, high) = (widths.iter().min().unwrap(), widths.iter().max().unwrap());
            prop_assert!(high - low <= 1);
            prop_assert!(starts.len() == parts as usize || range.width() < u128::from(parts));
        }
    }
}
