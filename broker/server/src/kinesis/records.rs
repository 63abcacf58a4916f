//! Records as readers get them, in the answer to `GetRecords`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::{self, Write};

use base64_simd::STANDARD;
use millrace_core::{SequenceNumber, StoredRecord};
use minicbor::Encoder;
use minicbor::data::IanaTag;
use minicbor::encode::Error;

use super::format::Format;

/// What a record has beside its data and key, in bytes.
const RECORD_BYTES: usize = 144;

/// The room that records take.
pub(super) fn room(format: Format, records: &[(SequenceNumber, StoredRecord)]) -> usize {
    let data = |bytes: usize| match format {
        Format::Json => bytes.div_ceil(3) * 4,
        Format::Cbor => bytes,
    };
    let size = |record: &StoredRecord| RECORD_BYTES + record.partition_key.len() + data(record.data.len());
    records.iter().map(|(_, record)| size(record)).sum()
}

/// Writes records as JSON, their data in base64 right where it belongs. `encrypted`: whether they are said to be.
pub(super) fn json(
    out: &mut Vec<u8>,
    records: &[(SequenceNumber, StoredRecord)],
    encrypted: bool,
) -> io::Result<()> {
    out.push(b'[');
    for (index, (sequence, record)) in records.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let (seconds, millis) = (record.arrival_ms.max(0) / 1_000, record.arrival_ms.max(0) % 1_000);
        write!(out, r#"{{"ApproximateArrivalTimestamp":{seconds}.{millis:03},"Data":""#)?;
        STANDARD.encode_append(&record.data, out);
        out.push(b'"');
        if encrypted {
            out.extend_from_slice(br#","EncryptionType":"KMS""#);
        }
        if let Some(key) = key(record) {
            out.extend_from_slice(br#","PartitionKey":"#);
            serde_json::to_writer(&mut *out, &key)?;
        }
        write!(out, r#","SequenceNumber":"{sequence}"}}"#)?;
    }
    out.push(b']');
    Ok(())
}

/// Writes records as CBOR.
pub(super) fn cbor(
    out: &mut Encoder<&mut Vec<u8>>,
    records: &[(SequenceNumber, StoredRecord)],
    encrypted: bool,
) -> Result<(), Error<Infallible>> {
    out.array(records.len() as u64)?;
    for (sequence, record) in records {
        let key = key(record);
        out.map(3 + u64::from(encrypted) + u64::from(key.is_some()))?;
        out.str("ApproximateArrivalTimestamp")?.tag(IanaTag::Timestamp)?.i64(record.arrival_ms.max(0))?;
        out.str("Data")?.bytes(&record.data)?;
        if encrypted {
            out.str("EncryptionType")?.str("KMS")?;
        }
        if let Some(key) = key {
            out.str("PartitionKey")?.str(&key)?;
        }
        out.str("SequenceNumber")?.str(&sequence.to_string())?;
    }
    Ok(())
}

/// A record's key; one that was put without has none. It was checked to be UTF-8 where it came in, and its pack has a
/// checksum.
fn key(record: &StoredRecord) -> Option<Cow<'_, str>> {
    let key = &record.partition_key;
    (!key.is_empty()).then(|| String::from_utf8_lossy(key))
}
