//! `PutRecord`, `PutRecords`.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use minicbor::Encoder;
use minicbor::encode::Error;

use super::error::{ApiError, put_failure};
use super::format::Format;
use super::input::as_str;
use super::put_input::{PutRecordInput, PutRecordsInput, RecordRules};
use super::{Account, Call};
use crate::broker::{Placed, PutError, Stream};

/// A record's part of an answer, in bytes: a sequence number of 39 digits, a shard's id, and the JSON around.
const RESULT_BYTES: usize = 112;

pub(super) async fn put_record(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordInput<'_> = call.format.read(body)?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn));
    let record = input.record(rules(&stream))?;
    let stream = stream?;
    call.check_dry_run(&stream, input.dry_run)?;
    match call.broker().put(&stream, vec![record]).await.pop() {
        Some(Ok(placed)) => Ok(write_placed(call.format, &placed, stream.is_encrypted())),
        Some(Err(error)) => Err(ApiError::of_put(&error, &stream, &call.account)),
        None => Err(ApiError::internal()),
    }
}

pub(super) async fn put_records(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordsInput<'_> = call.format.read(body)?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn));
    let records = input.records(rules(&stream))?;
    let stream = stream?;
    call.check_dry_run(&stream, input.dry_run)?;
    let results = call.broker().put(&stream, records).await;
    Ok(write_results(call.format, &results, &stream, &call.account))
}

/// The rules of the stream that a request means. The request is checked before it is said that there is none.
fn rules(stream: &Result<Arc<Stream>, ApiError>) -> RecordRules {
    stream.as_ref().map(|stream| RecordRules::of(stream)).unwrap_or_default()
}

/// The answer to `PutRecord`.
fn write_placed(format: Format, placed: &Placed, encrypted: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(RESULT_BYTES);
    match format {
        Format::Json if encrypted => {
            let Placed { sequence, shard } = placed;
            put(write!(
                out,
                r#"{{"SequenceNumber":"{sequence}","ShardId":"{shard}","EncryptionType":"KMS"}}"#
            ));
        }
        Format::Json => json_placed(&mut out, placed),
        Format::Cbor => {
            let mut map = Encoder::new(&mut out);
            put(map.map(2 + u64::from(encrypted)).and_then(|map| cbor_placed(map, placed)));
            put(cbor_encryption(&mut map, encrypted));
        }
    }
    out
}

/// The answer to `PutRecords`: records fail one by one.
fn write_results(
    format: Format,
    results: &[Result<Placed, PutError>],
    stream: &Stream,
    account: &Account,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + results.len() * RESULT_BYTES);
    match format {
        Format::Json => put(json_results(&mut out, results, stream, account)),
        Format::Cbor => put(cbor_results(&mut Encoder::new(&mut out), results, stream, account)),
    }
    out
}

