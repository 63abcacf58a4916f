//! Signed calls of the Kinesis API over HTTP, each made once: who retries is each caller's own affair.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The stream that all of this is about.
pub(crate) const STREAM: &str = "orders";
/// How long a call may take that is not part of the load.
const CALL_FOR: Duration = Duration::from_secs(10);

/// A caller of the API.
#[derive(Clone)]
pub(crate) struct Kinesis {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    credentials: Credentials,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API says so.
    #[error("{name}: {message}")]
    Refused { name: String, message: String },
    /// There is no answer: it may have been done.
    #[error("no answer: {0}")]
    Lost(String),
}

impl CallError {
    /// Whether this is what faults look like from outside, so that a caller tries again.
    pub(crate) fn passes(&self) -> bool {
        match self {
            CallError::Lost(_) => true,
            CallError::Refused { name, .. } => matches!(
                name.as_str(),
                // Of a record, and of a call.
                "InternalFailure"
                    | "InternalFailureException"
                    | "ServiceUnavailable"
                    | "ProvisionedThroughputExceededException"
            ),
        }
    }
}

/// A shard as `ListShards` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) id: u64,
    pub(crate) parents: Vec<u64>,
    /// The first and the last hash key of its range.
    pub(crate) range: (u128, u128),
    /// Below its records' sequence numbers.
    pub(crate) starts: u128,
    /// Above them, once it has ended.
    pub(crate) ends: Option<u128>,
}

/// How a stream stands, as one broker tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) status: String,
    pub(crate) open_shards: u64,
}

impl Kinesis {
    pub(crate) fn new() -> Kinesis {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        // Nothing is sent twice but by the callers, who count it.
        let http = HttpClient::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        let credentials = Credentials::new("millrace", "millrace-chaos", None, None, "millrace-chaos");
        Kinesis { http, credentials }
    }

    /// Makes a call once.
    pub(crate) async fn call(
        &self,
        broker: SocketAddr,
        operation: &str,
        body: String,
        within: Duration,
    ) -> Result<Bytes, CallError> {
        let lost = |error: &dyn std::fmt::Display| CallError::Lost(error.to_string());
        let request = self.request(broker, operation, body).map_err(|error| lost(&error))?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| lost(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| lost(&error))?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(within, answer).await.map_err(|_| lost(&"time-out"))??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        match said["__type"].as_str() {
            Some(name) => Err(CallError::Refused { name: name.to_owned(), message: text("message") }),
            None => Err(CallError::Refused { name: status.to_string(), message: format!("{body:?}") }),
        }
    }

    fn request(
        &self,
        broker: SocketAddr,
        operation: &str,
        body: String,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let (uri, host) = (format!("http://{broker}/"), broker.to_string());
        let target = format!("Kinesis_20131202.{operation}");
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("host", &host), ("x-amz-target", &target)];
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("kinesis")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signed = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", uri.as_str(), headers.into_iter(), signed)?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(Bytes::from(body)))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// Makes a call on the stream once, and reads its answer.
    pub(crate) async fn ask<O: DeserializeOwned>(
        &self,
        broker: SocketAddr,
        operation: &str,
        mut input: Value,
    ) -> Result<O, CallError> {
        input["StreamName"] = json!(STREAM);
        let body = self.call(broker, operation, input.to_string(), CALL_FOR).await?;
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| CallError::Refused {
            name: "an answer that can't be read".to_owned(),
            message: format!("{operation}: {error}"),
        })
    }

    /// Whether the broker says that it is ready.
    pub(crate) async fn is_ready(&self, broker: SocketAddr) -> bool {
        let Ok(request) = Request::get(format!("http://{broker}/ready")).body(Full::default()) else {
            return false;
        };
        let answer = tokio::time::timeout(Duration::from_secs(1), self.http.request(request)).await;
        matches!(answer, Ok(Ok(answer)) if answer.status() == StatusCode::OK)
    }

    /// How the stream stands.
    pub(crate) async fn summary(&self, broker: SocketAddr) -> Result<Summary, CallError> {
        let answer: Value = self.ask(broker, "DescribeStreamSummary", json!({})).await?;
        let said = &answer["StreamDescriptionSummary"];
        let status = said["StreamStatus"].as_str().unwrap_or_default().to_owned();
        Ok(Summary { status, open_shards: said["OpenShardCount"].as_u64().unwrap_or_default() })
    }

    /// The stream's shards that pass the filter, in the order of their ids.
    pub(crate) async fn shards(&self, broker: SocketAddr, filter: &str) -> Result<Vec<Shard>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            shards: Vec<Value>,
            next_token: Option<String>,
        }
        let output: Output = self.ask(broker, "ListShards", json!({"ShardFilter": {"Type": filter}})).await?;
        let mut shards = output.shards;
        let mut token = output.next_token;
        while let Some(next) = token {
            let body = json!({"NextToken": next}).to_string();
            let page = self.call(broker, "ListShards", body, CALL_FOR).await?;
            let page: Output =
                serde_json::from_slice(&page).map_err(|error| CallError::Lost(error.to_string()))?;
            shards.extend(page.shards);
            token = page.next_token;
        }
        let read = shards.iter().map(shard).collect::<anyhow::Result<Vec<_>>>();
        read.map_err(|error| CallError::Refused {
            name: "a shard that can't be read".to_owned(),
            message: format!("{error:#}"),
        })
    }
}

fn shard(form: &Value) -> anyhow::Result<Shard> {
    let number = |value: &Value| {
        let text = value.as_str().context("no text")?;
        text.parse::<u128>().with_context(|| format!("{text} is no number"))
    };
    let parents = ["ParentShardId", "AdjacentParentShardId"].iter().filter(|name| !form[**name].is_null());
    let (range, sequence) = (&form["HashKeyRange"], &form["SequenceNumberRange"]);
    let ends = &sequence["EndingSequenceNumber"];
    Ok(Shard {
        id: shard_number(form["ShardId"].as_str().unwrap_or_default())?,
        parents: parents
            .map(|name| shard_number(form[*name].as_str().unwrap_or_default()))
            .collect::<anyhow::Result<_>>()?,
        range: (number(&range["StartingHashKey"])?, number(&range["EndingHashKey"])?),
        starts: number(&sequence["StartingSequenceNumber"])?,
        ends: if ends.is_null() { None } else { Some(number(ends)?) },
    })
}

/// The number in a shard's id.
pub(crate) fn shard_number(id: &str) -> anyhow::Result<u64> {
    let digits = id.strip_prefix("shardId-").with_context(|| format!("{id:?} is no shard's id"))?;
    digits.parse().with_context(|| format!("{id:?} is no shard's id"))
}

/// A shard's id as the API writes it.
pub(crate) fn shard_id(number: u64) -> String {
    format!("shardId-{number:012}")
}
