//! `PutRecord`, `PutRecords`.

use std::io::Write;

use minicbor::Encoder;

use super::error::{ApiError, put_failure};
use super::format::Format;
use super::input::as_str;
use super::put_input::{PutRecordInput, PutRecordsInput};
use super::{Account, Call};
use crate::broker::{Placed, PutError};

/// A record's part of an answer, in bytes: a sequence number of 39 digits, a shard's id, and the JSON around.
const RESULT_BYTES: usize = 112;

pub(super) async fn put_record(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordInput<'_> = call.format.read(body)?;
    let record = input.record()?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    match call.broker().put(&stream, vec![record]).await.pop() {
        Some(Ok(placed)) => Ok(write_placed(call.format, &placed)),
        Some(Err(error)) => Err(ApiError::of_put(&error, &stream, &call.account)),
        None => Err(ApiError::internal()),
    }
}

pub(super) async fn put_records(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordsInput<'_> = call.format.read(body)?;
    let records = input.records()?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let results = call.broker().put(&stream, records).await;
    Ok(write_results(call.format, &results, &stream.name, &call.account))
}

/// The answer to `PutRecord`.
fn write_placed(format: Format, placed: &Placed) -> Vec<u8> {
    let mut out = Vec::with_capacity(RESULT_BYTES);
    match format {
        Format::Json => json_placed(&mut out, placed),
        Format::Cbor => cbor_placed(&mut Encoder::new(&mut out), placed),
    }
    out
}

/// The answer to `PutRecords`: records fail one by one.
fn write_results(
    format: Format,
    results: &[Result<Placed, PutError>],
    stream: &str,
    account: &Account,
) -> Vec<u8> {
    let failed = results.iter().filter(|result| result.is_err()).count();
    let mut out = Vec::with_capacity(64 + results.len() * RESULT_BYTES);
    match format {
        Format::Json => {
            put(write!(out, r#"{{"FailedRecordCount":{failed},"Records":["#));
            for (index, result) in results.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                match result {
                    Ok(placed) => json_placed(&mut out, placed),
                    Err(error) => {
                        // Names of streams and shards, and our own texts: nothing that JSON would have to escape.
                        let (code, message) = put_failure(error, stream, account);
                        put(write!(out, r#"{{"ErrorCode":"{code}","ErrorMessage":"{message}"}}"#));
                    }
                }
            }
            out.extend_from_slice(b"]}");
        }
        Format::Cbor => {
            let mut map = Encoder::new(&mut out);
            let head = map.map(2).and_then(|map| map.str("FailedRecordCount")?.u64(failed as u64));
            put(head.and_then(|map| map.str("Records")?.array(results.len() as u64)).map(drop));
            for result in results {
                match result {
                    Ok(placed) => cbor_placed(&mut map, placed),
                    Err(error) => {
                        let (code, message) = put_failure(error, stream, account);
                        let code = map.map(2).and_then(|map| map.str("ErrorCode")?.str(code));
                        put(code.and_then(|map| map.str("ErrorMessage")?.str(&message)).map(drop));
                    }
                }
            }
        }
    }
    out
}

fn json_placed(out: &mut Vec<u8>, placed: &Placed) {
    put(write!(out, r#"{{"SequenceNumber":"{}","ShardId":"{}"}}"#, placed.sequence, placed.shard));
}

fn cbor_placed(out: &mut Encoder<&mut Vec<u8>>, placed: &Placed) {
    let sequence = out.map(2).and_then(|map| map.str("SequenceNumber")?.str(&placed.sequence.to_string()));
    put(sequence.and_then(|map| map.str("ShardId")?.str(&placed.shard.to_string())).map(drop));
}

fn put<E: std::fmt::Debug>(written: Result<(), E>) {
    written.expect("a Vec takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::{Position, SequenceNumber, ShardId};
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
        let json = write_results(Format::Json, &results, "s", &account);
        assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
        let cbor = write_results(Format::Cbor, &results, "s", &account);
        assert_eq!(minicbor_serde::from_slice::<Value>(&cbor).unwrap(), expected);
    }
}