fn json_results(
    out: &mut Vec<u8>,
    results: &[Result<Placed, PutError>],
    stream: &Stream,
    account: &Account,
) -> io::Result<()> {
    let failed = failed(results);
    let encryption = if stream.is_encrypted() { r#""EncryptionType":"KMS","# } else { "" };
    write!(out, r#"{{{encryption}"FailedRecordCount":{failed},"Records":["#)?;
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            Ok(placed) => json_placed(out, placed),
            Err(error) => {
                // Names of streams and shards, and our own texts: nothing that JSON would have to escape.
                let (code, message) = put_failure(error, &stream.name, account);
                write!(out, r#"{{"ErrorCode":"{code}","ErrorMessage":"{message}"}}"#)?;
            }
        }
    }
    out.extend_from_slice(b"]}");
    Ok(())
}

fn json_placed(out: &mut Vec<u8>, placed: &Placed) {
    put(write!(out, r#"{{"SequenceNumber":"{}","ShardId":"{}"}}"#, placed.sequence, placed.shard));
}

fn cbor_results(
    out: &mut Encoder<&mut Vec<u8>>,
    results: &[Result<Placed, PutError>],
    stream: &Stream,
    account: &Account,
) -> Result<(), Error<Infallible>> {
    out.map(2 + u64::from(stream.is_encrypted()))?;
    cbor_encryption(out, stream.is_encrypted())?;
    out.str("FailedRecordCount")?.u64(failed(results) as u64)?;
    out.str("Records")?.array(results.len() as u64)?;
    for result in results {
        out.map(2)?;
        match result {
            Ok(placed) => cbor_placed(out, placed)?,
            Err(error) => {
                let (code, message) = put_failure(error, &stream.name, account);
                out.str("ErrorCode")?.str(code)?.str("ErrorMessage")?.str(&message)?;
            }
        }
    }
    Ok(())
}

/// The two members of a record that is stored.
fn cbor_placed(out: &mut Encoder<&mut Vec<u8>>, placed: &Placed) -> Result<(), Error<Infallible>> {
    out.str("SequenceNumber")?.str(&placed.sequence.to_string())?;
    out.str("ShardId")?.str(&placed.shard.to_string())?;
    Ok(())
}

fn cbor_encryption(out: &mut Encoder<&mut Vec<u8>>, encrypted: bool) -> Result<(), Error<Infallible>> {
    if encrypted {
        out.str("EncryptionType")?.str("KMS")?;
    }
    Ok(())
}

fn failed(results: &[Result<Placed, PutError>]) -> usize {
    results.iter().filter(|result| result.is_err()).count()
}

fn put<E: std::fmt::Debug>(written: Result<(), E>) {
    written.expect("a Vec takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::describe::tests::stream;
    use millrace_core::{Position, SequenceNumber, ShardId, StreamAttributes, StreamState};
    use serde_json::{Value, json};

    #[test]
    fn results_stand_in_the_order_of_the_records() {
        let sequence = SequenceNumber { epoch: 1, position: Position { pack: 2, index: 3 } };
        let account = Account::of_namespace("default");
        let results = [
            Ok(Placed { shard: ShardId(7), sequence }),
            Err(PutError::Throttled(ShardId(1))),
            Err(PutError::Unavailable("inner \"detail\"".into())),
        ];
        let throttled =
            format!("Rate exceeded for shard shardId-000000000001 in stream s under account {account}.");
        let expected = json!({"FailedRecordCount": 2, "Records": [
            {"SequenceNumber": sequence.to_string(), "ShardId": "shardId-000000000007"},
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": throttled},
            {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."},
        ]});
        let stream = stream(StreamState::Active, None);
        let json = write_results(Format::Json, &results, &stream, &account);
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
        let cbor = write_results(Format::Cbor, &results, &stream, &account);
        assert_eq!(minicbor_serde::from_slice::<Value>(&cbor).unwrap(), expected);
    }

    #[test]
    fn a_stream_that_is_said_to_be_encrypted_says_so_in_its_answers() {
        let encryption_key = Some("alias/aws/kinesis".to_owned());
        let attributes = Arc::new(StreamAttributes { encryption_key, ..StreamAttributes::default() });
        let stream = Stream { attributes, ..stream(StreamState::Active, None) };
        let account = Account::of_namespace("default");
        let sequence = SequenceNumber { epoch: 1, position: Position { pack: 2, index: 3 } };
        let placed = Placed { shard: ShardId(7), sequence };
        for format in [Format::Json, Format::Cbor] {
            let one: Value = format.read(&write_placed(format, &placed, true)).unwrap();
            assert_eq!(
                (&one["EncryptionType"], &one["ShardId"]),
                (&json!("KMS"), &json!("shardId-000000000007"))
            );
            let all: Value = format.read(&write_results(format, &[Ok(placed)], &stream, &account)).unwrap();
            assert_eq!((&all["EncryptionType"], &all["FailedRecordCount"]), (&json!("KMS"), &json!(0)));
        }
    }
}
