//! Registered consumers: `RegisterStreamConsumer`, `DeregisterStreamConsumer`, `DescribeStreamConsumer`,
//! `ListStreamConsumers`.
//!
//! A consumer is a name that is written beside its stream: there is nothing to be made before it can be used. So one is
//! CREATING in the answer that registers it, as its clients expect, and ACTIVE from then on; and gone once it is
//! deregistered.

use millrace_core::attributes::Tags;
use millrace_core::token::{self, Purpose, TokenError};
use millrace_core::{CapacityMode, Consumer, Limits, StreamAttributes};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Call;
use super::account::{Resource, registered_s};
use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};
use super::tags::{TagsInput, add_tags, check_tags};
use crate::broker::Stream;

/// The most consumers of a stream, and of one that is on demand in an account with a commitment or held to no
/// quotas (Kinesis API, `RegisterStreamConsumer`).
const MAX_CONSUMERS: usize = 20;
const MAX_CONSUMERS_ADVANTAGE: usize = 50;
/// The most consumers of one answer, and how many there are if the caller does not say (Kinesis API,
/// `ListStreamConsumers`).
const MAX_LISTED: usize = 100;
/// How long a token to go on with is good, in milliseconds.
const TOKEN_MS: i64 = 300_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumerForm<'a> {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    consumer_creation_timestamp: Timestamp,
    consumer_name: &'a str,
    consumer_status: &'static str,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    stream_arn: Option<String>,
}

fn form<'a>(
    call: &Call<'_>,
    stream: &Stream,
    consumer: &'a Consumer,
    status: &'static str,
) -> ConsumerForm<'a> {
    ConsumerForm {
        consumer_arn: call.account.consumer_arn(&call.caller.region, &stream.name, consumer),
        consumer_creation_timestamp: Timestamp { ms: consumer.created_ms },
        consumer_name: &consumer.name,
        consumer_status: status,
        stream_arn: None,
    }
}

impl Call<'_> {
    /// The consumer of this name; with a time (Unix seconds), if it was registered then.
    pub(super) fn registered<'a>(
        &self,
        kept: &'a StreamAttributes,
        name: &str,
        at_s: Option<i64>,
    ) -> Result<&'a Consumer, ApiError> {
        let found = kept.consumer(name).filter(|found| at_s.is_none_or(|at_s| registered_s(found) == at_s));
        found.ok_or_else(|| self.no_consumer(name))
    }

    /// The same, to be changed.
    pub(super) fn registered_mut<'a>(
        &self,
        kept: &'a mut StreamAttributes,
        name: &str,
        at_s: Option<i64>,
    ) -> Result<&'a mut Consumer, ApiError> {
        let found =
            kept.consumer_mut(name).filter(|found| at_s.is_none_or(|at_s| registered_s(found) == at_s));
        found.ok_or_else(|| self.no_consumer(name))
    }

    fn no_consumer(&self, name: &str) -> ApiError {
        ApiError::not_found(format!("Consumer {name}, account {} not found.", self.account))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumerInput<'a> {
    #[serde(borrow, rename = "ConsumerARN")]
    consumer_arn: Option<Text<'a>>,
    #[serde(borrow)]
    consumer_name: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    tags: Option<TagsInput<'a>>,
}

impl ConsumerInput<'_> {
    fn check_names(&self, checks: &mut Checks) {
        checks.text("consumerARN", as_str(&self.consumer_arn), check::CONSUMER_ARN);
        checks.text("consumerName", as_str(&self.consumer_name), check::CONSUMER_NAME);
        checks.text("streamARN", as_str(&self.stream_arn), check::STREAM_ARN);
    }

    /// The ARN of the stream, and the name of the consumer with the time of its registration, by whichever of them
    /// the request names it. What it says twice has to agree.
    fn named<'b>(&'b self, call: &Call<'_>) -> Result<(&'b str, &'b str, Option<i64>), ApiError> {
        let stream = as_str(&self.stream_arn).map(|arn| call.stream_name(None, Some(arn))).transpose()?;
        let Some(arn) = as_str(&self.consumer_arn) else {
            return match (stream, as_str(&self.consumer_name)) {
                (Some(stream), Some(name)) => Ok((stream, name, None)),
                _ => Err(ApiError::invalid_argument(
                    "Either ConsumerARN or both of StreamARN and ConsumerName have to be given.",
                )),
            };
        };
        let Resource::Consumer { stream: its_stream, name, at_s } = call.resource_of_arn(arn)? else {
            return Err(ApiError::invalid_argument(format!("{arn} is not a consumer's ARN.")));
        };
        let agrees = stream.is_none_or(|stream| stream == its_stream)
            && as_str(&self.consumer_name).is_none_or(|given| given == name);
        match agrees {
            true => Ok((its_stream, name, Some(at_s))),
            false => Err(ApiError::invalid_argument(format!(
                "StreamARN and ConsumerName name another consumer than ConsumerARN {arn} does."
            ))),
        }
    }
}

