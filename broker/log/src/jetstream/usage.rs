//! How full JetStream's streams are.

use millrace_core::{DataId, Lane};
use serde::Deserialize;
use serde_json::json;

use super::JetStream;
use crate::LogError;

/// How full one of JetStream's streams is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamUsage {
    /// Whose lane it is, if it is one; KV's buckets are none.
    pub lane: Option<(DataId, Lane)>,
    /// What one copy of it holds, in bytes.
    pub stored_bytes: u64,
    /// How many copies there are.
    pub replicas: u64,
}

#[derive(Deserialize)]
struct Page {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    config: ListedConfig,
    state: ListedState,
}

#[derive(Deserialize)]
struct ListedConfig {
    name: String,
    num_replicas: u64,
}

#[derive(Deserialize)]
struct ListedState {
    bytes: u64,
}

impl JetStream {
    /// How full every stream is, in a few requests: JetStream lists 256 of them at a time
    /// (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>, `STREAM.LIST`).
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn usage(&self) -> Result<Vec<StreamUsage>, LogError> {
        let mut usage: Vec<StreamUsage> = Vec::new();
        loop {
            let request = json!({"offset": usage.len()});
            let page: Page = self.api_json("$JS.API.STREAM.LIST".to_owned(), &request).await?;
            let streams = page.streams.unwrap_or_default();
            let is_last = streams.is_empty();
            usage.extend(streams.into_iter().map(|stream| StreamUsage {
                lane: Lane::parse_stream_name(&stream.config.name),
                stored_bytes: stream.state.bytes,
                replicas: stream.config.num_replicas,
            }));
            if is_last || usage.len() >= page.total {
                return Ok(usage);
            }
        }
    }
}
