//! A broker's heartbeat: that it is alive, where it is reached, what it reads, and what its shards carry.

use minicbor::{Decode, Encode};

use crate::id::{BrokerId, DataId};
use crate::load::ShardLoad;
use crate::map::{StoredFormatError, cbor};

/// The version that [`Beat::encode`] writes.
const FORMAT: u8 = 1;

/// The newest formats that a broker reads. A newer one is written only when every live broker reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Formats {
    /// Packs in the log.
    #[n(0)]
    pub pack: u8,
    /// Shard maps, closed shards and stream entries in KV.
    #[n(1)]
    pub map: u8,
    /// Requests between brokers.
    #[n(2)]
    pub forward: u8,
}

impl Formats {
    /// What this version reads.
    pub const CURRENT: Formats = Formats { pack: 1, map: 1, forward: 1 };
}

/// What a broker says of itself each second, under [`crate::keys::broker`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Beat {
    /// The run of its process.
    #[n(0)]
    #[cbor(with = "broker_id")]
    pub broker: BrokerId,
    /// Where other brokers reach it: host and port.
    #[n(1)]
    pub address: String,
    /// The newest formats that it reads.
    #[n(2)]
    pub reads: Formats,
    /// Whether it is about to stop, and owns nothing any more.
    #[n(3)]
    pub leaving: bool,
    /// What its shards carried since the last beat; shards without load are left out.
    #[n(4)]
    #[cbor(with = "loads")]
    pub loads: Vec<(DataId, Vec<ShardLoad>)>,
}

impl Beat {
    /// The first beat of a broker that reads what this version reads.
    pub fn new(broker: BrokerId, address: String) -> Beat {
        Beat { broker, address, reads: Formats::CURRENT, leaving: false, loads: Vec::new() }
    }

    /// The beat as it is sent: a version byte, then CBOR.
    pub fn encode(&self) -> Vec<u8> {
        cbor::versioned(FORMAT, self)
    }

    /// Reads what [`Beat::encode`] wrote.
    ///
    /// # Errors
    /// When the format is a newer one, or the bytes are none of ours.
    pub fn decode(bytes: &[u8]) -> Result<Beat, StoredFormatError> {
        cbor::read_versioned(FORMAT, bytes)
    }
}

mod broker_id {
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error, Write};
    use minicbor::{Decoder, Encoder};

    use crate::id::BrokerId;

    pub(super) fn encode<C, W: Write>(
        id: &BrokerId,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), Error<W::Error>> {
        e.u64(id.0)?;
        Ok(())
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<BrokerId, DecodeError> {
        d.u64().map(BrokerId)
    }
}

mod loads {
    //! Streams and their shards' loads, as an array of pairs.

    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error, Write};
    use minicbor::{Decoder, Encoder};

    use super::{DataId, ShardLoad, cbor};

    pub(super) fn encode<C, W: Write>(
        loads: &[(DataId, Vec<ShardLoad>)],
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), Error<W::Error>> {
        e.array(loads.len() as u64)?;
        for (data, shards) in loads {
            e.array(2)?;
            cbor::data_id::encode(data, e, ctx)?;
            e.encode(shards)?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(
        d: &mut Decoder<'_>,
        ctx: &mut C,
    ) -> Result<Vec<(DataId, Vec<ShardLoad>)>, DecodeError> {
        let mut loads = Vec::new();
        let count = d.array()?.ok_or_else(|| DecodeError::message("streams without a count"))?;
        for _ in 0..count {
            if d.array()? != Some(2) {
                return Err(DecodeError::message("not a stream and its loads"));
            }
            loads.push((cbor::data_id::decode(d, ctx)?, d.decode()?));
        }
        Ok(loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKey;
    use crate::id::ShardId;
    use crate::load::{CutPoint, HeavyKey, MAX_CUT_POINTS, MAX_HEAVY_KEYS};
    use proptest::prelude::*;

    fn load() -> impl Strategy<Value = ShardLoad> {
        let heavy = (any::<u128>(), 0u16..=1_000)
            .prop_map(|(key, share_per_mille)| HeavyKey { key: HashKey(key), share_per_mille });
        let cut = (any::<u128>(), 0u16..=1_000)
            .prop_map(|(at, below_per_mille)| CutPoint { at: HashKey(at), below_per_mille });
        let details = (
            prop::collection::vec(heavy, 0..=MAX_HEAVY_KEYS),
            prop::collection::vec(cut, 0..=MAX_CUT_POINTS),
        );
        (any::<[u64; 5]>(), details).prop_map(|(n, (heavy, cuts))| ShardLoad {
            shard: ShardId(n[0]),
            bytes_per_s: n[1],
            records_per_s: n[2],
            throttled_per_s: n[3],
            read_bytes_per_s: n[4],
            heavy,
            cuts,
        })
    }

    proptest! {
        #[test]
        fn beats_round_trip(
            id in any::<u64>(), address in "[a-z0-9.:]{0,40}", leaving in any::<bool>(),
            loads in prop::collection::vec((any::<u128>(), prop::collection::vec(load(), 0..4)), 0..4),
        ) {
            let mut beat = Beat::new(BrokerId(id), address);
            beat.leaving = leaving;
            beat.loads = loads.into_iter().map(|(data, shards)| (DataId::from_random(data), shards)).collect();
            prop_assert_eq!(Beat::decode(&beat.encode()), Ok(beat));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Beat::decode(&bytes);
        }
    }

    #[test]
    fn a_newer_beat_is_named_as_such() {
        let mut bytes = Beat::new(BrokerId(1), "a:1".to_owned()).encode();
        bytes[0] = FORMAT + 1;
        assert_eq!(Beat::decode(&bytes), Err(StoredFormatError::Newer(FORMAT + 1)));
    }

    #[test]
    fn ten_thousand_busy_shards_fit_well_below_a_mebibyte() {
        let calm = |shard| ShardLoad {
            shard: ShardId(shard),
            bytes_per_s: 600_000,
            records_per_s: 700,
            throttled_per_s: 0,
            read_bytes_per_s: 1_200_000,
            heavy: Vec::new(),
            cuts: Vec::new(),
        };
        let mut beat = Beat::new(BrokerId(u64::MAX), "broker-0.brokers.default.svc:7400".to_owned());
        beat.loads = (0..100)
            .map(|stream| (DataId::from_random(stream), (0..100).map(|n| calm(n + 1_000_000)).collect()))
            .collect();
        assert!(beat.encode().len() < 300_000, "{}", beat.encode().len());
    }
}
