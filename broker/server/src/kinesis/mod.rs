//! The Kinesis Data Streams API, version 2013-12-02, in JSON 1.1 and CBOR 1.1: one file for each family of
//! operations.
//!
//! Source: Amazon Kinesis Data Streams API reference, and the service model that client libraries are
//! generated from. Every operation reads its input, checks it against the model as a whole, then asks the
//! broker, and answers with Kinesis' own errors.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio_util::sync::CancellationToken;

mod account;
mod answer;
mod call;
mod check;
mod consumers;
mod describe;
mod encryption;
mod error;
mod event;
mod format;
mod get;
mod input;
mod iterator;
mod limits;
mod mode;
mod monitoring;
mod policy;
mod put;
mod put_input;
mod quota;
mod records;
mod retention;
mod scale;
mod shard_list;
mod shards;
mod streams;
mod subscribe;
mod subscriptions;
mod tags;

pub use account::Account;

use crate::broker::Broker;
use crate::http::{Api, Body, BodyBudget, BodyLimits, drain, hold, read, unpack};
use crate::sigv4::{Verifier, is_signed_for};
use call::Call;
use error::ApiError;
use format::Format;
use quota::{
    CallQuota, DAY_MS, DRY_RUNS_PER_S, KEYS_PER_DAY, MODES_PER_DAY, ReadQuotas, SCALINGS_PER_DAY, SECOND_MS,
};
use subscriptions::Subscriptions;

/// The longest request that is read, in bytes: 10 MiB of records in base64, their keys, and JSON around them.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// Up to this many bytes an answer counts as small: all that tell of a change are.
const SMALL_ANSWER_BYTES: usize = 256 << 10;

/// What `X-Amz-Target` begins with.
const TARGET_PREFIX: &str = "Kinesis_20131202.";
/// The service that callers sign for.
const SERVICE: &str = "kinesis";

/// Operations of Kinesis that are built.
const BUILT: [&str; 40] = [
    "AddTagsToStream",
    "CreateStream",
    "DecreaseStreamRetentionPeriod",
    "DeleteResourcePolicy",
    "DeleteStream",
    "DeregisterStreamConsumer",
    "DescribeAccountSettings",
    "DescribeLimits",
    "DescribeStream",
    "DescribeStreamConsumer",
    "DescribeStreamSummary",
    "DisableEnhancedMonitoring",
    "EnableEnhancedMonitoring",
    "GetRecords",
    "GetResourcePolicy",
    "GetShardIterator",
    "IncreaseStreamRetentionPeriod",
    "ListShards",
    "ListStreamConsumers",
    "ListStreams",
    "ListTagsForResource",
    "ListTagsForStream",
    "MergeShards",
    "PutRecord",
    "PutRecords",
    "PutResourcePolicy",
    "RegisterStreamConsumer",
    "RemoveTagsFromStream",
    "SplitShard",
    "StartStreamEncryption",
    "StopStreamEncryption",
    "SubscribeToShard",
    "TagResource",
    "UntagResource",
    "UpdateAccountSettings",
    "UpdateMaxRecordSize",
    "UpdateShardCount",
    "UpdateStreamMode",
    "UpdateStreamRecordDistributionStrategy",
    "UpdateStreamWarmThroughput",
];

/// What the operations of Kinesis that are not built are about.
const NOT_BUILT: [&str; 2] = ["Channel", "Queue"];

/// The API over one broker.
pub struct Kinesis {
    broker: Arc<Broker>,
    verifier: Arc<Verifier>,
    body: BodyLimits,
    answers: BodyBudget,
    reads: ReadQuotas,
    scalings: CallQuota,
    modes: CallQuota,
    new_keys: CallQuota,
    dry_runs: CallQuota,
    subscriptions: Subscriptions,
    stop: CancellationToken,
}

impl Kinesis {
    /// The API over this broker, for callers whom the verifier knows. Bodies are held to `body`, large answers to
    /// the budget `answers`. Subscriptions end with `stop`.
    pub fn new(
        broker: Arc<Broker>,
        verifier: Arc<Verifier>,
        body: BodyLimits,
        answers: BodyBudget,
        stop: CancellationToken,
    ) -> Kinesis {
        Kinesis {
            broker,
            verifier,
            body,
            answers,
            reads: ReadQuotas::default(),
            scalings: CallQuota::new(SCALINGS_PER_DAY, DAY_MS),
            modes: CallQuota::new(MODES_PER_DAY, DAY_MS),
            new_keys: CallQuota::new(KEYS_PER_DAY, DAY_MS),
            dry_runs: CallQuota::new(DRY_RUNS_PER_S, SECOND_MS),
            subscriptions: Subscriptions::default(),
            stop,
        }
    }

