//! The log on NATS JetStream.
//!
//! [`JetStream`] is one connection; [`JetStreamLog`], [`JetStreamKv`] and [`JetStreamHeartbeats`] are made from
//! it. Requests are our own, on the JetStream API's subjects
//! (<https://docs.nats.io/reference/reference-protocols/nats_api_reference>): async-nats has neither batched
//! direct gets nor the error codes that safety rests on.

mod api;
mod append;
mod bucket;
mod connect;
mod heartbeats;
mod inbox;
mod known;
mod kv;
mod lane;
mod read;
mod usage;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::Semaphore;

use connect::InUse;
pub use connect::{ConnectError, ConnectSettings};
pub use heartbeats::JetStreamHeartbeats;
use inbox::Inbox;
pub use kv::JetStreamKv;
pub use lane::JetStreamLog;
pub use usage::StreamUsage;

/// How the log is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// On how many servers lanes and KV are stored: 1 or 3.
    pub replicas: u8,
    /// How long an append, a write or a question may take.
    pub timeout: Duration,
    /// What KV may hold, in bytes. JetStream sets it aside, so that full lanes can't keep maps from changing.
    pub kv_max_bytes: u64,
    /// How many bytes may be on their way to us for reads, of all readers together.
    pub read_bytes_in_flight: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            replicas: 1,
            timeout: Duration::from_secs(5),
            kv_max_bytes: 256 << 20,
            read_bytes_in_flight: 64 << 20,
        }
    }
}

/// A connection to JetStream. Clones share it.
#[derive(Clone, Debug)]
pub struct JetStream {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    settings: Settings,
    inbox: Inbox,
    /// One permit for each KiB that a read may bring.
    read_kib: Semaphore,
    /// One permit for each message that a read may bring: the subscription's channel holds so many.
    read_messages: Semaphore,
    _used: InUse,
}

impl JetStream {
    /// On a client that exists, which needs room for 65,536 messages in a subscription (async-nats' default).
    /// See [`JetStream::connect`] for one with the right options.
    pub async fn new(client: Client, settings: Settings) -> Result<JetStream, ConnectError> {
        JetStream::used(client, settings, InUse::default()).await
    }

    async fn used(client: Client, settings: Settings, used: InUse) -> Result<JetStream, ConnectError> {
        let inbox = Inbox::new(&client)
            .await
            .map_err(|error| ConnectError::Subscribe { reason: error.to_string() })?;
        let read_kib = Semaphore::new((settings.read_bytes_in_flight as usize).div_ceil(1024).max(1));
        let read_messages = Semaphore::new(read::MESSAGES_IN_FLIGHT);
        Ok(JetStream {
            inner: Arc::new(Inner { client, settings, inbox, read_kib, read_messages, _used: used }),
        })
    }

    /// The log of shards.
    pub fn log(&self) -> JetStreamLog {
        JetStreamLog::new(self.clone())
    }

    /// The client that all of this uses.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// How many requests wait for an answer.
    pub fn requests_in_flight(&self) -> usize {
        self.inner.inbox.waiting()
    }
}
