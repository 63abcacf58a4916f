//! Packs: many records of one shard in one JetStream message.
//!
//! Layout, version 1 (integers little-endian, `v` = LEB128 varint):
//!
//! ```text
//! version u8 = 1 | kind u8 | owner u64 | pack id u64 | count u32 | first arrival i64 (Unix ms)
//! DATA:  count times: arrival v (ms since the record before)
//!                     | key length v * 2 + (1 if an explicit hash key follows) | key | [hash key u128]
//!                     | data length v | data
//! CLOSE: reshard's epoch v
//! CRC32C u32 of everything before it
//! ```
//!
//! Owner and pack id tell one attempt to append from every other: they settle an append in doubt.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::hash::HashKey;
use crate::id::BrokerId;
use crate::sequence::{Epoch, MAX_RECORDS_PER_PACK};

/// The version that is written.
const VERSION: u8 = 1;
/// Version, kind, owner, pack id, count, first arrival.
const HEADER_BYTES: usize = 1 + 1 + 8 + 8 + 4 + 8;
const CRC_BYTES: usize = 4;
/// Varints of arrival, key and data, and an explicit hash key: the most that a record takes beside its key and
/// data.
const RECORD_OVERHEAD_BYTES: usize = 10 + 5 + 16 + 5;

/// A pack takes no further record that would make it longer than this. A single larger record goes alone.
pub const MAX_PACK_BYTES: usize = 1 << 20;

/// A record as its writer gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition key: UTF-8, 1 to 256 characters (checked where it came in).
    pub partition_key: Bytes,
    /// The place in the hash space that the writer chose, instead of the key's MD5.
    pub explicit_hash_key: Option<HashKey>,
    /// The payload.
    pub data: Bytes,
}

impl Record {
    /// The record's place in the hash space.
    pub fn hash_key(&self) -> HashKey {
        self.explicit_hash_key.unwrap_or_else(|| {
            HashKey::of_partition_key(std::str::from_utf8(&self.partition_key).unwrap_or(""))
        })
    }

    /// What counts against a shard's throughput: partition key and data, in bytes.
    pub fn billed_bytes(&self) -> usize {
        self.partition_key.len() + self.data.len()
    }

    /// The most that the record takes in a pack, in bytes.
    pub fn packed_bytes(&self) -> usize {
        self.billed_bytes() + RECORD_OVERHEAD_BYTES
    }
}

/// A record as it is stored. Key and data share the pack's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// The partition key.
    pub partition_key: Bytes,
    /// The place in the hash space that the writer chose, if it did.
    pub explicit_hash_key: Option<HashKey>,
    /// When the owner took the record, in Unix milliseconds. Never decreases within a shard.
    pub arrival_ms: i64,
    /// The payload.
    pub data: Bytes,
}

/// What a pack is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackKind {
    /// A shard's first message, and the first one of an owner that found the shard empty.
    Open,
    /// Records.
    Data,
    /// A shard's last message: the fence.
    Close {
        /// The epoch of the reshard that ends the shard.
        reshard: Epoch,
    },
}

/// What a pack says of itself before its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// What it is for.
    pub kind: PackKind,
    /// Who wrote it.
    pub owner: BrokerId,
    /// The owner's number for it, never used twice by one owner.
    pub pack_id: u64,
    /// How many records it holds.
    pub count: u32,
}

/// Bytes that are no pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// A later Millrace wrote it.
    #[error(
        "the pack has version {0}, which this version does not know: run the version that wrote it, or a later one"
    )]
    Newer(u8),
    /// The checksum does not match.
    #[error("the pack's checksum does not match: it was damaged in storage or on its way")]
    Checksum,
    /// It ends too early, or what it says of itself does not fit.
    #[error("the pack is malformed: {0}")]
    Malformed(&'static str),
}

/// Writes one data pack.
#[derive(Debug)]
pub struct PackBuilder {
    bytes: BytesMut,
    count: u32,
    last_arrival_ms: i64,
}

impl PackBuilder {
    /// A pack without records yet, with room for `capacity_bytes` of them. `arrival_ms` is when its first
    /// record arrives.
    pub fn new(owner: BrokerId, pack_id: u64, arrival_ms: i64, capacity_bytes: usize) -> PackBuilder {
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + capacity_bytes + CRC_BYTES);
        put_header(&mut bytes, 1, owner, pack_id, arrival_ms);
        PackBuilder { bytes, count: 0, last_arrival_ms: arrival_ms }
    }

    /// Whether the record still fits. A pack without records takes any.
    pub fn fits(&self, record: &Record) -> bool {
        self.count == 0
            || (self.bytes.len() + record.packed_bytes() + CRC_BYTES <= MAX_PACK_BYTES
                && (self.count as usize) < MAX_RECORDS_PER_PACK)
    }

    /// Adds a record that arrived at `arrival_ms`, or at the time of the one before it if that is later.
    /// Returns its index in the pack.
    pub fn push(&mut self, record: &Record, arrival_ms: i64) -> u32 {
        let arrival_ms = arrival_ms.max(self.last_arrival_ms);
        put_varint(&mut self.bytes, arrival_ms.abs_diff(self.last_arrival_ms));
        self.last_arrival_ms = arrival_ms;
        let explicit = u64::from(record.explicit_hash_key.is_some());
        put_varint(&mut self.bytes, record.partition_key.len() as u64 * 2 + explicit);
        self.bytes.put_slice(&record.partition_key);
        if let Some(key) = record.explicit_hash_key {
            self.bytes.put_u128_le(key.0);
        }
        put_varint(&mut self.bytes, record.data.len() as u64);
        self.bytes.put_slice(&record.data);
        self.count += 1;
        self.count - 1
    }

    /// How many records the pack has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The bytes to store.
    pub fn finish(mut self) -> Bytes {
        let at = HEADER_BYTES - 12;
        self.bytes[at..at + 4].copy_from_slice(&self.count.to_le_bytes());
        seal(self.bytes)
    }
}

