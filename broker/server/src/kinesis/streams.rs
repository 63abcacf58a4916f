//! `CreateStream`, `DeleteStream`, `ListStreams`.

use millrace_core::map::MAX_OPEN_SHARDS;
use millrace_core::token::{self, Purpose, TokenError};
use millrace_core::{Autoscaling, CapacityMode, StreamAttributes, StreamConfig};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::{self, Checks};
use super::describe::{StreamModeDetails, status};
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};
use super::mode::{STRATEGIES, distribution, record_size, warm_throughput};
use super::tags::{TagsInput, add_tags, check_tags};

/// The most streams of one answer, and how many there are if the caller does not say (Kinesis API,
/// `ListStreams`).
const MAX_STREAMS: usize = 100;
/// How long a token to go on with is good, in milliseconds.
const TOKEN_MS: i64 = 300_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateStreamInput<'a> {
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<i64>,
    #[serde(borrow)]
    record_distribution_strategy: Option<Text<'a>>,
    shard_count: Option<i64>,
    #[serde(borrow)]
    stream_mode_details: Option<ModeInput<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    tags: Option<TagsInput<'a>>,
    #[serde(rename = "WarmThroughputMiBps")]
    warm_throughput: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModeInput<'a> {
    #[serde(borrow)]
    stream_mode: Option<Text<'a>>,
}

impl ModeInput<'_> {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.required("streamModeDetails.streamMode", self.stream_mode.as_ref());
        let modes = ["PROVISIONED", "ON_DEMAND"];
        checks.one_of("streamModeDetails.streamMode", as_str(&self.stream_mode), &modes);
    }

    /// The mode, which was checked.
    pub(super) fn mode(&self) -> CapacityMode {
        match as_str(&self.stream_mode) {
            Some("ON_DEMAND") => CapacityMode::OnDemand,
            _ => CapacityMode::Provisioned,
        }
    }
}

impl CreateStreamInput<'_> {
    /// The configuration that the request asks for.
    fn config(&self) -> Result<StreamConfig, ApiError> {
        let mode = self.stream_mode_details.as_ref();
        let strategy = as_str(&self.record_distribution_strategy);
        let mut checks = Checks::default();
        checks.record_size(self.max_record_size_in_kib);
        checks.one_of("recordDistributionStrategy", strategy, &STRATEGIES);
        checks.number("shardCount", self.shard_count, 1, i64::from(i32::MAX));
        if let Some(mode) = mode {
            mode.check(&mut checks);
        }
        let on_demand = mode.is_some_and(|mode| mode.mode() == CapacityMode::OnDemand);
        if !on_demand {
            checks.required("shardCount", self.shard_count);
        }
        checks.required("streamName", self.stream_name.as_ref());
        checks.text("streamName", as_str(&self.stream_name), check::STREAM_NAME);
        check_tags(&mut checks, self.tags.as_ref());
        checks.number("warmThroughputMiBps", self.warm_throughput, 0, i64::MAX);
        checks.finish()?;
        let max_record = self.max_record_size_in_kib.map(record_size).unwrap_or_default();
        if on_demand {
            return match self.shard_count {
                None => Ok(StreamConfig { max_record, ..StreamConfig::default() }),
                Some(_) => Err(ApiError::invalid_argument(
                    "ShardCount can't be given for a stream in ON_DEMAND mode: its shards follow its load.",
                )),
            };
        }
        if self.warm_throughput.is_some() || strategy == Some("AUTO") {
            return Err(ApiError::invalid_argument(
                "WarmThroughputMiBps and RecordDistributionStrategy AUTO are for streams in ON_DEMAND mode only.",
            ));
        }
        let shards = self.shard_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
        if shards as usize > MAX_OPEN_SHARDS {
            return Err(ApiError::limit_exceeded(format!(
                "A stream can't have more than {MAX_OPEN_SHARDS} open shards. ShardCount: {shards}"
            )));
        }
        let (mode, autoscaling) = (CapacityMode::Provisioned, Autoscaling::Disabled);
        Ok(StreamConfig { mode, shards, autoscaling, max_record, ..StreamConfig::default() })
    }

    /// What is kept of the stream beside that.
    async fn attributes(&self, call: &Call<'_>) -> Result<StreamAttributes, ApiError> {
        let mut attributes = StreamAttributes::default();
        if let Some(given) = &self.tags {
            let name = as_str(&self.stream_name).unwrap_or_default();
            let what = format!("stream {name} under account {}", call.account);
            add_tags(&mut attributes.tags, given, &what)?;
        }
        if let Some(mib_per_s) = self.warm_throughput {
            attributes.warm_mib_per_s = Some(warm_throughput(call, mib_per_s).await?);
        }
        attributes.distribution =
            distribution(as_str(&self.record_distribution_strategy).unwrap_or_default());
        Ok(attributes)
    }
}

