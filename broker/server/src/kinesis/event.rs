//! What `SubscribeToShard` sends: frames of an event stream (source: "Amazon event stream encoding" in the
//! documentation of Amazon's protocols), with payloads in the form of the request.

use std::convert::Infallible;
use std::io::{self, Write};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use millrace_core::SequenceNumber;
use minicbor::Encoder;
use minicbor_serde::error::EncodeError;
use serde::Serialize;

use super::error::ApiError;
use super::format::Format;
use super::records;
use super::shards::ChildForm;
use crate::broker::ReadBatch;

/// What a frame has beside its payload, and a payload beside its records, in bytes.
const FRAME_BYTES: usize = 256;
const EVENT_BYTES: usize = 512;

/// The first frame: the operation's answer, which has no members.
pub(super) fn opened(format: Format) -> Result<Bytes, ApiError> {
    #[derive(Serialize)]
    struct Empty {}
    frame(
        format,
        &[(":message-type", "event"), (":event-type", "initial-response")],
        format.write(&Empty {})?,
    )
}

/// Records that were read. `place`: where a reader goes on who comes again; `None` at the shard's end.
pub(super) fn records_event(
    format: Format,
    batch: &ReadBatch,
    place: Option<SequenceNumber>,
    encrypted: bool,
) -> Result<Bytes, ApiError> {
    let mut payload = Vec::with_capacity(records::room(format, &batch.records) + EVENT_BYTES);
    let written = match format {
        Format::Json => json(&mut payload, batch, place, encrypted).map_err(|error| error.to_string()),
        Format::Cbor => cbor(&mut payload, batch, place, encrypted).map_err(|error| error.to_string()),
    };
    written.map_err(|error| unwritten(&error))?;
    frame(format, &[(":message-type", "event"), (":event-type", "SubscribeToShardEvent")], payload)
}

/// The error that ends a subscription.
pub(super) fn failed(format: Format, error: &ApiError) -> Result<Bytes, ApiError> {
    let kind = [(":message-type", "exception"), (":exception-type", error.name)];
    frame(format, &kind, error.body(format))
}

fn frame(
    format: Format,
    headers: &[(&'static str, &'static str)],
    payload: Vec<u8>,
) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::with_capacity(payload.len() + FRAME_BYTES);
    let mut message = Message::new(payload);
    for (name, value) in headers.iter().chain([&(":content-type", format.essence())]) {
        message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
    }
    write_message_to(&message, &mut bytes).map_err(|error| unwritten(&error.to_string()))?;
    Ok(bytes.into())
}

fn unwritten(error: &str) -> ApiError {
    tracing::error!(error, "an event can't be written");
    ApiError::internal()
}

fn json(
    out: &mut Vec<u8>,
    batch: &ReadBatch,
    place: Option<SequenceNumber>,
    encrypted: bool,
) -> io::Result<()> {
    write!(out, r#"{{"MillisBehindLatest":{}"#, batch.millis_behind.max(0))?;
    if let Some(place) = place {
        write!(out, r#","ContinuationSequenceNumber":"{place}""#)?;
    }
    if !batch.children.is_empty() {
        out.extend_from_slice(br#","ChildShards":"#);
        serde_json::to_writer(&mut *out, &ChildForm::of(batch))?;
    }
    out.extend_from_slice(br#","Records":"#);
    records::json(out, &batch.records, encrypted)?;
    out.push(b'}');
    Ok(())
}

fn cbor(
    out: &mut Vec<u8>,
    batch: &ReadBatch,
    place: Option<SequenceNumber>,
    encrypted: bool,
) -> Result<(), EncodeError<Infallible>> {
    let mut map = Encoder::new(out);
    map.map(2 + u64::from(place.is_some()) + u64::from(!batch.children.is_empty()))?;
    map.str("MillisBehindLatest")?.i64(batch.millis_behind.max(0))?;
    if let Some(place) = place {
        map.str("ContinuationSequenceNumber")?.str(&place.to_string())?;
    }
    if !batch.children.is_empty() {
        map.str("ChildShards")?;
        ChildForm::of(batch).serialize(&mut minicbor_serde::Serializer::new(map.writer_mut()))?;
    }
    map.str("Records")?;
    records::cbor(&mut map, &batch.records, encrypted)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::shards::tests::open;
    use super::*;
    use aws_smithy_eventstream::frame::read_message_from;
    use millrace_core::map::Parents;
    use millrace_core::{Position, StoredRecord};
    use serde_json::{Value, json};

    fn read(frame: &Bytes) -> (Vec<(String, String)>, Bytes) {
        let message = read_message_from(&frame[..]).unwrap();
        let text = |header: &Header| header.value().as_string().unwrap().as_str().to_owned();
        let headers =
            message.headers().iter().map(|header| (header.name().as_str().to_owned(), text(header)));
        (headers.collect(), message.payload().clone())
    }

    fn headers(kind: &str, name: &str, value: &str, format: Format) -> Vec<(String, String)> {
        [(":message-type", kind), (name, value), (":content-type", format.essence())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn events_are_frames_with_payloads_in_the_form_of_the_request() {
        let sequence = SequenceNumber { epoch: 1, position: Position { pack: 2, index: 3 } };
        let record = StoredRecord {
            partition_key: Bytes::from_static(b"k"),
            explicit_hash_key: None,
            arrival_ms: 1_000,
            data: Bytes::from_static(b""),
        };
        let batch = ReadBatch {
            records: vec![(sequence, record)],
            next: None,
            millis_behind: 5,
            children: vec![open(8, 0, Parents::default())],
        };
        for format in [Format::Json, Format::Cbor] {
            let (seen, payload) = read(&opened(format).unwrap());
            assert_eq!(seen, headers("event", ":event-type", "initial-response", format));
            assert_eq!(format.read::<Value>(&payload).unwrap(), json!({}));

            let (seen, payload) = read(&records_event(format, &batch, None, false).unwrap());
            assert_eq!(seen, headers("event", ":event-type", "SubscribeToShardEvent", format));
            if format == Format::Json {
                let event: Value = format.read(&payload).unwrap();
                assert_eq!(
                    (&event["MillisBehindLatest"], event["Records"][0]["Data"].as_str()),
                    (&json!(5), Some(""))
                );
                assert_eq!(event["ChildShards"][0]["ShardId"], "shardId-000000000008");
                assert_eq!(event.get("ContinuationSequenceNumber"), None);
            }
            let quiet = ReadBatch { records: Vec::new(), children: Vec::new(), ..batch.clone() };
            let (_, payload) = read(&records_event(format, &quiet, Some(sequence), false).unwrap());
            let expected = json!({"MillisBehindLatest": 5, "ContinuationSequenceNumber": sequence.to_string(), "Records": []});
            assert_eq!(format.read::<Value>(&payload).unwrap(), expected);

            let (seen, payload) = read(&failed(format, &ApiError::in_use("taken over")).unwrap());
            assert_eq!(seen, headers("exception", ":exception-type", "ResourceInUseException", format));
            assert_eq!(format.read::<Value>(&payload).unwrap()["message"], "taken over");
        }
    }
}
