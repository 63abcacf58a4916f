//! What things are called, in the log and outside it.

use std::fmt;
use std::str::FromStr;

/// Names a Stream's data, apart from the resource: 26 characters of lower-case base 32 (130 bits, of which
/// 128 are random). Made once, when the Stream first gets its data, and good as a subject token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(Box<str>);

const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl DataId {
    /// The id made of these 128 random bits.
    pub fn from_random(bits: u128) -> DataId {
        let digit = |i: u32| char::from(BASE32[((bits >> (5 * i)) & 31) as usize]);
        DataId((0..26).map(digit).collect())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DataId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no data id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a data id: 26 characters of a-z and 2-7 are expected")]
pub struct InvalidDataId;

impl FromStr for DataId {
    type Err = InvalidDataId;

    fn from_str(text: &str) -> Result<Self, InvalidDataId> {
        let good = text.len() == 26 && text.bytes().all(|b| BASE32.contains(&b));
        good.then(|| DataId(text.into())).ok_or(InvalidDataId)
    }
}

/// A shard's number within its stream. Numbers are given out in order and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShardId(pub u64);

impl fmt::Display for ShardId {
    /// Kinesis' form, `shardId-000000000000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

/// A text that is no shard id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a shard id: shardId- and twelve digits are expected")]
pub struct InvalidShardId;

impl FromStr for ShardId {
    type Err = InvalidShardId;

    fn from_str(text: &str) -> Result<Self, InvalidShardId> {
        let id = text.strip_prefix("shardId-").and_then(|n| n.parse().ok()).map(ShardId);
        // The canonical form only: "+1", "7" and thirteen digits with a leading zero are other texts.
        id.filter(|id| id.to_string() == text).ok_or(InvalidShardId)
    }
}

/// A lane's number within its stream, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lane(pub u16);

impl Lane {
    /// The JetStream stream that this lane of `data` is.
    pub fn stream_name(self, data: &DataId) -> String {
        format!("MR_{data}_{}", self.0)
    }

    /// The data and the lane that a JetStream stream of this name stores; `None` if it stores none.
    pub fn parse_stream_name(name: &str) -> Option<(DataId, Lane)> {
        let (data, lane) = name.strip_prefix("MR_")?.rsplit_once('_')?;
        Some((data.parse().ok()?, Lane(lane.parse().ok()?)))
    }

    /// The subjects of all shards in this lane of `data`.
    pub fn subjects(self, data: &DataId) -> String {
        format!("mr.{data}.{}.*", self.0)
    }

    /// The subject of a shard in this lane of `data`.
    pub fn subject(self, data: &DataId, shard: ShardId) -> String {
        format!("mr.{data}.{}.{}", self.0, shard.0)
    }
}

/// One run of one broker process: random, new at each start, so that its packs can be told from those of an
/// earlier run under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub u64);

impl fmt::Display for BrokerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A tenant-chosen name as one token of a subject or key: letters, digits and `-` as they are, every other
/// byte as `_` and two hex digits. Different names have different tokens, and no token holds a dot, a wildcard
/// or a space.
pub fn escape_name(name: &str) -> String {
    use fmt::Write;
    let mut token = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "_{byte:02x}");
        }
    }
    token
}

/// The name whose token this is, or nothing if it is not the token of any name.
pub fn unescape_name(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'_' {
            let code = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|name| escape_name(name) == token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shard_ids_have_kinesis_form_and_no_other() {
        assert_eq!(ShardId(7).to_string(), "shardId-000000000007");
        assert_eq!("shardId-1234567890123".parse(), Ok(ShardId(1_234_567_890_123)));
        for bad in ["7", "shardId-7", "shardId-0000000000007", "shardId-+00000000007", "shardid-000000000007"]
        {
            assert_eq!(bad.parse::<ShardId>(), Err(InvalidShardId), "{bad:?}");
        }
    }

    #[test]
    fn names_become_readable_tokens() {
        assert_eq!(escape_name("Orders_v1.raw"), "Orders_5fv1_2eraw");
    }

    proptest! {
        #[test]
        fn tokens_give_their_names_back_and_hold_nothing_special(name in "\\PC{0,40}") {
            let token = escape_name(&name);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(unescape_name(&token), Some(name));
        }

        #[test]
        fn data_ids_round_trip_and_differ(a in any::<u128>(), b in any::<u128>()) {
            let id = DataId::from_random(a);
            prop_assert_eq!(id.as_str().parse(), Ok(id.clone()));
            prop_assert_eq!(id == DataId::from_random(b), a == b);
        }
    }
}
