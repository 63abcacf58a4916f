//! The operator's connections to the Brokers' logs.

mod nats;

pub use nats::{Changed, NatsLinks};

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_autoscaler::Outlook;
use millrace_log::{Kv, KvError, Log};
use millrace_server::controller::Told;

use crate::broker::Names;

/// What a keeper's answer begins with when the volume of its log server is full; then comes how much is left.
pub const VOLUME_FULL: &str = "the volume is full: ";

/// A key in KV that is written for the sake of being written.
const COMMIT_KEY: &str = "probe.commit";

/// How full something is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What is stored.
    pub stored_bytes: u64,
    /// What may be stored.
    pub limit_bytes: u64,
}

impl Usage {
    /// In per cent, rounded down.
    pub fn percent(&self) -> u64 {
        (u128::from(self.stored_bytes) * 100 / u128::from(self.limit_bytes.max(1))) as u64
    }
}

/// Why a stream of the log is not as it should be, as its controller found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether only a person can help.
    pub lost: bool,
    /// A sentence.
    pub message: String,
}

/// What there is to say of a Broker's log beside what it holds.
pub trait Observe: Send + Sync {
    /// Why a stream is not tended, if it is not.
    fn failure(&self, namespace: &str, stream: &str) -> Option<Failure>;

    /// What the autoscaler saw of a stream in the last second, and what it waits for.
    fn outlook(&self, namespace: &str, stream: &str) -> Option<Arc<Outlook>>;

    /// What was decided about a stream lately, oldest first.
    fn decisions(&self, namespace: &str, stream: &str) -> Vec<Told>;

    /// What all lanes of a stream store, in bytes, as it was last looked at.
    fn stored_bytes_of(&self, data: &millrace_core::DataId) -> Option<u64>;

    /// What all log servers store together, in bytes, as it was last looked at.
    fn stored_bytes(&self) -> Option<u64>;
}

/// A connection to a Broker's log.
#[derive(Clone)]
pub struct Link {
    /// Where records are.
    pub log: Arc<dyn Log>,
    /// Where streams and maps are.
    pub kv: Arc<dyn Kv>,
    /// What else is known of it.
    pub observe: Arc<dyn Observe>,
}

impl Link {
    /// Stores something on a majority of the log servers.
    ///
    /// # Errors
    /// When that is not known to have happened.
    pub async fn commit(&self) -> Result<(), KvError> {
        match self.kv.get(COMMIT_KEY).await? {
            Some(found) => self.kv.update(COMMIT_KEY, found.value, found.revision).await.map(|_| ()),
            None => self.kv.create(COMMIT_KEY, Bytes::new()).await.map(|_| ()),
        }
    }
}

/// What a connection needs.
#[derive(Clone, PartialEq)]
pub struct LinkPlan {
    /// Where NATS is.
    pub urls: Vec<String>,
    /// How many copies JetStream keeps.
    pub replicas: u8,
    /// The operator's certificate.
    pub identity: Arc<millrace_certificates::Pem>,
}

/// The connections that there are, or that are being made.
#[async_trait]
pub trait Links: Send + Sync {
    /// Sees to it that there is a connection of this kind; it comes about beside us, and its Broker and Streams are
    /// then reconciled.
    fn ensure(&self, broker: &Names, plan: LinkPlan);

    /// The connection, if there is one.
    fn get(&self, broker: &Names) -> Option<Link>;

    /// Ends it.
    fn forget(&self, broker: &Names);

    /// Why a log server is not ready, as its keeper says at this address of its pod; `None` when it says nothing.
    async fn why_not_ready(&self, address: IpAddr) -> Option<String>;
}
