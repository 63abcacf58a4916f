//! Heartbeats: the bucket `MR_LIVE`, in memory, where each beat is forgotten after ten seconds.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::JetStream;
use super::api::ApiError;
use super::bucket::{Bucket, BucketConfig};
use super::kv::unknown;
use super::watch::{Vanished, watch};
use crate::{Heartbeats, KvError, KvEvent};

/// How long a beat is remembered, in seconds: some of those that a broker is given.
const REMEMBERED_S: u64 = 10;
/// All beats together, in bytes: set aside on each server.
const MAX_BYTES: i64 = 4 << 20;

/// Who is alive, on JetStream.
#[derive(Clone, Debug)]
pub struct JetStreamHeartbeats {
    bucket: Bucket,
}

impl JetStream {
    /// The heartbeats, whose bucket is made if it is not there: a server that stands alone forgets it when it
    /// restarts, and whoever beats or watches next makes it again.
    pub async fn heartbeats(&self) -> Result<JetStreamHeartbeats, KvError> {
        let config = BucketConfig {
            name: "MR_LIVE",
            storage: "memory",
            max_age_s: REMEMBERED_S,
            max_bytes: MAX_BYTES,
        };
        let bucket = Bucket::new(self.clone(), config);
        bucket.ensure().await.map_err(unknown)?;
        Ok(JetStreamHeartbeats { bucket })
    }
}

#[async_trait]
impl Heartbeats for JetStreamHeartbeats {
    async fn beat(&self, key: &str, value: Bytes) -> Result<(), KvError> {
        let beaten = match self.bucket.put(key, value.clone(), None).await {
            Err(ApiError::NoResponders { .. }) => {
                self.bucket.ensure().await.map_err(unknown)?;
                self.bucket.put(key, value, None).await
            }
            other => other,
        };
        beaten.map(|_| ()).map_err(unknown)
    }

    async fn stop(&self, key: &str) -> Result<(), KvError> {
        self.bucket.mark_removed(key, None).await.map(|_| ()).map_err(unknown)
    }

    fn watch_beats(&self) -> BoxStream<'static, KvEvent> {
        watch(self.bucket.clone(), String::new(), Vanished::Silent)
    }
}
