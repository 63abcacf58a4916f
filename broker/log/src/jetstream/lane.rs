//! Lanes, and the log's side of appends and reads.

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::json;

use super::JetStream;
use super::api::{ApiError, code};
use super::append::append_error;
use crate::{
    AppendError, LaneAddress, LaneConfig, LaneState, Log, LogError, Message, ReadLimits, ShardAddress,
};

/// The shortest window for finding duplicates that JetStream allows, in nanoseconds. We use none: appends are
/// conditional.
pub(super) const DUPLICATE_WINDOW_NS: u64 = 100_000_000;

/// The log of shards on JetStream.
#[derive(Clone, Debug)]
pub struct JetStreamLog {
    pub(super) jetstream: JetStream,
}

impl JetStreamLog {
    pub(super) fn new(jetstream: JetStream) -> JetStreamLog {
        JetStreamLog { jetstream }
    }
}

pub(super) fn stream_name(lane: &LaneAddress) -> String {
    lane.lane.stream_name(&lane.data)
}

pub(super) fn subject(shard: &ShardAddress) -> String {
    shard.lane.subject(&shard.data, shard.shard)
}

/// A lane's stream as JetStream's API wants it.
fn stream_config(lane: &LaneAddress, config: &LaneConfig, replicas: u8) -> serde_json::Value {
    json!({
        "name": stream_name(lane),
        "subjects": [lane.lane.subjects(&lane.data)],
        "storage": "file",
        "retention": "limits",
        // Whoever is told of an acknowledgement must find the message until retention takes it, so nothing
        // that is stored makes way for something new.
        "discard": "new",
        "max_age": config.max_age_s.saturating_mul(1_000_000_000),
        "max_bytes": i64::try_from(config.max_bytes).unwrap_or(i64::MAX),
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "num_replicas": replicas,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "compression": "none",
        "allow_direct": true,
        "deny_delete": true,
        "deny_purge": true,
    })
}

impl JetStream {
    /// Makes a stream, or gives an existing one this configuration. Fine if it is so already.
    pub(super) async fn ensure_stream(&self, config: &serde_json::Value) -> Result<(), ApiError> {
        let name = config["name"].as_str().unwrap_or_default();
        match self.api_json::<IgnoredAny>(format!("$JS.API.STREAM.CREATE.{name}"), config).await {
            Err(error) if error.code() == Some(code::STREAM_NAME_IN_USE) => {
                self.api_json::<IgnoredAny>(format!("$JS.API.STREAM.UPDATE.{name}"), config).await?;
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Whether a stream that nobody serves is missing, or only its leader.
    pub(super) async fn why_no_responders(&self, stream: &str) -> LogError {
        match self.stream_info(stream, None).await {
            Ok(_) => LogError::Unavailable(format!("nobody serves the stream {stream}, which exists")),
            Err(error) => error.into(),
        }
    }
}

#[async_trait]
impl Log for JetStreamLog {
    async fn ensure_lane(&self, lane: &LaneAddress, config: &LaneConfig) -> Result<(), LogError> {
        let replicas = self.jetstream.inner.settings.replicas;
        let ensured = self.jetstream.ensure_stream(&stream_config(lane, config, replicas)).await;
        // There is no lane to miss: whatever went wrong, it is worth another attempt.
        ensured.map_err(|error| LogError::Unavailable(error.to_string()))
    }

    async fn delete_lane(&self, lane: &LaneAddress) -> Result<(), LogError> {
        let subject = format!("$JS.API.STREAM.DELETE.{}", stream_name(lane));
        match self.jetstream.api::<IgnoredAny>(subject, Bytes::new()).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(code::STREAM_NOT_FOUND) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn lane_state(&self, lane: &LaneAddress) -> Result<LaneState, LogError> {
        let state = self.jetstream.stream_info(&stream_name(lane), None).await?.state;
        let first = if state.messages == 0 { state.last_seq + 1 } else { state.first_seq };
        Ok(LaneState { first, last: state.last_seq, bytes: state.bytes })
    }

    async fn append(&self, shard: &ShardAddress, expected: u64, pack: Bytes) -> Result<u64, AppendError> {
        let published = self.jetstream.publish(subject(shard), HeaderMap::new(), Some(expected), pack).await;
        published.map_err(append_error)
    }

    async fn last(&self, shard: &ShardAddress) -> Result<Option<Message>, LogError> {
        self.stored(shard, json!({"last_by_subj": subject(shard)})).await
    }

    async fn first_after(&self, shard: &ShardAddress, after: u64) -> Result<Option<Message>, LogError> {
        let seq = after.saturating_add(1);
        self.stored(shard, json!({"seq": seq, "next_by_subj": subject(shard)})).await
    }

    async fn read(
        &self,
        shard: &ShardAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError> {
        self.jetstream.read_batch(&stream_name(&shard.lane()), Some(&subject(shard)), from, limits).await
    }

    async fn read_lane(
        &self,
        lane: &LaneAddress,
        from: u64,
        limits: ReadLimits,
    ) -> Result<Vec<Message>, LogError> {
        self.jetstream.read_batch(&stream_name(lane), None, from, limits).await
    }

    async fn seek(&self, shard: &ShardAddress, time_ms: i64) -> Result<Option<u64>, LogError> {
        self.jetstream.seek(&stream_name(&shard.lane()), &subject(shard), time_ms).await
    }
}

impl JetStreamLog {
    async fn stored(
        &self,
        shard: &ShardAddress,
        which: serde_json::Value,
    ) -> Result<Option<Message>, LogError> {
        let Some(stored) = self.jetstream.stored_message(&stream_name(&shard.lane()), &which).await? else {
            return Ok(None);
        };
        let stored_ms = super::read::parse_time_ms(&stored.time)
            .ok_or_else(|| LogError::Unavailable(format!("{:?} is no time", stored.time)))?;
        let payload = stored.payload;
        Ok(Some(Message { shard: shard.shard, sequence: stored.sequence, stored_ms, payload }))
    }
}