pub(super) async fn create_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: CreateStreamInput<'_> = call.format.read(body)?;
    let config = input.config()?;
    let name = as_str(&input.stream_name).unwrap_or_default();
    let attributes = input.attributes(call).await?;
    let created = call.broker().create_stream(call.namespace(), name, config, attributes).await;
    created.map_err(|error| ApiError::of_control(&error, name, &call.account))?;
    Ok(Vec::new())
}

pub(super) async fn delete_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        enforce_consumer_deletion: Option<bool>,
        #[serde(borrow, rename = "StreamARN")]
        stream_arn: Option<Text<'a>>,
        #[serde(borrow)]
        stream_name: Option<Text<'a>>,
    }
    let input: Input<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let name = call.stream_name(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    if input.enforce_consumer_deletion != Some(true)
        && let Some(stream) = call.broker().stream(call.namespace(), name)
        && !call.attributes(&stream).await?.consumers.is_empty()
    {
        return Err(ApiError::in_use(format!(
            "Stream {name} under account {} has registered consumers: deregister them, or set EnforceConsumerDeletion.",
            call.account
        )));
    }
    let deleted = call.broker().delete_stream(call.namespace(), name).await;
    deleted.map_err(|error| ApiError::of_control(&error, name, &call.account))?;
    Ok(Vec::new())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreamsInput<'a> {
    #[serde(borrow)]
    exclusive_start_stream_name: Option<Text<'a>>,
    limit: Option<i64>,
    #[serde(borrow)]
    next_token: Option<Text<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreamsOutput<'a> {
    stream_names: Vec<&'a str>,
    has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    stream_summaries: Vec<Summary<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    stream_creation_timestamp: Timestamp,
}

/// Where a list goes on.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Continuation<'a> {
    #[b(0)]
    namespace: &'a str,
    #[b(1)]
    after: &'a str,
}

