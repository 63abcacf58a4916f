//! The one nats-server of `millrace dev`: started, started again when it dies, stopped at the end.

use std::time::Duration;

use millrace_log::nats_server::{NatsServer, NatsServerError, NatsServerOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The pause before a server that died is started again.
const PAUSE: Duration = Duration::from_millis(200);

/// A nats-server that is looked after.
pub(super) struct Supervised {
    /// Where clients connect to. Stays the same when the server is started again.
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Supervised {
    /// Returns once the server has ended, after `stop`.
    pub(super) async fn ended(self) {
        let _ = self.task.await;
    }
}

/// Starts the server, and keeps it running until `stop`.
pub(super) async fn start(
    mut options: NatsServerOptions,
    stop: CancellationToken,
) -> Result<Supervised, NatsServerError> {
    let mut server = NatsServer::start(options.clone()).await?;
    let url = server.url();
    // Clients find it again at the same port.
    options.port = Some(server.port());
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                died = server.ended() => eprintln!("{died}\nnats-server is started again; nothing acknowledged is lost"),
                () = stop.cancelled() => return server.stop().await,
            }
            drop(server);
            server = loop {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.cancelled() => return,
                }
                match NatsServer::start(options.clone()).await {
                    Ok(server) => break server,
                    Err(error) => eprintln!("{error}"),
                }
            };
        }
    });
    Ok(Supervised { url, task })
}
