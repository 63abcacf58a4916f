//! What a broker process says of itself to those who look after it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use millrace_server::broker::Broker;
use millrace_server::http::{Admin, serve_admin};
use tokio_util::sync::CancellationToken;

use crate::node::bind;

/// How those who look after a process reach it.
pub struct AdminOptions {
    /// Where probes are answered.
    pub listen: SocketAddr,
    /// Whether metrics are told there.
    pub metrics: bool,
}

/// The listener for probes of a broker process. It is there from the process's beginning to its end.
pub struct BrokerAdmin {
    /// Set once the broker has started and its listeners are open.
    broker: OnceLock<Arc<Broker>>,
    /// Cancelled when the process is to stop.
    stopping: CancellationToken,
    metrics: bool,
}

impl BrokerAdmin {
    /// Listens where it is told until the process ends. `stopping`: from when on the broker is not ready any more.
    ///
    /// # Errors
    /// When the address is in use.
    pub async fn start(
        options: &AdminOptions,
        stopping: CancellationToken,
    ) -> anyhow::Result<Arc<BrokerAdmin>> {
        let listener = bind(options.listen).await?;
        let admin = Arc::new(BrokerAdmin { broker: OnceLock::new(), stopping, metrics: options.metrics });
        tokio::spawn(serve_admin(listener, admin.clone(), CancellationToken::new()));
        Ok(admin)
    }

    /// The broker that serves from now on.
    pub fn serves(&self, broker: Arc<Broker>) {
        // There is one broker in a process.
        let _ = self.broker.set(broker);
    }
}

#[async_trait]
impl Admin for BrokerAdmin {
    async fn ready(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("the broker is stopping".to_owned());
        }
        match self.broker.get() {
            Some(broker) => broker.ready(),
            None => Err("the broker is starting: it connects to its log".to_owned()),
        }
    }

    async fn metrics(&self) -> Option<String> {
        self.metrics.then(|| self.broker.get().map_or_else(String::new, |broker| broker.render_metrics()))
    }
}
