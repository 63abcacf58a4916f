//! What reconcilers work with.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use millrace_certificates::Seed;
use millrace_crds::Stream;
use millrace_server::clock::Clock;

use crate::events::Teller;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The Streams of a namespace, as the watch last told.
pub type StreamsOf = Arc<dyn Fn(&str) -> Vec<Arc<Stream>> + Send + Sync>;

/// What reconcilers work with.
pub struct Context {
    /// The way to the API server.
    pub client: Client,
    /// What the operator was told.
    pub settings: Settings,
    /// What certificates are derived from.
    pub seed: Seed,
    /// The way to the Brokers' logs.
    pub links: Arc<dyn Links>,
    /// Figures about itself.
    pub metrics: Metrics,
    /// Tells Events.
    pub teller: Teller,
    /// The time of day, and chance.
    pub clock: Arc<dyn Clock>,
    /// Which Streams there are.
    pub streams: StreamsOf,
    /// The Brokers whose access key this process has seen to.
    pub keys_made: parking_lot::Mutex<std::collections::HashSet<String>>,
}

impl Context {
    /// The time.
    pub fn now(&self) -> Time {
        let ms = self.clock.now_ms();
        // Seconds, as the API server keeps them.
        Time(Timestamp::from_second(ms.div_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}
