//! What brokers ask of each other, and how that is written: [`Peers`] carries it, [`super::Broker::serve_peer`]
//! answers it.
//!
//! Every body begins with a version byte. Records travel as the packs that they would be stored in.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use millrace_core::map::{StoredFormatError, cbor};
use millrace_core::pack::{Pack, PackBuilder};
use millrace_core::{BrokerId, DataId, Position, Record, ShardId};
use minicbor::{Decode, Encode};

use super::members::Member;
use super::owned::{Incoming, Outcome};
use super::tail::{TailPack, TailView};

/// The version of requests and answers that this broker writes.
pub(super) const FORWARD_VERSION: u8 = 1;

/// Why another broker gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The request never reached it.
    #[error("broker {0} can't be reached")]
    Unreachable(BrokerId),
    /// The request may have been carried out.
    #[error("broker {0} did not answer: {1}")]
    Unknown(BrokerId, String),
}

/// The way to other brokers.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Brings a request to another broker, and its answer back.
    async fn ask(&self, peer: &Member, request: Bytes) -> Result<Bytes, PeerError>;
}

/// One broker alone.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoPeers;

#[async_trait]
impl Peers for NoPeers {
    async fn ask(&self, peer: &Member, _: Bytes) -> Result<Bytes, PeerError> {
        Err(PeerError::Unreachable(peer.id))
    }
}

/// What one broker asks of another.
#[derive(Debug)]
pub(super) enum PeerRequest {
    /// Append these records to these shards.
    Append(Vec<AppendGroup>),
    /// Tell where a shard ends: at once, or within `wait` when there is something from `from` on.
    Tail { data: DataId, shard: ShardId, from: u64, max_bytes: u32, wait: Duration },
}

/// Records for one shard.
#[derive(Debug)]
pub(super) struct AppendGroup {
    pub(super) data: DataId,
    pub(super) shard: ShardId,
    pub(super) records: Vec<Record>,
}

const APPEND: u8 = 1;
const TAIL: u8 = 2;
const DATA_ID_BYTES: usize = 26;

/// A request to append `indices` of `incoming` to shards of one stream.
pub(super) fn append_request(
    me: BrokerId,
    data: &DataId,
    groups: &[(ShardId, Vec<u32>)],
    incoming: &Incoming,
) -> Bytes {
    let record = |index: &u32| &incoming.records[*index as usize];
    let size: usize = groups.iter().flat_map(|(_, indices)| indices).map(|i| record(i).packed_bytes()).sum();
    let mut bytes = BytesMut::with_capacity(size + groups.len() * 128 + 2);
    bytes.put_u8(FORWARD_VERSION);
    bytes.put_u8(APPEND);
    for (shard, indices) in groups {
        let mut pack = PackBuilder::new(me, 0, 0, indices.iter().map(|i| record(i).packed_bytes()).sum());
        for index in indices {
            pack.push(record(index), 0);
        }
        let pack = pack.finish();
        bytes.put_slice(data.as_str().as_bytes());
        bytes.put_u64_le(shard.0);
        bytes.put_u32_le(pack.len() as u32);
        bytes.put_slice(&pack);
    }
    bytes.freeze()
}

/// A request to tell where a shard ends.
pub(super) fn tail_request(data: &DataId, shard: ShardId, from: u64, max_bytes: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + DATA_ID_BYTES + 20);
    bytes.put_u8(FORWARD_VERSION);
    bytes.put_u8(TAIL);
    bytes.put_slice(data.as_str().as_bytes());
    bytes.put_u64_le(shard.0);
    bytes.put_u64_le(from);
    bytes.put_u32_le(max_bytes);
    bytes.freeze()
}

