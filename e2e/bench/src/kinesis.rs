//! Requests of the Kinesis API, signed as a client library would sign them, and what their answers say.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64_simd::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use rand::Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http_client::{Answer, Connection, Prepared};

/// The data of each record that is written, in bytes.
pub(crate) const RECORD_BYTES: usize = 1024;
/// How many different requests a load prepares. Each is sent many times: what is measured is the server, and
/// a signature is good for 15 minutes.
pub(crate) const DISTINCT_REQUESTS: usize = 64;

/// The access key that requests are signed with. The servers measured are given it.
pub(crate) const ACCESS_KEY: (&str, &str) = ("AKIAMILLRACEBENCH", "millrace-bench");

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Signs requests to one server.
pub(crate) struct Signer {
    host: String,
    credentials: Credentials,
}

impl Signer {
    /// For the server at this address, which knows [`ACCESS_KEY`].
    pub(crate) fn new(address: SocketAddr) -> Signer {
        let credentials = Credentials::new(ACCESS_KEY.0, ACCESS_KEY.1, None, None, "millrace-bench");
        Signer { host: address.to_string(), credentials }
    }

    /// A request for an operation, with the signature over all of its body.
    pub(crate) fn sign(&self, operation: &str, body: Vec<u8>) -> anyhow::Result<Prepared> {
        let uri = format!("http://{}/", self.host);
        let target = format!("Kinesis_20131202.{operation}");
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("kinesis")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("host", &*self.host), ("content-type", CONTENT_TYPE), ("x-amz-target", &target)];
        let signable =
            SignableRequest::new("POST", uri.as_str(), headers.into_iter(), SignableBody::Bytes(&body))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::post(uri)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header("x-amz-target", target)
            .body(())?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(Prepared { headers: request.into_parts().0.headers, body: body.into() })
    }

    /// [`DISTINCT_REQUESTS`] of `PutRecord` with random keys and data.
    pub(crate) fn put_record_requests(&self, stream: &str) -> anyhow::Result<Vec<Prepared>> {
        (0..DISTINCT_REQUESTS)
            .map(|_| {
                let record = random_record();
                self.sign("PutRecord", format!(r#"{{"StreamName":"{stream}",{record}}}"#).into_bytes())
            })
            .collect()
    }

    /// [`DISTINCT_REQUESTS`] of `PutRecords` with random keys and data.
    pub(crate) fn put_records_requests(&self, stream: &str, records: usize) -> anyhow::Result<Vec<Prepared>> {
        (0..DISTINCT_REQUESTS)
            .map(|_| {
                let records: Vec<String> = (0..records).map(|_| format!("{{{}}}", random_record())).collect();
                let body = format!(r#"{{"StreamName":"{stream}","Records":[{}]}}"#, records.join(","));
                self.sign("PutRecords", body.into_bytes())
            })
            .collect()
    }
}

/// The members of a record: random, so that nothing can compress it and its key may lie in any shard.
fn random_record() -> String {
    let mut data = [0; RECORD_BYTES];
    rand::rng().fill_bytes(&mut data);
    record(&data)
}

/// The members of a record with this data.
pub(crate) fn record(data: &[u8]) -> String {
    let key: u64 = rand::random();
    format!(r#""PartitionKey":"{key:016x}","Data":"{}""#, STANDARD.encode_to_string(data))
}

/// The API's error for what is too fast.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// What became of the records of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PutOutcome {
    pub(crate) acknowledged: u64,
    pub(crate) throttled: u64,
    pub(crate) failed: u64,
    /// Of a failed one: the name of the error.
    pub(crate) error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsAnswer {
    failed_record_count: u64,
}

#[derive(Deserialize)]
struct PutRecordAnswer {
    #[serde(rename = "SequenceNumber")]
    _sequence_number: String,
}

#[derive(Deserialize)]
struct PutRecordsResults {
    #[serde(rename = "Records")]
    records: Vec<PutRecordsResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsResult {
    error_code: Option<String>,
}

/// What the answer to `PutRecord` or `PutRecords` says of the request's records.
pub(crate) fn put_outcome(answer: &Answer, records: u64) -> PutOutcome {
    if answer.status != StatusCode::OK {
        return refused(records, error_name(answer));
    }
    // A single record's answer has no count: it is there, or the call has failed. In which order members come is the
    // server's affair.
    if records == 1 && serde_json::from_slice::<PutRecordAnswer>(&answer.body).is_ok() {
        return PutOutcome { acknowledged: 1, ..PutOutcome::default() };
    }
    let Ok(PutRecordsAnswer { failed_record_count }) = serde_json::from_slice(&answer.body) else {
        return refused(records, "an answer that can't be read".to_owned());
    };
    let mut outcome =
        PutOutcome { acknowledged: records - failed_record_count.min(records), ..PutOutcome::default() };
    if failed_record_count > 0 {
        let results =
            serde_json::from_slice(&answer.body).map_or(Vec::new(), |r: PutRecordsResults| r.records);
        for code in results.into_iter().filter_map(|result| result.error_code) {
            let one = refused(1, code);
            outcome.throttled += one.throttled;
            outcome.failed += one.failed;
            outcome.error = outcome.error.or(one.error);
        }
    }
    outcome
}

fn refused(records: u64, name: String) -> PutOutcome {
    match name == THROTTLED {
        true => PutOutcome { throttled: records, ..PutOutcome::default() },
        false => PutOutcome { failed: records, error: Some(name), ..PutOutcome::default() },
    }
}

fn error_name(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["__type"].as_str().map_or_else(|| format!("status {}", answer.status), str::to_owned)
}

/// An open shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenShard {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    /// The first hash key of its range.
    pub(crate) start: u128,
    /// The last one.
    pub(crate) end: u128,
}

/// A client for calls that are not part of the load itself.
pub(crate) struct Client {
    signer: Signer,
    connection: Connection,
}

/// Records that were read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecordsAnswer<'a> {
    pub(crate) next_shard_iterator: Option<String>,
    pub(crate) millis_behind_latest: i64,
    #[serde(borrow)]
    pub(crate) records: Vec<ReadRecord<'a>>,
}

/// One of them.
#[derive(Deserialize)]
pub(crate) struct ReadRecord<'a> {
    /// In base64.
    #[serde(rename = "Data")]
    pub(crate) data: &'a str,
}

impl Client {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Client> {
        Ok(Client { signer: Signer::new(address), connection: Connection::open(address).await? })
    }

    /// Calls an operation. The error that the API answered with is the inner result's.
    pub(crate) async fn try_call(
        &mut self,
        operation: &str,
        input: &Value,
    ) -> anyhow::Result<Result<Bytes, String>> {
        let request = self.signer.sign(operation, serde_json::to_vec(input)?)?;
        let answer = self.connection.post(&request).await.with_context(|| operation.to_owned())?;
        Ok(if answer.status == StatusCode::OK { Ok(answer.body) } else { Err(error_name(&answer)) })
    }

    /// Calls an operation that has to succeed.
    pub(crate) async fn call(&mut self, operation: &str, input: &Value) -> anyhow::Result<Bytes> {
        match self.try_call(operation, input).await? {
            Ok(body) => Ok(body),
            Err(name) => bail!("{operation} was answered with {name}"),
        }
    }

    /// The stream's open shards in the order of their ranges, up to the 1,000 of one answer.
    pub(crate) async fn open_shards(&mut self, stream: &str) -> anyhow::Result<Vec<OpenShard>> {
        let input = json!({"StreamName": stream, "ShardFilter": {"Type": "AT_LATEST"}});
        let body = self.call("ListShards", &input).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        let mut shards = Vec::new();
        for shard in answer["Shards"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let bound = |name: &str| shard["HashKeyRange"][name].as_str().and_then(|key| key.parse().ok());
            shards.push(OpenShard {
                id: text(&shard["ShardId"]).context("a shard without an id")?,
                parent: text(&shard["ParentShardId"]),
                start: bound("StartingHashKey").context("a shard without a range")?,
                end: bound("EndingHashKey").context("a shard without a range")?,
            });
        }
        shards.sort_unstable_by_key(|shard| shard.start);
        Ok(shards)
    }

    /// An iterator of this type on a shard.
    pub(crate) async fn shard_iterator(
        &mut self,
        stream: &str,
        shard: &str,
        kind: &str,
    ) -> anyhow::Result<String> {
        let input = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": kind});
        let answer: Value = serde_json::from_slice(&self.call("GetShardIterator", &input).await?)?;
        answer["ShardIterator"].as_str().map(str::to_owned).context("an answer without an iterator")
    }

    /// What lies behind an iterator, as it came: to be read as [`GetRecordsAnswer`].
    pub(crate) async fn get_records(&mut self, iterator: &str) -> anyhow::Result<Bytes> {
        self.call("GetRecords", &json!({"ShardIterator": iterator, "Limit": 10_000})).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_owned().into() }
    }

    #[test]
    fn acknowledged_throttled_and_failed_records_are_told_apart() {
        let all = put_outcome(&answer(200, r#"{"FailedRecordCount":0,"Records":[{},{},{}]}"#), 3);
        assert_eq!((all.acknowledged, all.throttled, all.failed), (3, 0, 0));
        let body = r#"{"FailedRecordCount":2,"Records":[{"ShardId":"s"},
            {"ErrorCode":"ProvisionedThroughputExceededException"},{"ErrorCode":"InternalFailure"}]}"#;
        let some = put_outcome(&answer(200, body), 3);
        assert_eq!((some.acknowledged, some.throttled, some.failed), (1, 1, 1));
        assert_eq!(some.error.as_deref(), Some("InternalFailure"));
    }

    #[test]
    fn a_refused_call_counts_for_all_its_records() {
        let throttled =
            put_outcome(&answer(400, r#"{"__type":"ProvisionedThroughputExceededException"}"#), 5);
        assert_eq!((throttled.throttled, throttled.failed), (5, 0));
        let failed = put_outcome(&answer(502, "oops"), 5);
        assert_eq!((failed.failed, failed.acknowledged), (5, 0));
    }

    #[test]
    fn a_single_records_answer_has_no_count() {
        assert_eq!(put_outcome(&answer(200, r#"{"SequenceNumber":"1","ShardId":"s"}"#), 1).acknowledged, 1);
        assert_eq!(
            put_outcome(&answer(200, r#"{"EncryptionType":"NONE","SequenceNumber":"1"}"#), 1).acknowledged,
            1
        );
        assert_eq!(put_outcome(&answer(200, "{}"), 1).failed, 1);
    }

    #[test]
    fn requests_are_signed_and_differ() {
        let signer = Signer::new("127.0.0.1:4566".parse().unwrap());
        let requests = signer.put_records_requests("s", 2).unwrap();
        assert_eq!(requests.len(), DISTINCT_REQUESTS);
        assert_ne!(requests[0].body, requests[1].body);
        let authorization = requests[0].headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("us-east-1/kinesis/aws4_request"), "{authorization}");
        let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
        assert_eq!(body["Records"].as_array().unwrap().len(), 2);
    }
}