/// An OPEN.
pub fn open_pack(owner: BrokerId, pack_id: u64, now_ms: i64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + CRC_BYTES);
    put_header(&mut bytes, 0, owner, pack_id, now_ms);
    seal(bytes)
}

/// A CLOSE, written for the reshard of this epoch.
pub fn close_pack(owner: BrokerId, pack_id: u64, now_ms: i64, reshard: Epoch) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + 10 + CRC_BYTES);
    put_header(&mut bytes, 2, owner, pack_id, now_ms);
    put_varint(&mut bytes, reshard);
    seal(bytes)
}

fn put_header(bytes: &mut BytesMut, kind: u8, owner: BrokerId, pack_id: u64, arrival_ms: i64) {
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u64_le(owner.0);
    bytes.put_u64_le(pack_id);
    bytes.put_u32_le(0);
    bytes.put_i64_le(arrival_ms);
}

fn seal(mut bytes: BytesMut) -> Bytes {
    let crc = crc32c::crc32c(&bytes);
    bytes.put_u32_le(crc);
    bytes.freeze()
}

/// A pack that was read back, its checksum verified.
#[derive(Clone, Debug)]
pub struct Pack {
    /// What it says of itself.
    pub header: PackHeader,
    /// When its first record arrived, or it was written, in Unix milliseconds.
    pub first_arrival_ms: i64,
    records: Bytes,
}

impl Pack {
    /// Reads a stored pack. Copies nothing.
    ///
    /// # Errors
    /// When the bytes are not a whole, undamaged pack of a version known here.
    pub fn decode(bytes: Bytes) -> Result<Pack, PackError> {
        let &version = bytes.first().ok_or(PackError::Malformed("it is empty"))?;
        if version > VERSION {
            return Err(PackError::Newer(version));
        }
        if bytes.len() < HEADER_BYTES + CRC_BYTES {
            return Err(PackError::Malformed("it is shorter than a header"));
        }
        let (body, mut crc) =
            (bytes.slice(..bytes.len() - CRC_BYTES), bytes.slice(bytes.len() - CRC_BYTES..));
        if crc32c::crc32c(&body) != crc.get_u32_le() {
            return Err(PackError::Checksum);
        }
        let mut rest = body;
        rest.advance(1);
        let kind = rest.get_u8();
        let (owner, pack_id, count) = (BrokerId(rest.get_u64_le()), rest.get_u64_le(), rest.get_u32_le());
        let first_arrival_ms = rest.get_i64_le();
        let kind = match kind {
            0 => PackKind::Open,
            1 => PackKind::Data,
            2 => PackKind::Close { reshard: take_varint(&mut rest)? },
            _ => return Err(PackError::Malformed("its kind is unknown")),
        };
        let header = PackHeader { kind, owner, pack_id, count };
        Ok(Pack { header, first_arrival_ms, records: rest })
    }

    /// Its records, in order.
    pub fn records(&self) -> Records {
        Records { rest: self.records.clone(), left: self.header.count, arrival_ms: self.first_arrival_ms }
    }

    /// When its last record arrived, in Unix milliseconds.
    pub fn last_arrival_ms(&self) -> i64 {
        self.records().flatten().last().map_or(self.first_arrival_ms, |record| record.arrival_ms)
    }
}

/// The records of a pack, in order.
#[derive(Clone, Debug)]
pub struct Records {
    rest: Bytes,
    left: u32,
    arrival_ms: i64,
}

impl Records {
    fn take(&mut self) -> Result<StoredRecord, PackError> {
        let passed_ms = i64::try_from(take_varint(&mut self.rest)?).unwrap_or(i64::MAX);
        self.arrival_ms = self.arrival_ms.saturating_add(passed_ms);
        let key = take_varint(&mut self.rest)?;
        let partition_key = take_bytes(&mut self.rest, key / 2)?;
        let explicit_hash_key = match key % 2 {
            1 => Some(HashKey(take_bytes(&mut self.rest, 16)?.get_u128_le())),
            _ => None,
        };
        let length = take_varint(&mut self.rest)?;
        let data = take_bytes(&mut self.rest, length)?;
        Ok(StoredRecord { partition_key, explicit_hash_key, arrival_ms: self.arrival_ms, data })
    }
}