/// A request to tell where a shard ends once there is something from `from` on, within `wait`. A broker that does not
/// know of waiting passes over it and answers at once.
pub(super) fn news_request(data: &DataId, shard: ShardId, from: u64, wait: Duration) -> Bytes {
    let mut bytes = BytesMut::from(tail_request(data, shard, from, 0));
    bytes.put_u32_le(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    bytes.freeze()
}

fn damaged(what: &str) -> StoredFormatError {
    StoredFormatError::Damaged(what.to_owned())
}

fn take_address(bytes: &mut Bytes) -> Result<(DataId, ShardId), StoredFormatError> {
    if bytes.len() < DATA_ID_BYTES + 8 {
        return Err(damaged("it ends too early"));
    }
    let data = bytes.split_to(DATA_ID_BYTES);
    let data = std::str::from_utf8(&data).ok().and_then(|text| text.parse().ok());
    Ok((data.ok_or_else(|| damaged("a data id is none"))?, ShardId(bytes.get_u64_le())))
}

/// Reads what another broker asks. Copies no record.
pub(super) fn read_request(mut bytes: Bytes) -> Result<PeerRequest, StoredFormatError> {
    if bytes.len() < 2 {
        return Err(damaged("it ends too early"));
    }
    let version = bytes.get_u8();
    if version > FORWARD_VERSION {
        return Err(StoredFormatError::Newer(version));
    }
    match bytes.get_u8() {
        APPEND => {
            let mut groups = Vec::new();
            while !bytes.is_empty() {
                let (data, shard) = take_address(&mut bytes)?;
                if bytes.len() < 4 {
                    return Err(damaged("it ends too early"));
                }
                let length = bytes.get_u32_le() as usize;
                if bytes.len() < length {
                    return Err(damaged("it ends within a pack"));
                }
                let pack = Pack::decode(bytes.split_to(length)).map_err(|e| damaged(&e.to_string()))?;
                let mut records = Vec::with_capacity((pack.header.count as usize).min(length));
                for stored in pack.records() {
                    let stored = stored.map_err(|e| damaged(&e.to_string()))?;
                    records.push(Record {
                        partition_key: stored.partition_key,
                        explicit_hash_key: stored.explicit_hash_key,
                        data: stored.data,
                    });
                }
                groups.push(AppendGroup { data, shard, records });
            }
            Ok(PeerRequest::Append(groups))
        }
        TAIL => {
            let (data, shard) = take_address(&mut bytes)?;
            if bytes.len() < 12 {
                return Err(damaged("it ends too early"));
            }
            let (from, max_bytes) = (bytes.get_u64_le(), bytes.get_u32_le());
            let wait_ms = if bytes.len() >= 4 { bytes.get_u32_le() } else { 0 };
            let wait = Duration::from_millis(wait_ms.into());
            Ok(PeerRequest::Tail { data, shard, from, max_bytes, wait })
        }
        _ => Err(damaged("its kind is unknown")),
    }
}

/// An [`Outcome`] on its way.
#[derive(Encode, Decode)]
enum OutcomeFrame {
    #[n(0)]
    Placed(#[n(0)] u64, #[n(1)] u32),
    #[n(1)]
    Throttled,
    #[n(2)]
    Full,
    #[n(3)]
    Ended,
    #[n(4)]
    NotOwner,
    #[n(5)]
    Unavailable(#[n(0)] String),
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct TailFrame {
    #[n(0)]
    last: u64,
    #[n(1)]
    last_arrival_ms: i64,
    #[n(2)]
    closed: bool,
    #[n(3)]
    covered_after: u64,
    #[n(4)]
    packs: Vec<u64>,
    #[n(5)]
    lengths: Vec<u32>,
}

/// The answer to an append: the outcomes of each group.
pub(super) fn append_answer(groups: Vec<Vec<Outcome>>) -> Bytes {
    let frame = |outcome| match outcome {
        Outcome::Placed(position) => OutcomeFrame::Placed(position.pack, position.index),
        Outcome::Throttled => OutcomeFrame::Throttled,
        Outcome::Full => OutcomeFrame::Full,
        Outcome::Ended => OutcomeFrame::Ended,
        Outcome::NotOwner => OutcomeFrame::NotOwner,
        Outcome::Unavailable(why) => OutcomeFrame::Unavailable(why),
    };
    let groups: Vec<Vec<OutcomeFrame>> =
        groups.into_iter().map(|group| group.into_iter().map(frame).collect()).collect();
    cbor::versioned(FORWARD_VERSION, &groups).into()
}

/// Reads an [`append_answer`].
pub(super) fn read_append_answer(bytes: &[u8]) -> Result<Vec<Vec<Outcome>>, StoredFormatError> {
    let outcome = |frame| match frame {
        OutcomeFrame::Placed(pack, index) => Outcome::Placed(Position { pack, index }),
        OutcomeFrame::Throttled => Outcome::Throttled,
        OutcomeFrame::Full => Outcome::Full,
        OutcomeFrame::Ended => Outcome::Ended,
        OutcomeFrame::NotOwner => Outcome::NotOwner,
        OutcomeFrame::Unavailable(why) => Outcome::Unavailable(why),
    };
    let groups: Vec<Vec<OutcomeFrame>> = cbor::read_versioned(FORWARD_VERSION, bytes)?;
    Ok(groups.into_iter().map(|group| group.into_iter().map(outcome).collect()).collect())
}

/// The answer to a question for a tail; `None` when this broker can't tell.
pub(super) fn tail_answer(view: Option<&TailView>) -> Bytes {
    let frame = view.map(|view| TailFrame {
        last: view.last,
        last_arrival_ms: view.last_arrival_ms,
        closed: view.closed,
        covered_after: view.covered_after,
        packs: view.packs.iter().map(|pack| pack.sequence).collect(),
        lengths: view.packs.iter().map(|pack| pack.pack.len() as u32).collect(),
    });
    let head = cbor::versioned(FORWARD_VERSION, &frame);
    let packs = view.map_or(&[][..], |view| &view.packs);
    let size: usize = packs.iter().map(|pack| pack.pack.len()).sum();
    let mut bytes = BytesMut::with_capacity(4 + head.len() + size);
    bytes.put_u32_le(head.len() as u32);
    bytes.put_slice(&head);
    for pack in packs {
        bytes.put_slice(&pack.pack);
    }
    bytes.freeze()
}

/// Reads a [`tail_answer`].
pub(super) fn read_tail_answer(mut bytes: Bytes) -> Result<Option<TailView>, StoredFormatError> {
    if bytes.len() < 4 {
        return Err(damaged("it ends too early"));
    }
    let length = bytes.get_u32_le() as usize;
    if bytes.len() < length {
        return Err(damaged("it ends too early"));
    }
    let head = bytes.split_to(length);
    let frame: Option<TailFrame> = cbor::read_versioned(FORWARD_VERSION, &head)?;
    let Some(frame) = frame else { return Ok(None) };
    let mut packs = Vec::with_capacity(frame.packs.len());
    for (sequence, length) in frame.packs.into_iter().zip(frame.lengths) {
        if bytes.len() < length as usize {
            return Err(damaged("it ends within a pack"));
        }
        packs.push(TailPack { sequence, pack: bytes.split_to(length as usize) });
    }
    Ok(Some(TailView {
        last: frame.last,
        last_arrival_ms: frame.last_arrival_ms,
        closed: frame.closed,
        covered_after: frame.covered_after,
        packs,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn appends_reach_the_other_broker_as_they_were() {
        let records: Vec<Record> = (0..5_u8)
            .map(|n| Record {
                partition_key: Bytes::from(vec![b'a' + n]),
                explicit_hash_key: (n % 2 == 0).then_some(millrace_core::HashKey(u128::from(n))),
                data: Bytes::from(vec![n; 10]),
            })
            .collect();
        let incoming = Incoming::new(records.clone());
        let data = DataId::from_random(1);
        let groups = [(ShardId(3), vec![0, 2]), (ShardId(4), vec![1, 3, 4])];
        let request = read_request(append_request(BrokerId(1), &data, &groups, &incoming)).unwrap();
        let PeerRequest::Append(read) = request else { panic!("{request:?}") };
        assert_eq!((&read[1].data, read[1].shard), (&data, ShardId(4)));
        assert_eq!(read[0].records, [records[0].clone(), records[2].clone()]);
        assert_eq!(read[1].records, [records[1].clone(), records[3].clone(), records[4].clone()]);
        let outcomes = vec![
            vec![Outcome::Placed(Position { pack: 7, index: 1 }), Outcome::Throttled, Outcome::Full],
            vec![Outcome::Ended, Outcome::NotOwner, Outcome::Unavailable("why".into())],
        ];
        assert_eq!(read_append_answer(&append_answer(outcomes.clone())).unwrap(), outcomes);
    }

    #[test]
    fn tails_reach_the_other_broker_as_they_were() {
        let pack = |sequence| TailPack { sequence, pack: Bytes::from(vec![1; sequence as usize]) };
        let view = TailView {
            last: 9,
            last_arrival_ms: 8,
            closed: true,
            covered_after: 2,
            packs: vec![pack(5), pack(9)],
        };
        assert_eq!(read_tail_answer(tail_answer(Some(&view))).unwrap(), Some(view));
        assert_eq!(read_tail_answer(tail_answer(None)).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in any::<Vec<u8>>(), kind in 0u8..4) {
            let _ = read_append_answer(&bytes);
            let _ = read_tail_answer(bytes.clone().into());
            bytes.splice(0..0, [FORWARD_VERSION, kind]);
            let _ = read_request(bytes.into());
        }
    }
}