    async fn outcome(
        &self,
        head: &Parts,
        format: Format,
        body: &mut Body,
    ) -> Result<Response<Body>, ApiError> {
        let claim = self.verifier.begin(head, SERVICE, self.broker.now_ms())?;
        let held = read(body, &self.body).await?;
        let caller = claim.finish(head, &held.bytes)?;
        let held = if is_packed(head) { unpack(&held, &self.body)? } else { held };
        let call = Call {
            kinesis: self,
            format,
            account: Account::of_namespace(&caller.namespace),
            now_ms: self.broker.now_ms(),
            caller,
        };
        match operation(head)? {
            "SubscribeToShard" => {
                Ok(answer::events(subscribe::subscribe_to_shard(&call, &held.bytes).await?))
            }
            name => {
                let answer = call.run(name, &held.bytes).await?;
                drop(held);
                Ok(answer::whole(StatusCode::OK, format, self.hold_answer(answer)?))
            }
        }
    }

    /// An answer, which has a share of what all may hold until its client has read it. Small ones have none: what has
    /// been done has to be told.
    fn hold_answer(&self, answer: Vec<u8>) -> Result<Bytes, ApiError> {
        match answer.len() > SMALL_ANSWER_BYTES {
            true => Ok(hold(answer, &self.answers)?),
            false => Ok(answer.into()),
        }
    }
}

/// What holds for every operation: it is a POST to `/`, in one of two forms.
fn check_envelope(head: &Parts) -> Result<Format, ApiError> {
    if head.method != Method::POST || head.uri.path() != "/" {
        return Err(ApiError::unknown_operation("Kinesis takes POST requests to / only."));
    }
    Format::of(head)
}

/// Whether the body is packed with gzip. Other encodings are none: some clients of Amazon's write `amz-1.0` there.
fn is_packed(head: &Parts) -> bool {
    let encoding = head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"gzip"))
}

fn operation(head: &Parts) -> Result<&str, ApiError> {
    let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    target.and_then(|target| target.strip_prefix(TARGET_PREFIX)).ok_or_else(|| {
        ApiError::unknown_operation(format!("X-Amz-Target has to be {TARGET_PREFIX} and an operation."))
    })
}

fn is_not_built(operation: &str) -> bool {
    NOT_BUILT.iter().any(|kind| operation.contains(kind))
}

/// The operation that a request names, if it is one of those that are built.
fn built(head: &Parts) -> Option<&'static str> {
    let named = operation(head).ok()?;
    BUILT.into_iter().find(|name| *name == named)
}

#[async_trait]
impl Api for Kinesis {
    fn claims(&self, head: &Parts) -> bool {
        let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        // Signed for Kinesis without naming an operation: Kinesis' own error says so.
        target.is_some_and(|target| target.starts_with(TARGET_PREFIX)) || is_signed_for(head, SERVICE)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let began = Instant::now();
        let (head, mut body) = request.into_parts();
        let envelope = check_envelope(&head);
        let format = envelope.clone().unwrap_or(Format::Json);
        let outcome = match envelope {
            Ok(format) => self.outcome(&head, format, &mut body).await,
            Err(error) => Err(error),
        };
        let error = outcome.as_ref().err().map(|error| error.name);
        self.broker.metrics().request(built(&head), error, began.elapsed());
        match outcome {
            Ok(answer) => answer,
            Err(error) => {
                if error.status != StatusCode::REQUEST_TIMEOUT {
                    drain(&head, &mut body, &self.body).await;
                }
                tracing::debug!(error = error.name, message = error.message, "a request was refused");
                answer::whole(error.status, format, error.body(format).into())
            }
        }
    }
}

