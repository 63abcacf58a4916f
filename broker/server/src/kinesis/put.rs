//! `PutRecord`, `PutRecords`.

use std::io::Write;

use super::error::{ApiError, put_failure};
use super::input::{as_str, parse};
use super::put_input::{PutRecordInput, PutRecordsInput};
use super::{Account, Call};
use crate::broker::{Placed, PutError};

/// A record's part of an answer, in bytes: a sequence number of 39 digits, a shard's id, and the JSON around.
const RESULT_BYTES: usize = 112;

pub(super) async fn put_record(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordInput<'_> = parse(body)?;
    let record = input.record()?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    match call.broker().put(&stream, vec![record]).await.pop() {
        Some(Ok(placed)) => {
            let mut out = Vec::with_capacity(RESULT_BYTES);
            write_placed(&mut out, &placed);
            Ok(out)
        }
        Some(Err(error)) => Err(ApiError::of_put(&error, &stream, &call.account)),
        None => Err(ApiError::internal()),
    }
}

pub(super) async fn put_records(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PutRecordsInput<'_> = parse(body)?;
    let records = input.records()?;
    let stream = call.stream_with_data(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let results = call.broker().put(&stream, records).await;
    Ok(write_results(&results, &stream.name, &call.account))
}

fn write_placed(out: &mut Vec<u8>, placed: &Placed) {
    write!(out, r#"{{"SequenceNumber":"{}","ShardId":"{}"}}"#, placed.sequence, placed.shard)
        .expect("a Vec takes all that is written");
}

/// The answer to `PutRecords`: records fail one by one.
fn write_results(results: &[Result<Placed, PutError>], stream: &str, account: &Account) -> Vec<u8> {
    let failed = results.iter().filter(|result| result.is_err()).count();
    let mut out = Vec::with_capacity(64 + results.len() * RESULT_BYTES);
    write!(out, r#"{{"FailedRecordCount":{failed},"Records":["#).expect("a Vec takes all that is written");
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            Ok(placed) => write_placed(&mut out, placed),
            Err(error) => {
                // Names of streams and shards, and our own texts: nothing that JSON would have to escape.
                let (code, message) = put_failure(error, stream, account);
                write!(out, r#"{{"ErrorCode":"{code}","ErrorMessage":"{message}"}}"#)
                    .expect("a Vec takes all that is written");
            }
        }
    }
    out.extend_from_slice(b"]}");
    out
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
        let answer: Value = serde_json::from_slice(&write_results(&results, "s", &account)).unwrap();
        let throttled =
            format!("Rate exceeded for shard shardId-000000000001 in stream s under account {account}.");
        let expected = json!({"FailedRecordCount": 2, "Records": [
            {"SequenceNumber": sequence.to_string(), "ShardId": "shardId-000000000007"},
            {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": throttled},
            {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."},
        ]});
        assert_eq!(answer, expected);
    }
}