impl Iterator for Records {
    type Item = Result<StoredRecord, PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = self.take();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

fn put_varint(bytes: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        bytes.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.put_u8(number as u8);
}

fn take_varint(bytes: &mut Bytes) -> Result<u64, PackError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return Err(PackError::Malformed("it ends within a number"));
        }
        let byte = bytes.get_u8();
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(PackError::Malformed("a number is too long"))
}

fn take_bytes(bytes: &mut Bytes, length: u64) -> Result<Bytes, PackError> {
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() => Ok(bytes.split_to(length)),
        _ => Err(PackError::Malformed("it ends within a record")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = Vec<(Record, i64)>> {
        let record = (any::<String>(), any::<Option<u128>>(), any::<Vec<u8>>(), 0i64..1 << 45);
        proptest::collection::vec(record, 1..20).prop_map(|records| {
            let mut clock = 0;
            let stored = records.into_iter().map(|(key, hash, data, at)| {
                clock = clock.max(at);
                let record = Record {
                    partition_key: Bytes::from(key),
                    explicit_hash_key: hash.map(HashKey),
                    data: Bytes::from(data),
                };
                (record, clock)
            });
            stored.collect()
        })
    }

    fn build(records: &[(Record, i64)]) -> Bytes {
        let mut builder = PackBuilder::new(BrokerId(7), 9, records[0].1, 0);
        for (record, arrival_ms) in records {
            builder.push(record, *arrival_ms);
        }
        builder.finish()
    }

    #[test]
    fn the_written_form_stays_what_it_is() {
        let record = Record {
            partition_key: Bytes::from_static(b"k"),
            explicit_hash_key: Some(HashKey(1)),
            data: Bytes::from_static(b"data"),
        };
        let bytes = build(&[(record.clone(), 5), (Record { explicit_hash_key: None, ..record }, 6)]);
        assert_eq!(
            hex::encode(&bytes),
            "0101070000000000000009000000000000000200000005000000000000000003\
             6b0100000000000000000000000000000004646174610102\
             6b0464617461a9cc25cf"
        );
    }

    #[test]
    fn open_and_close_say_who_wrote_them() {
        let open = Pack::decode(open_pack(BrokerId(1), 2, 3)).unwrap();
        assert_eq!(
            open.header,
            PackHeader { kind: PackKind::Open, owner: BrokerId(1), pack_id: 2, count: 0 }
        );
        let close = Pack::decode(close_pack(BrokerId(1), 2, 3, 400)).unwrap();
        assert_eq!(close.header.kind, PackKind::Close { reshard: 400 });
        assert_eq!(close.records().count(), 0);
    }

    #[test]
    fn a_pack_of_a_later_version_is_named_as_such() {
        let mut bytes = open_pack(BrokerId(1), 2, 3).to_vec();
        bytes[0] = 2;
        assert_eq!(Pack::decode(bytes.into()).unwrap_err(), PackError::Newer(2));
    }

    #[test]
    fn a_pack_that_has_records_takes_no_more_than_a_mebibyte() {
        let record = Record {
            partition_key: Bytes::from_static(b"k"),
            explicit_hash_key: None,
            data: Bytes::from(vec![0; 300_000]),
        };
        let huge = Record { data: Bytes::from(vec![0; 3_000_000]), ..record.clone() };
        let mut builder = PackBuilder::new(BrokerId(7), 9, 0, 0);
        assert!(builder.fits(&huge));
        while builder.fits(&record) {
            builder.push(&record, 0);
        }
        assert_eq!(builder.count(), 3);
        assert!(builder.finish().len() <= MAX_PACK_BYTES);
    }

    proptest! {
        #[test]
        fn packs_round_trip(records in records()) {
            let pack = Pack::decode(build(&records)).unwrap();
            prop_assert_eq!(pack.header.count as usize, records.len());
            prop_assert_eq!(pack.last_arrival_ms(), records.last().unwrap().1);
            let read: Result<Vec<_>, _> = pack.records().collect();
            let read: Vec<_> = read.unwrap().into_iter().map(|stored| {
                let StoredRecord { partition_key, explicit_hash_key, arrival_ms, data } = stored;
                (Record { partition_key, explicit_hash_key, data }, arrival_ms)
            }).collect();
            prop_assert_eq!(read, records);
        }

        #[test]
        fn a_pack_with_any_bit_changed_is_refused(records in records(), bit in any::<prop::sample::Index>()) {
            let mut bytes = build(&records).to_vec();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Pack::decode(bytes.into()).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in any::<Vec<u8>>()) {
            bytes.insert(0, 1);
            let crc = crc32c::crc32c(&bytes);
            bytes.extend(crc.to_le_bytes());
            if let Ok(pack) = Pack::decode(bytes.into()) {
                let _ = pack.records().count();
            }
        }
    }
}
