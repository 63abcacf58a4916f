//! `DescribeStream`, `DescribeStreamSummary`.

use std::collections::BTreeSet;

use millrace_core::{CapacityMode, StreamState};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};
use super::mode::{WarmThroughput, strategy};
use super::shards::{ShardForm, shard_id};
use crate::broker::Stream;

/// The most shards of one answer, and how many there are if the caller does not say (Kinesis API,
/// `DescribeStream`).
const MAX_SHARDS: usize = 100;

/// Who decides how many shards a stream has.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamModeDetails {
    stream_mode: &'static str,
}

impl From<CapacityMode> for StreamModeDetails {
    fn from(mode: CapacityMode) -> StreamModeDetails {
        let stream_mode = match mode {
            CapacityMode::OnDemand => "ON_DEMAND",
            CapacityMode::Provisioned => "PROVISIONED",
        };
        StreamModeDetails { stream_mode }
    }
}

/// A stream's state, as clients wait for it.
pub(super) fn status(stream: &Stream) -> &'static str {
    match (stream.entry.state, &stream.map) {
        // Brokers tell of no stream whose data is only kept: it was one a moment ago.
        (StreamState::Deleting | StreamState::Retained, _) => "DELETING",
        (StreamState::Creating, _) | (StreamState::Active, None) => "CREATING",
        (StreamState::Active, Some(map)) => {
            let config = &stream.entry.config;
            let rescales = config.mode == CapacityMode::Provisioned && config.rescale;
            match !map.reshards.is_empty() || rescales {
                true => "UPDATING",
                false => "ACTIVE",
            }
        }
    }
}

/// Whether records can be written to the stream and read from it.
pub(super) fn has_data(stream: &Stream) -> bool {
    matches!(status(stream), "ACTIVE" | "UPDATING")
}

/// How many shards of the stream take records.
pub(super) fn open_shards(stream: &Stream) -> usize {
    stream.map.as_ref().filter(|_| has_data(stream)).map_or(0, |map| map.open.len())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStreamInput<'a> {
    #[serde(borrow)]
    exclusive_start_shard_id: Option<Text<'a>>,
    limit: Option<i64>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

/// What both operations tell.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Description<'a> {
    stream_name: &'a str,
    #[serde(rename = "StreamARN")]
    stream_arn: String,
    stream_status: &'static str,
    stream_mode_details: StreamModeDetails,
    retention_period_hours: u64,
    stream_creation_timestamp: Timestamp,
    enhanced_monitoring: [EnhancedMetrics<'a>; 1],
    encryption_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(flatten)]
    rest: Rest,
}

/// What one of them tells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rest {
    #[serde(rename_all = "PascalCase")]
    Shards { shards: Vec<ShardForm>, has_more_shards: bool },
    #[serde(rename_all = "PascalCase")]
    Summary {
        open_shard_count: usize,
        consumer_count: usize,
        #[serde(rename = "MaxRecordSizeInKiB")]
        max_record_size_in_kib: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        warm_throughput: Option<WarmThroughput>,
        #[serde(skip_serializing_if = "Option::is_none")]
        record_distribution_strategy: Option<&'static str>,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnhancedMetrics<'a> {
    shard_level_metrics: &'a BTreeSet<String>,
}

fn description<'a>(call: &Call<'_>, stream: &'a Stream, rest: Rest) -> Description<'a> {
    let (config, attributes) = (&stream.entry.config, &stream.attributes);
    let key_id = attributes.encryption_key.as_deref();
    Description {
        stream_name: &stream.name,
        stream_arn: call.stream_arn(&stream.name),
        stream_status: status(stream),
        stream_mode_details: config.mode.into(),
        retention_period_hours: config.retention_s.div_ceil(3_600),
        stream_creation_timestamp: Timestamp { ms: stream.entry.created_ms },
        enhanced_monitoring: [EnhancedMetrics { shard_level_metrics: &attributes.monitored }],
        encryption_type: if key_id.is_some() { "KMS" } else { "NONE" },
        key_id,
        rest,
    }
}

pub(super) async fn describe_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        stream_description: Description<'a>,
    }
    let input: DescribeStreamInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.text("exclusiveStartShardId", as_str(&input.exclusive_start_shard_id), check::SHARD_ID);
    checks.number("limit", input.limit, 1, 10_000);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let after = match as_str(&input.exclusive_start_shard_id) {
        Some(text) => {
            let id = shard_id(text);
            Some(id.ok_or_else(|| ApiError::no_such_shard(text, &stream.name, &call.account))?)
        }
        None => None,
    };
    let mut shards = match has_data(&stream) {
        true => call.broker().shards(&stream).await,
        false => Ok(Vec::new()),
    }
    .map_err(|error| ApiError::of_read(&error, &stream, &call.account))?;
    shards.retain(|shard| after.is_none_or(|after| shard.id() > after));
    let most =
        usize::try_from(input.limit.unwrap_or(i64::MAX)).map_or(MAX_SHARDS, |limit| limit.min(MAX_SHARDS));
    let has_more_shards = shards.len() > most;
    shards.truncate(most);
    let rest = Rest::Shards { shards: shards.iter().map(ShardForm::from).collect(), has_more_shards };
    call.format.write(&Output { stream_description: description(call, &stream, rest) })
}

