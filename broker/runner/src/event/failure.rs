//! What the failure destination of a stream's source is given: Lambda's record of the failed batch, and in `payload`
//! the event itself as a JSON string, as Lambda writes it to S3.

use serde::Serialize;

use super::json::{string_bytes, timestamp};
use super::{EventRecord, EventWriter, ResponseContext};

/// Why records were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StreamCondition {
    /// The function failed as often as it may.
    RetryAttemptsExhausted,
    /// They became older than they may.
    RecordAgeExceeded,
}

/// A batch that was given up.
#[derive(Clone, Debug)]
pub struct StreamFailure<'a> {
    /// The id of the last invocation, or a new one if there was none.
    pub request_id: &'a str,
    /// The function.
    pub function_arn: &'a str,
    /// Why.
    pub condition: StreamCondition,
    /// How often it was invoked with these records.
    pub invoke_count: u32,
    /// What came of the last invocation; none if there was none.
    pub response: Option<ResponseContext>,
    /// When, in Unix milliseconds.
    pub now_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    request_context: RequestContext<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<&'a ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    batch: BatchInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_part: Option<Part>,
    payload: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: &'a str,
    condition: StreamCondition,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

#[derive(Clone, Copy, Serialize)]
struct Part {
    index: usize,
    count: usize,
}

/// What a failure record takes beside its payload and names, at most, in bytes.
const FRAME_BYTES: usize = 1_024;
/// The least that a part of a payload has room for, in bytes, however small the destination's records are.
const LEAST_PART_BYTES: usize = 1_024;

impl StreamFailure<'_> {
    /// The failure records for a batch, none of them longer than `max_bytes`.
    ///
    /// A batch that is too long becomes several, each complete with some of its records. A single record that is
    /// too long by itself becomes several that have `payloadPart`: their payloads are to be joined in that order.
    pub fn records(&self, writer: &EventWriter, records: &[EventRecord], max_bytes: usize) -> Vec<Vec<u8>> {
        let names = [&writer.origin().stream_arn, self.function_arn, self.request_id];
        let version = self.response.as_ref().map_or(0, |response| string_bytes(&response.executed_version));
        let frame = FRAME_BYTES + version + names.iter().map(|name| string_bytes(name)).sum::<usize>();
        let room = max_bytes.saturating_sub(frame).max(LEAST_PART_BYTES);
        let mut rest = records;
        let mut documents = Vec::new();
        while !rest.is_empty() {
            let (batch, payload) = self.next_payload(writer, rest, room);
            rest = &rest[batch.len()..];
            let parts = cut(&payload, room);
            let count = parts.len();
            for (index, part) in parts.into_iter().enumerate() {
                let part_of = (count > 1).then_some(Part { index, count });
                documents.push(self.document(writer, batch, part, part_of));
            }
        }
        documents
    }

    /// The longest run of records whose event fits as a string, or the first one alone; and the event.
    fn next_payload<'r>(
        &self,
        writer: &EventWriter,
        records: &'r [EventRecord],
        room: usize,
    ) -> (&'r [EventRecord], String) {
        let mut bytes = writer.envelope_bytes(0);
        let fits = |record: &&EventRecord| {
            bytes += writer.record_bytes(record);
            bytes <= room
        };
        let mut count = records.iter().take_while(fits).count().max(1);
        loop {
            let event = writer.event(&records[..count], None);
            // It is made of texts.
            let event = String::from_utf8(event).unwrap_or_default();
            if count == 1 || string_bytes(&event) <= room {
                return (&records[..count], event);
            }
            // Its quotes are escaped in a string: that is a fifth more where records are small.
            count = (count * 3 / 4).max(1);
        }
    }

    fn document(
        &self,
        writer: &EventWriter,
        batch: &[EventRecord],
        payload: &str,
        payload_part: Option<Part>,
    ) -> Vec<u8> {
        let (first, last) = (&batch[0], &batch[batch.len() - 1]);
        let document = Document {
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition,
                approximate_invoke_count: self.invoke_count,
            },
            response_context: self.response.as_ref(),
            version: "1.0",
            timestamp: timestamp(self.now_ms),
            batch: BatchInfo {
                shard_id: writer.origin().shard.to_string(),
                start_sequence_number: first.sequence.to_string(),
                end_sequence_number: last.sequence.to_string(),
                approximate_arrival_of_first_record: timestamp(first.record.arrival_ms),
                approximate_arrival_of_last_record: timestamp(last.record.arrival_ms),
                batch_size: batch.len(),
                stream_arn: &writer.origin().stream_arn,
            },
            payload_part,
            payload,
        };
        // Texts and numbers alone: that can't fail.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// Cuts a text into pieces that are no longer than `room` as JSON strings.
fn cut(text: &str, room: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while string_bytes(rest) > room {
        // Events escape what is not ASCII in no way: half of the room is enough for the worst.
        let mut end = rest.floor_char_boundary((room - 2).min(rest.len()));
        while string_bytes(&rest[..end]) > room {
            end = rest.floor_char_boundary(end * 3 / 4);
        }
        let (piece, next) = rest.split_at(end);
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    pieces
}