pub(super) fn list_streams(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ListStreamsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    let after = as_str(&input.exclusive_start_stream_name);
    checks.text("exclusiveStartStreamName", after, check::STREAM_NAME);
    checks.number("limit", input.limit, 1, 10_000);
    checks.text("nextToken", as_str(&input.next_token), check::NEXT_TOKEN);
    checks.finish()?;
    let key = call.broker().token_key();
    let mut after = after.map(str::to_owned);
    if let Some(text) = as_str(&input.next_token) {
        let invalid = || ApiError::invalid_argument("The provided NextToken is invalid.");
        let bytes =
            token::open(key, Purpose::ListStreams, text, call.now_ms).map_err(|error| match error {
                TokenError::Invalid => invalid(),
                TokenError::Expired { .. } => ApiError::expired_token(),
            })?;
        let token: Continuation<'_> = minicbor::decode(&bytes).map_err(|_| invalid())?;
        if token.namespace != call.namespace() {
            return Err(invalid());
        }
        if after.is_some() {
            return Err(ApiError::invalid_argument(
                "NextToken and ExclusiveStartStreamName cannot be provided together.",
            ));
        }
        after = Some(token.after.to_owned());
    }
    let mut streams = call.broker().streams(call.namespace());
    streams.retain(|stream| after.as_ref().is_none_or(|after| stream.name > *after));
    let most =
        usize::try_from(input.limit.unwrap_or(i64::MAX)).map_or(MAX_STREAMS, |limit| limit.min(MAX_STREAMS));
    let has_more_streams = streams.len() > most;
    streams.truncate(most);
    let next_token = streams.last().filter(|_| has_more_streams).map(|last| {
        let token = Continuation { namespace: call.namespace(), after: &last.name };
        token::seal(key, Purpose::ListStreams, call.now_ms + TOKEN_MS, &token)
    });
    let summaries = streams.iter().map(|stream| Summary {
        stream_name: &stream.name,
        stream_arn: call.stream_arn(&stream.name),
        stream_status: status(stream),
        stream_mode_details: stream.entry.config.mode.into(),
        stream_creation_timestamp: Timestamp { ms: stream.entry.created_ms },
    });
    let stream_summaries = summaries.collect();
    let stream_names = streams.iter().map(|stream| stream.name.as_str()).collect();
    call.format.write(&ListStreamsOutput { stream_names, has_more_streams, next_token, stream_summaries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;
    use serde_json::{Value, json};

    fn config(input: &Value) -> Result<StreamConfig, ApiError> {
        Format::Json.read::<CreateStreamInput<'_>>(input.to_string().as_bytes())?.config()
    }

    #[test]
    fn a_stream_is_provisioned_unless_it_is_said_to_be_on_demand() {
        let provisioned = config(&json!({"StreamName": "s", "ShardCount": 3})).unwrap();
        assert_eq!((provisioned.mode, provisioned.shards), (CapacityMode::Provisioned, 3));
        let on_demand = json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
        assert_eq!(config(&on_demand).unwrap(), StreamConfig::default());
        let large = json!({"StreamName": "s", "ShardCount": 3, "MaxRecordSizeInKiB": 10_240});
        assert_eq!(config(&large).unwrap().max_record, millrace_core::RecordSize::MAX);
    }

    #[test]
    fn a_stream_that_can_not_be_had_is_refused() {
        let name = |input: Value| config(&input).unwrap_err().name;
        assert_eq!(name(json!({"StreamName": "s"})), "ValidationException");
        assert_eq!(name(json!({"StreamName": "s", "ShardCount": 0})), "ValidationException");
        assert_eq!(name(json!({"StreamName": "s/t", "ShardCount": 1})), "ValidationException");
        assert_eq!(name(json!({"StreamName": "s", "ShardCount": "1"})), "SerializationException");
        assert_eq!(name(json!({"StreamName": "s", "ShardCount": 100_000})), "LimitExceededException");
        let mode = |mode: Value| json!({"StreamName": "s", "ShardCount": 1, "StreamModeDetails": mode});
        assert_eq!(name(mode(json!({"StreamMode": "ON_DEMAND"}))), "InvalidArgumentException");
        assert_eq!(name(mode(json!({"StreamMode": "OTHER"}))), "ValidationException");
        assert_eq!(name(mode(json!({}))), "ValidationException");
        let with = |member: &str, value: Value| json!({"StreamName": "s", "ShardCount": 1, member: value});
        assert_eq!(name(with("Tags", json!({"": "b"}))), "ValidationException");
        assert_eq!(name(with("MaxRecordSizeInKiB", json!(10_241))), "ValidationException");
        assert_eq!(name(with("RecordDistributionStrategy", json!("EVEN"))), "ValidationException");
        assert_eq!(name(with("RecordDistributionStrategy", json!("AUTO"))), "InvalidArgumentException");
        assert_eq!(name(with("WarmThroughputMiBps", json!(5))), "InvalidArgumentException");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        assert_eq!(
            config(&json!({})).unwrap_err().message,
            "2 validation errors detected: \
             Value null at 'shardCount' failed to satisfy constraint: Member must not be null; \
             Value null at 'streamName' failed to satisfy constraint: Member must not be null"
        );
    }
}