pub(super) async fn describe_stream_summary(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        stream_description_summary: Description<'a>,
    }
    let input: DescribeStreamInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let on_demand = stream.entry.config.mode == CapacityMode::OnDemand;
    let rest = Rest::Summary {
        open_shard_count: open_shards(&stream),
        consumer_count: stream.attributes.consumers.len(),
        max_record_size_in_kib: stream.entry.config.max_record.kib(),
        warm_throughput: WarmThroughput::of(&stream).filter(|_| on_demand),
        record_distribution_strategy: on_demand.then(|| strategy(stream.attributes.distribution)),
    };
    call.format.write(&Output { stream_description_summary: description(call, &stream, rest) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use millrace_core::plan::Action;
    use millrace_core::{DataId, HashKey, ShardId, ShardMap, StreamConfig, StreamEntry};
    use std::sync::Arc;

    pub(in crate::kinesis) fn stream(state: StreamState, map: Option<ShardMap>) -> Stream {
        let config = StreamConfig { mode: CapacityMode::Provisioned, shards: 2, ..StreamConfig::default() };
        let entry = StreamEntry { data: DataId::from_random(1), state, created_ms: 0, config };
        Stream {
            namespace: "default".into(),
            name: "s".into(),
            entry,
            map: map.map(Arc::new),
            attributes: Arc::default(),
        }
    }

    #[test]
    fn a_stream_is_updating_until_it_has_the_shards_that_were_asked_for() {
        let map = ShardMap::new(2, 0);
        assert_eq!(status(&stream(StreamState::Creating, None)), "CREATING");
        assert_eq!(status(&stream(StreamState::Active, None)), "CREATING");
        assert_eq!(status(&stream(StreamState::Active, Some(map.clone()))), "ACTIVE");
        // Split by hand, which changes no count that was asked for.
        assert_eq!(status(&stream(StreamState::Active, Some(ShardMap::new(3, 0)))), "ACTIVE");
        let mut asked = stream(StreamState::Active, Some(map.clone()));
        asked.entry.config.rescale = true;
        assert_eq!(status(&asked), "UPDATING");
        assert_eq!(status(&stream(StreamState::Deleting, Some(map.clone()))), "DELETING");
        let split = Action::Split { shard: ShardId(0), cuts: vec![HashKey(5)] };
        let mut splitting = stream(StreamState::Active, Some(map.plan(&[split], 0).unwrap()));
        assert_eq!(status(&splitting), "UPDATING");
        splitting.entry.config.mode = CapacityMode::OnDemand;
        splitting.map = Some(Arc::new(ShardMap::new(7, 0)));
        assert_eq!(status(&splitting), "ACTIVE");
    }
}
