//! The cluster's key-value store: the bucket `MR`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep};

use super::JetStream;
use super::api::{ApiError, code};
use super::bucket::{Bucket, BucketConfig, Latest};
use super::watch::{Vanished, watch};
use crate::{Kv, KvEntry, KvError, KvEvent};

/// Pause before a write is tried again that was refused because another one was in flight.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(2);
/// How often a create looks again at what lies in its way.
const CREATE_ATTEMPTS: usize = 3;

/// The key-value store on JetStream.
#[derive(Clone, Debug)]
pub struct JetStreamKv {
    bucket: Bucket,
}

impl JetStream {
    /// The key-value store, which is made if it is not there.
    pub async fn kv(&self) -> Result<JetStreamKv, KvError> {
        let max_bytes = i64::try_from(self.inner.settings.kv_max_bytes).unwrap_or(i64::MAX);
        let config = BucketConfig { name: "MR", storage: "file", max_age_s: 0, max_bytes };
        let bucket = Bucket::new(self.clone(), config);
        bucket.ensure().await.map_err(unknown)?;
        Ok(JetStreamKv { bucket })
    }
}

pub(super) fn unknown(error: ApiError) -> KvError {
    KvError::Unknown(error.to_string())
}

/// What a failed write means. 10164 is none of these: see [`JetStreamKv::write`].
fn write_error(error: ApiError) -> KvError {
    match error.code() {
        Some(code::WRONG_LAST_SEQUENCE) => KvError::Conflict,
        _ => unknown(error),
    }
}

impl JetStreamKv {
    /// Writes a value (`None`: a removal) over this revision. An attempt that was refused because another
    /// write to the key was in flight was surely not stored, and what became of the other is not known yet:
    /// it is made again, until it is accepted or refused for good.
    async fn write(&self, key: &str, value: Option<&Bytes>, expected: u64) -> Result<u64, KvError> {
        let deadline = Instant::now() + self.bucket.jetstream.inner.settings.timeout;
        loop {
            let written = match value {
                Some(value) => self.bucket.put(key, value.clone(), Some(expected)).await,
                None => self.bucket.mark_removed(key, Some(expected)).await,
            };
            match written {
                Err(error)
                    if error.code() == Some(code::WRONG_LAST_SEQUENCE_IN_FLIGHT)
                        && Instant::now() < deadline =>
                {
                    sleep(IN_FLIGHT_PAUSE).await;
                }
                other => return other.map_err(write_error),
            }
        }
    }
}

#[async_trait]
impl Kv for JetStreamKv {
    async fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        Ok(self.bucket.latest(key).await.map_err(unknown)?.and_then(entry))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<KvEntry>, KvError> {
        let all = self.bucket.latest_all(prefix).await.map_err(unknown)?;
        Ok(all.into_iter().filter_map(entry).collect())
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, KvError> {
        let mut expected = 0;
        for _ in 0..CREATE_ATTEMPTS {
            match self.write(key, Some(&value), expected).await {
                Err(KvError::Conflict) => {}
                other => return other,
            }
            // A removal's marker may lie there, which is gone some time later.
            expected = match self.bucket.latest(key).await.map_err(unknown)? {
                None => 0,
                Some(Latest { value: None, revision, .. }) => revision,
                Some(_) => return Err(KvError::Conflict),
            };
        }
        Err(KvError::Unknown("the key was written and removed again and again meanwhile".into()))
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, KvError> {
        if revision == 0 {
            // Nothing has that revision, and JetStream would take it for "nothing lies there".
            return Err(KvError::Conflict);
        }
        self.write(key, Some(&value), revision).await
    }

    async fn delete(&self, key: &str, revision: Option<u64>) -> Result<(), KvError> {
        let Some(revision) = revision else {
            if self.get(key).await?.is_none() {
                return Ok(());
            }
            return self.bucket.mark_removed(key, None).await.map(|_| ()).map_err(unknown);
        };
        match self.write(key, None, revision).await {
            Err(KvError::Conflict) if self.get(key).await?.is_none() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    fn watch(&self, prefix: &str) -> BoxStream<'static, KvEvent> {
        watch(self.bucket.clone(), prefix.to_owned(), Vanished::Told)
    }
}

fn entry(latest: Latest) -> Option<KvEntry> {
    Some(KvEntry { key: latest.key, revision: latest.revision, value: latest.value? })
}