impl Call<'_> {
    async fn run(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        match operation {
            "PutRecords" => put::put_records(self, body).await,
            "PutRecord" => put::put_record(self, body).await,
            "GetRecords" => get::get_records(self, body).await,
            "GetShardIterator" => iterator::get_shard_iterator(self, body).await,
            "ListShards" => shard_list::list_shards(self, body).await,
            "DescribeStreamSummary" => describe::describe_stream_summary(self, body).await,
            "DescribeStream" => describe::describe_stream(self, body).await,
            "ListStreams" => streams::list_streams(self, body),
            "CreateStream" => streams::create_stream(self, body).await,
            "DeleteStream" => streams::delete_stream(self, body).await,
            "SplitShard" => scale::split_shard(self, body).await,
            "MergeShards" => scale::merge_shards(self, body).await,
            "UpdateShardCount" => scale::update_shard_count(self, body).await,
            "IncreaseStreamRetentionPeriod" => retention::increase(self, body).await,
            "DecreaseStreamRetentionPeriod" => retention::decrease(self, body).await,
            "AddTagsToStream" => tags::add_tags_to_stream(self, body).await,
            "RemoveTagsFromStream" => tags::remove_tags_from_stream(self, body).await,
            "ListTagsForStream" => tags::list_tags_for_stream(self, body).await,
            "TagResource" => tags::tag_resource(self, body).await,
            "UntagResource" => tags::untag_resource(self, body).await,
            "ListTagsForResource" => tags::list_tags_for_resource(self, body).await,
            "RegisterStreamConsumer" => consumers::register(self, body).await,
            "DeregisterStreamConsumer" => consumers::deregister(self, body).await,
            "DescribeStreamConsumer" => consumers::describe(self, body).await,
            "ListStreamConsumers" => consumers::list(self, body).await,
            "UpdateStreamMode" => mode::update_stream_mode(self, body).await,
            "UpdateMaxRecordSize" => mode::update_max_record_size(self, body).await,
            "UpdateStreamWarmThroughput" => mode::update_warm_throughput(self, body).await,
            "UpdateStreamRecordDistributionStrategy" => mode::update_distribution(self, body).await,
            "PutResourcePolicy" => policy::put(self, body).await,
            "GetResourcePolicy" => policy::get(self, body).await,
            "DeleteResourcePolicy" => policy::delete(self, body).await,
            "StartStreamEncryption" => encryption::start(self, body).await,
            "StopStreamEncryption" => encryption::stop(self, body).await,
            "EnableEnhancedMonitoring" => monitoring::enable(self, body).await,
            "DisableEnhancedMonitoring" => monitoring::disable(self, body).await,
            "DescribeLimits" => limits::describe_limits(self),
            "DescribeAccountSettings" => limits::describe_account_settings(self).await,
            "UpdateAccountSettings" => limits::update_account_settings(self, body).await,
            name if is_not_built(name) => Err(ApiError::not_built(name)),
            name => Err(ApiError::unknown_operation(format!("Kinesis has no operation {name}."))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(Request::builder().method("POST").uri("/")).body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_are_posts_to_the_root() {
        let json = |r: http::request::Builder| r.header("content-type", "application/x-amz-json-1.1");
        assert_eq!(check_envelope(&head(json)), Ok(Format::Json));
        let name = |head: Parts| check_envelope(&head).unwrap_err().name;
        assert_eq!(name(head(|r| json(r).method("GET"))), "UnknownOperationException");
        assert_eq!(name(head(|r| json(r).uri("/a"))), "UnknownOperationException");
        assert_eq!(name(head(|r| r)), "UnknownOperationException");
    }

    #[test]
    fn the_operation_stands_in_the_target() {
        let target = |target: &'static str| head(|r| r.header("x-amz-target", target));
        assert_eq!(operation(&target("Kinesis_20131202.PutRecord")), Ok("PutRecord"));
        for bad in ["Kinesis_20131201.PutRecord", "PutRecord", ""] {
            assert_eq!(operation(&target(bad)).unwrap_err().name, "UnknownOperationException");
        }
        assert!(operation(&head(|r| r)).is_err());
    }

    #[test]
    fn operations_are_built_or_said_not_to_be() {
        // 57 operations in the service model, of which 17 are about queues and channels.
        assert!(BUILT.is_sorted());
        assert_eq!(BUILT.len(), 40);
        assert!(!BUILT.into_iter().any(is_not_built));
        assert!(["CreateQueue", "ListChannels"].into_iter().all(is_not_built));
    }

    #[test]
    fn the_documentation_tells_of_every_operation() {
        let told = include_str!("../../../../docs/kinesis.md");
        let words: Vec<&str> = told.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let untold: Vec<&str> = BUILT.into_iter().filter(|name| !words.contains(name)).collect();
        assert_eq!(untold, [""; 0]);
    }
}
