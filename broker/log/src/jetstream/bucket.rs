//! A key-value bucket: a stream whose subjects are keys, laid out as NATS' own tools know it (ADR-8 of
//! nats-architecture-and-design).

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use super::JetStream;
use super::api::{ApiError, StoredMessage, StreamInfo, code};
use super::lane::DUPLICATE_WINDOW_NS;

/// The header that marks a removal.
const OPERATION: &str = "KV-Operation";
/// How long JetStream keeps a message that says so.
const TTL: &str = "Nats-TTL";
/// How long a removal's marker stays, for watchers that are away. One that is away for longer compares keys.
const MARKER_TTL: &str = "1h";
/// How many values are asked for at a time.
const GETS_AT_ONCE: usize = 32;

/// Which bucket, and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketConfig {
    pub(super) name: &'static str,
    pub(super) storage: &'static str,
    pub(super) max_age_s: u64,
    pub(super) max_bytes: i64,
}

/// A bucket on a connection.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) jetstream: JetStream,
    config: BucketConfig,
}

/// The latest that was written to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) key: String,
    pub(super) revision: u64,
    /// `None`: the key was removed.
    pub(super) value: Option<Bytes>,
}

impl Bucket {
    pub(super) fn new(jetstream: JetStream, config: BucketConfig) -> Bucket {
        Bucket { jetstream, config }
    }

    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.config.name)
    }

    /// The subject of a key, or of a pattern of keys.
    pub(super) fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.config.name)
    }

    /// The key that a subject belongs to.
    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix("$KV.")?.strip_prefix(self.config.name)?.strip_prefix('.')
    }

    /// Makes the bucket, or gives it this configuration.
    pub(super) async fn ensure(&self) -> Result<(), ApiError> {
        let config = json!({
            "name": self.stream(),
            "subjects": [self.subject(">")],
            "storage": self.config.storage,
            "retention": "limits",
            "discard": "new",
            "max_age": self.config.max_age_s.saturating_mul(1_000_000_000),
            "max_bytes": self.config.max_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": 1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "num_replicas": self.jetstream.inner.settings.replicas,
            "duplicate_window": DUPLICATE_WINDOW_NS,
            "compression": "none",
            // Values are asked of the leader: no replica that lags may answer.
            "allow_direct": false,
            "allow_rollup_hdrs": true,
            "allow_msg_ttl": true,
            "deny_delete": true,
        });
        self.jetstream.ensure_stream(&config).await
    }

    /// Makes a bucket in memory again that JetStream has forgotten. One in files that is missing is lost data,
    /// and nothing to be papered over.
    pub(super) async fn ensure_if_forgotten(&self, error: &ApiError) -> bool {
        let forgotten = error.code() == Some(code::STREAM_NOT_FOUND) && self.config.storage == "memory";
        forgotten && self.ensure().await.is_ok()
    }

    pub(super) async fn info(&self) -> Result<StreamInfo, ApiError> {
        self.jetstream.stream_info(&self.stream(), None).await
    }

    /// The latest of a key, removals included, from the leader.
    pub(super) async fn latest(&self, key: &str) -> Result<Option<Latest>, ApiError> {
        let which = json!({"last_by_subj": self.subject(key)});
        let stored = self.jetstream.stored_message(&self.stream(), &which).await?;
        Ok(stored.and_then(|stored| self.read(stored)))
    }

    /// The latest of every key that begins with the prefix, removals included, from the leader, in the order
    /// of the keys. Each is at least as new as when the question was asked.
    pub(super) async fn latest_all(&self, prefix: &str) -> Result<Vec<Latest>, ApiError> {
        let filter = self.subject(&format!("{prefix}>"));
        let mut keys = Vec::new();
        let mut offset = 0;
        loop {
            let info = self.jetstream.stream_info(&self.stream(), Some((&filter, offset))).await?;
            let page = info.state.subjects.len();
            keys.extend(info.state.subjects.into_keys().filter_map(|s| self.key(&s).map(str::to_owned)));
            offset += page;
            if page == 0 || offset >= info.total {
                break;
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let gets = futures::stream::iter(keys).map(|key| async move { self.latest(&key).await });
        let found: Vec<Option<Latest>> = gets.buffered(GETS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Writes a value, if the key's last revision is the expected one (0: there is none).
    pub(super) async fn put(&self, key: &str, value: Bytes, expected: Option<u64>) -> Result<u64, ApiError> {
        self.jetstream.publish(self.subject(key), HeaderMap::new(), expected, value).await
    }

    /// Writes a marker that says that the key is removed.
    pub(super) async fn mark_removed(&self, key: &str, expected: Option<u64>) -> Result<u64, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, HeaderValue::from("DEL"));
        headers.insert(TTL, HeaderValue::from(MARKER_TTL));
        self.jetstream.publish(self.subject(key), headers, expected, Bytes::new()).await
    }

    fn read(&self, stored: StoredMessage) -> Option<Latest> {
        let key = self.key(&stored.subject)?.to_owned();
        let removed = says_removed(&stored.headers);
        Some(Latest { key, revision: stored.sequence, value: (!removed).then_some(stored.payload) })
    }
}

/// Whether the raw headers mark a removal: ours (`DEL`), or one of NATS' tools (`PURGE`).
fn says_removed(headers: &[u8]) -> bool {
    let headers = String::from_utf8_lossy(headers);
    let mut fields = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    fields.any(|(name, value)| name.eq_ignore_ascii_case(OPERATION) && is_removal(value.trim()))
}

/// Whether the parsed headers mark a removal.
pub(super) fn marks_removal(headers: Option<&HeaderMap>) -> bool {
    headers.and_then(|headers| headers.get(OPERATION)).is_some_and(|value| is_removal(value.as_str()))
}

fn is_removal(operation: &str) -> bool {
    matches!(operation, "DEL" | "PURGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_known_by_their_header() {
        assert!(says_removed(b"NATS/1.0\r\nNats-TTL: 1h\r\nKV-Operation: DEL\r\n\r\n"));
        assert!(says_removed(b"NATS/1.0\r\nKv-Operation:PURGE\r\n\r\n"));
        assert!(!says_removed(b"NATS/1.0\r\nKV-Operation: PUT\r\n\r\n"));
        assert!(!says_removed(b""));
    }
}
