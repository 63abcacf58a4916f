//! The event of a batch of records.

use std::io::Write;

use base64_simd::STANDARD;
use millrace_core::{SequenceNumber, ShardId, StoredRecord};

use super::json::{put_string, string_bytes, timestamp};

/// A record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Its sequence number.
    pub sequence: SequenceNumber,
    /// Partition key, arrival and data.
    pub record: StoredRecord,
}

impl EventRecord {
    /// Its partition key. Brokers take UTF-8 alone.
    pub fn partition_key(&self) -> &str {
        std::str::from_utf8(&self.record.partition_key).unwrap_or_default()
    }
}

/// Where the records of a shard come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The shard.
    pub shard: ShardId,
    /// The ARN of the stream.
    pub stream_arn: String,
    /// The region in that ARN.
    pub region: String,
    /// On whose behalf the function is invoked.
    pub invoke_identity_arn: String,
}

/// What an event says of its tumbling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFields<'a> {
    /// Its first millisecond, in Unix time.
    pub start_ms: i64,
    /// The first millisecond after it.
    pub end_ms: i64,
    /// What the function answered last, a JSON object.
    pub state: &'a str,
    /// Whether this is the last invocation with that state.
    pub is_final: bool,
    /// Whether it is so before the window's end.
    pub terminated_early: bool,
}

/// Writes the events of one shard.
#[derive(Clone, Debug)]
pub struct EventWriter {
    origin: Origin,
    /// Of a record, from after its arrival to its shard; and from after its sequence number on.
    middle: Vec<u8>,
    tail: Vec<u8>,
}

const HEAD: &[u8] = br#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#;
const SEQUENCE: &[u8] = br#","sequenceNumber":""#;
const DATA: &[u8] = br#"","data":""#;
const ARRIVAL: &[u8] = br#"","approximateArrivalTimestamp":"#;
const SEQUENCE_DIGITS: usize = 39;

impl EventWriter {
    /// A writer for the records of a shard.
    pub fn new(origin: Origin) -> EventWriter {
        let mut middle = br#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":""#.to_vec();
        middle.extend_from_slice(format!("{}:", origin.shard).as_bytes());
        let mut tail = br#"","eventName":"aws:kinesis:record","invokeIdentityArn":"#.to_vec();
        put_string(&mut tail, &origin.invoke_identity_arn);
        tail.extend_from_slice(br#","awsRegion":"#);
        put_string(&mut tail, &origin.region);
        tail.extend_from_slice(br#","eventSourceARN":"#);
        put_string(&mut tail, &origin.stream_arn);
        tail.push(b'}');
        EventWriter { origin, middle, tail }
    }

    /// Where the records come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How long a record is in an event, in bytes, with the comma after it.
    pub fn record_bytes(&self, record: &EventRecord) -> usize {
        let fixed = HEAD.len() + SEQUENCE.len() + DATA.len() + ARRIVAL.len();
        let data = STANDARD.encoded_length(record.record.data.len());
        let digits = |number: u64| number.checked_ilog10().unwrap_or(0) as usize + 1;
        let arrival_s = record.record.arrival_ms.div_euclid(1_000);
        let arrival = usize::from(arrival_s < 0) + digits(arrival_s.unsigned_abs()) + 4;
        fixed
            + string_bytes(record.partition_key())
            + 2 * SEQUENCE_DIGITS
            + data
            + arrival
            + self.middle.len()
            + self.tail.len()
            + 1
    }

    /// How long an event is beside its records, in bytes, at most.
    pub fn envelope_bytes(&self, state_bytes: usize) -> usize {
        256 + string_bytes(&self.origin.stream_arn) + state_bytes
    }

    /// The event of a batch.
    pub fn event(&self, records: &[EventRecord], window: Option<WindowFields<'_>>) -> Vec<u8> {
        let bytes = records.iter().map(|record| self.record_bytes(record)).sum::<usize>();
        let state_bytes = window.map_or(0, |window| window.state.len());
        let mut out = Vec::with_capacity(bytes + self.envelope_bytes(state_bytes));
        out.extend_from_slice(br#"{"Records":["#);
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.put_record(&mut out, record);
        }
        out.push(b']');
        if let Some(window) = window {
            self.put_window(&mut out, window);
        }
        out.push(b'}');
        out
    }

    fn put_record(&self, out: &mut Vec<u8>, record: &EventRecord) {
        // Writing to memory can't fail.
        out.extend_from_slice(HEAD);
        put_string(out, record.partition_key());
        out.extend_from_slice(SEQUENCE);
        let sequence = out.len();
        let _ = write!(out, "{}", record.sequence);
        let sequence = sequence..out.len();
        out.extend_from_slice(DATA);
        STANDARD.encode_append(&record.record.data, out);
        out.extend_from_slice(ARRIVAL);
        let arrival_ms = record.record.arrival_ms;
        let _ = write!(out, "{}.{:03}", arrival_ms.div_euclid(1_000), arrival_ms.rem_euclid(1_000));
        out.extend_from_slice(&self.middle);
        out.extend_from_within(sequence);
        out.extend_from_slice(&self.tail);
    }

    fn put_window(&self, out: &mut Vec<u8>, window: WindowFields<'_>) {
        let (start, end) = (timestamp(window.start_ms), timestamp(window.end_ms));
        // Windows begin and end with a second.
        let whole = |time: &str| time.replace(".000Z", "Z");
        let _ = write!(
            out,
            r#","window":{{"start":"{}","end":"{}"}},"state":{},"shardId":"{}","eventSourceARN":"#,
            whole(&start),
            whole(&end),
            window.state,
            self.origin.shard
        );
        put_string(out, &self.origin.stream_arn);
        let _ = write!(
            out,
            r#","isFinalInvokeForWindow":{},"isWindowTerminatedEarly":{}"#,
            window.is_final, window.terminated_early
        );
    }
}
