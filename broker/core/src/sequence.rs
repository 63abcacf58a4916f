//! Sequence numbers: the order of a shard's records, as Kinesis' clients see it.
//!
//! A sequence number is a decimal of 128 bits: a tag and version (12 bits), the shard's epoch (40), the
//! JetStream sequence of the record's pack (56) and its index in the pack (20), most significant first. Epochs
//! of children are greater than those of their parents, so numbers grow along every lineage. The tag makes
//! each number 39 digits long, so that comparing texts and comparing numbers agree.

use std::fmt;
use std::str::FromStr;

use crate::hash::parse_decimal;

/// Counts the reshards of a stream; the shards that a reshard opens carry its number. `1 ..= 2^40 - 1`.
pub type Epoch = u64;

/// Tag `0x50`, version 1.
const TAG: u128 = 0x501;
const EPOCH_BITS: u32 = 40;
const PACK_BITS: u32 = 56;
const INDEX_BITS: u32 = 20;

/// The most records that one pack may hold, so that an index fits its bits.
pub const MAX_RECORDS_PER_PACK: usize = 1 << INDEX_BITS;

/// Where a record lies within its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The JetStream sequence of the record's pack, `0` before the first.
    pub pack: u64,
    /// The record's index in the pack.
    pub index: u32,
}

impl Position {
    /// Before every record of a shard.
    pub const START: Position = Position { pack: 0, index: 0 };

    /// The last index that a record of a pack may have. No record has it: none is stored in a pack of so many.
    pub const LAST_INDEX: u32 = (1 << INDEX_BITS) - 1;

    /// The first record of the pack stored at `pack`, or of the next one there is.
    pub fn at_pack(pack: u64) -> Position {
        Position { pack, index: 0 }
    }

    /// The place right after this record.
    pub fn next(self) -> Position {
        Position { pack: self.pack, index: self.index + 1 }
    }
}

/// A record's sequence number. Ordered as its decimal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber {
    /// The epoch of the record's shard.
    pub epoch: Epoch,
    /// Where the record lies in its shard.
    pub position: Position,
}

impl SequenceNumber {
    /// The number that a shard of this epoch starts at: below that of its every record.
    pub fn start_of(epoch: Epoch) -> SequenceNumber {
        SequenceNumber { epoch, position: Position::START }
    }

    /// The number that a shard ends at whose CLOSE is stored at `end`: above that of its every record.
    pub fn end_of(epoch: Epoch, end: u64) -> SequenceNumber {
        SequenceNumber { epoch, position: Position::at_pack(end) }
    }

    /// The number itself.
    pub fn to_u128(self) -> u128 {
        debug_assert!(self.epoch < 1 << EPOCH_BITS && self.position.pack < 1 << PACK_BITS);
        debug_assert!(self.position.index < 1 << INDEX_BITS);
        (TAG << (EPOCH_BITS + PACK_BITS + INDEX_BITS))
            | (u128::from(self.epoch) << (PACK_BITS + INDEX_BITS))
            | (u128::from(self.position.pack) << INDEX_BITS)
            | u128::from(self.position.index)
    }

    /// The sequence number that `number` is, if it is one of this version.
    pub fn from_u128(number: u128) -> Option<SequenceNumber> {
        if number >> (EPOCH_BITS + PACK_BITS + INDEX_BITS) != TAG {
            return None;
        }
        let field = |shift: u32, bits: u32| ((number >> shift) & ((1 << bits) - 1)) as u64;
        Some(SequenceNumber {
            epoch: field(PACK_BITS + INDEX_BITS, EPOCH_BITS),
            position: Position { pack: field(INDEX_BITS, PACK_BITS), index: field(0, INDEX_BITS) as u32 },
        })
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_u128().fmt(f)
    }
}

/// A text that is no sequence number of this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sequence number of this log")]
pub struct InvalidSequenceNumber;

impl FromStr for SequenceNumber {
    type Err = InvalidSequenceNumber;

    fn from_str(text: &str) -> Result<Self, InvalidSequenceNumber> {
        parse_decimal(text).and_then(SequenceNumber::from_u128).ok_or(InvalidSequenceNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = SequenceNumber> {
        (0u64..1 << EPOCH_BITS, 0u64..1 << PACK_BITS, 0u32..1 << INDEX_BITS)
            .prop_map(|(epoch, pack, index)| SequenceNumber { epoch, position: Position { pack, index } })
    }

    #[test]
    fn the_written_form_stays_what_it_is() {
        let number = SequenceNumber { epoch: 1, position: Position { pack: 2, index: 3 } };
        assert_eq!(number.to_string(), "106421316412529902632224778678020603907");
    }

    #[test]
    fn other_numbers_are_refused() {
        for bad in ["", "0", "1", "-1", "49590338271490256608559692538361571095921575989136588898"] {
            assert_eq!(bad.parse::<SequenceNumber>(), Err(InvalidSequenceNumber), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn sequence_numbers_round_trip_and_their_texts_sort_as_they_do(a in numbers(), b in numbers()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().len(), 39);
        }
    }
}