pub(super) async fn register(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        consumer: ConsumerForm<'a>,
    }
    let input: ConsumerInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("consumerName", input.consumer_name.as_ref());
    checks.required("streamARN", input.stream_arn.as_ref());
    input.check_names(&mut checks);
    check_tags(&mut checks, input.tags.as_ref());
    checks.finish()?;
    let stream = call.active_stream(None, as_str(&input.stream_arn))?;
    let most = most_consumers(call, &stream).await?;
    let name = as_str(&input.consumer_name).unwrap_or_default();
    let mut tags = Tags::new();
    if let Some(given) = &input.tags {
        add_tags(&mut tags, given, &format!("consumer {name}"))?;
    }
    let consumer = Consumer { name: name.to_owned(), created_ms: call.now_ms, tags, policy: None };
    call.change_attributes(&stream, |kept| {
        if kept.consumer(name).is_some() {
            let arn = call.stream_arn(&stream.name);
            return Err(ApiError::in_use(format!(
                "Consumer {name} under stream {arn} already exists for account {}.",
                call.account
            )));
        }
        if kept.consumers.len() >= most {
            return Err(ApiError::limit_exceeded(format!(
                "Stream {} under account {} already has {most} registered consumers, and may have no more.",
                stream.name, call.account
            )));
        }
        kept.register(consumer.clone());
        Ok(())
    })
    .await?;
    call.format.write(&Output { consumer: form(call, &stream, &consumer, "CREATING") })
}

async fn most_consumers(call: &Call<'_>, stream: &Stream) -> Result<usize, ApiError> {
    let config = &stream.entry.config;
    let advantage = config.limits == Limits::None
        || (config.mode == CapacityMode::OnDemand
            && call.account_settings().await?.is_committed(call.now_ms));
    Ok(if advantage { MAX_CONSUMERS_ADVANTAGE } else { MAX_CONSUMERS })
}

pub(super) async fn deregister(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ConsumerInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    input.check_names(&mut checks);
    checks.finish()?;
    let (stream, name, at_s) = input.named(call)?;
    let stream = call.stream(Some(stream), None)?;
    call.change_attributes(&stream, |kept| {
        call.registered(kept, name, at_s)?;
        kept.deregister(name);
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn describe(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        consumer_description: ConsumerForm<'a>,
    }
    let input: ConsumerInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    input.check_names(&mut checks);
    checks.finish()?;
    let (stream, name, at_s) = input.named(call)?;
    let stream = call.stream(Some(stream), None)?;
    let kept = call.attributes(&stream).await?;
    let described = form(call, &stream, call.registered(&kept, name, at_s)?, "ACTIVE");
    let stream_arn = Some(call.stream_arn(&stream.name));
    call.format.write(&Output { consumer_description: ConsumerForm { stream_arn, ..described } })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListInput<'a> {
    max_results: Option<i64>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    stream_creation_timestamp: Option<Timestamp>,
}

/// Where a list goes on.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Continuation<'a> {
    #[b(0)]
    data: &'a str,
    #[b(1)]
    after: &'a str,
}

pub(super) async fn list(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        consumers: Vec<ConsumerForm<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_token: Option<String>,
    }
    let input: ListInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.number("maxResults", input.max_results, 1, 10_000);
    checks.text("nextToken", as_str(&input.next_token), check::NEXT_TOKEN);
    checks.required("streamARN", input.stream_arn.as_ref());
    checks.text("streamARN", as_str(&input.stream_arn), check::STREAM_ARN);
    checks.finish()?;
    let stream = call.stream(None, as_str(&input.stream_arn))?;
    let created_ms = stream.entry.created_ms;
    if input.stream_creation_timestamp.is_some_and(|at| at.is_another_second_than(created_ms)) {
        return Err(ApiError::no_stream(&stream.name, &call.account));
    }
    let key = call.broker().token_key();
    let after = match as_str(&input.next_token) {
        None => None,
        Some(_) if input.stream_creation_timestamp.is_some() => {
            return Err(ApiError::invalid_argument(
                "NextToken and StreamCreationTimestamp cannot be provided together.",
            ));
        }
        Some(text) => {
            let invalid = || ApiError::invalid_argument("The provided NextToken is invalid.");
            let opened = token::open(key, Purpose::ListConsumers, text, call.now_ms);
            let bytes = opened.map_err(|error| match error {
                TokenError::Invalid => invalid(),
                TokenError::Expired { .. } => ApiError::expired_token(),
            })?;
            let token: Continuation<'_> = minicbor::decode(&bytes).map_err(|_| invalid())?;
            if token.data != stream.entry.data.as_str() {
                return Err(invalid());
            }
            Some(token.after.to_owned())
        }
    };
    let kept = call.attributes(&stream).await?;
    let first = after.map_or(0, |after| kept.consumers.partition_point(|consumer| consumer.name <= after));
    let most = input.max_results.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_LISTED);
    let rest = &kept.consumers[first..];
    let shown = &rest[..rest.len().min(most.min(MAX_LISTED))];
    let next_token = shown.last().filter(|_| shown.len() < rest.len()).map(|last| {
        let token = Continuation { data: stream.entry.data.as_str(), after: &last.name };
        token::seal(key, Purpose::ListConsumers, call.now_ms + TOKEN_MS, &token)
    });
    let consumers = shown.iter().map(|consumer| form(call, &stream, consumer, "ACTIVE")).collect();
    call.format.write(&Output { consumers, next_token })
}
