//! Making the connection.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use millrace_tls::Tls;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use super::{JetStream, Settings};
use crate::nats_server::{MIN_VERSION, ServerVersion};

/// The longest pause between two attempts to connect again.
const MAX_RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// A server that answers no ping for about three of these is given up.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How many messages a subscription holds back for us; async-nats drops what is beyond.
const SUBSCRIPTION_CAPACITY: usize = 1 << 17;
/// How many messages wait to be written. They hold packs of up to 12 MiB.
const CLIENT_CAPACITY: usize = 256;

/// How often a failure is told that stays the same.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Held for as long as somebody uses a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(Arc<()>);

/// How to find and reach the servers.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    /// How the connection is named on the servers.
    pub name: String,
    /// How long to try until one answers and JetStream is ready.
    pub deadline: Duration,
    /// Mutual TLS with the servers, whose certificates have to be good for the hosts in their addresses; none by
    /// default. Each new connection takes the identity of its moment.
    pub tls: Option<Tls>,
}

impl Default for ConnectSettings {
    fn default() -> ConnectSettings {
        ConnectSettings { name: "millrace".into(), deadline: Duration::from_secs(30), tls: None }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address that can't be read.
    #[error("{url:?} is no address of a NATS server: {reason}; write nats://host:4222, or tls://host:4222")]
    Address {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answers.
    #[error("no NATS server answers at {urls} within {}s: {reason}", waited.as_secs())]
    Unreachable {
        /// The addresses.
        urls: String,
        /// How long we tried.
        waited: Duration,
        /// The last attempt's error.
        reason: String,
    },
    /// JetStream is off, or has no leader.
    #[error("the NATS server at {urls} answers, but JetStream was not ready within {}s: {reason}", waited.as_secs())]
    NotReady {
        /// The addresses.
        urls: String,
        /// How long we tried.
        waited: Duration,
        /// The last answer.
        reason: String,
    },
    /// The server has known holes.
    #[error(
        "the NATS server at {urls} has version {found}, but {MIN_VERSION} or later is needed: upgrade it"
    )]
    TooOld {
        /// The addresses.
        urls: String,
        /// Its version.
        found: String,
    },
    /// The connection takes no subscription.
    #[error("the NATS connection takes no subscription: {reason}")]
    Subscribe {
        /// What is wrong.
        reason: String,
    },
}

impl JetStream {
    /// Connects to one of the servers, makes sure that it is new enough, and waits until JetStream is ready.
    /// From then on the connection is made again whenever it is lost, without end.
    pub async fn connect(
        urls: &[String],
        connect: ConnectSettings,
        settings: Settings,
    ) -> Result<JetStream, ConnectError> {
        let addresses = addresses(urls)?;
        let urls = urls.join(", ");
        let deadline = Instant::now() + connect.deadline;
        let used = InUse::default();
        let client = loop {
            let options = options(&connect, &used);
            let reason = match timeout_at(deadline, options.connect(addresses.as_slice())).await {
                Ok(Ok(client)) => break client,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "time-out".into(),
            };
            if Instant::now() + MAX_RECONNECT_DELAY >= deadline {
                return Err(ConnectError::Unreachable { urls, waited: connect.deadline, reason });
            }
            sleep(MAX_RECONNECT_DELAY).await;
        };
        let found = client.server_info().version;
        if ServerVersion::parse(&found).is_none_or(|version| version < MIN_VERSION) {
            return Err(ConnectError::TooOld { urls, found });
        }
        let jetstream = JetStream::used(client, settings, used).await?;
        while let Err(error) = jetstream.ready().await {
            if Instant::now() + MAX_RECONNECT_DELAY >= deadline {
                let reason = error.to_string();
                return Err(ConnectError::NotReady { urls, waited: connect.deadline, reason });
            }
            sleep(MAX_RECONNECT_DELAY).await;
        }
        Ok(jetstream)
    }
}

fn addresses(urls: &[String]) -> Result<Vec<ServerAddr>, ConnectError> {
    let parse = |url: &String| {
        let failed =
            |error: std::io::Error| ConnectError::Address { url: url.clone(), reason: error.to_string() };
        url.parse().map_err(failed)
    };
    urls.iter().map(parse).collect()
}

fn options(connect: &ConnectSettings, used: &InUse) -> ConnectOptions {
    let options = match &connect.tls {
        // Servers tell of each other by bare addresses, for which no certificate is good.
        Some(tls) => ConnectOptions::new()
            .require_tls(true)
            .tls_client_config((*tls.client_config(&[])).clone())
            .ignore_discovered_servers(),
        None => ConnectOptions::new(),
    };
    let user = Arc::downgrade(&used.0);
    let repeats = Arc::new(Mutex::new(Repeats::default()));
    options
        .name(&connect.name)
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempts| {
            end_if_unused(&user);
            reconnect_delay(attempts)
        })
        .connection_timeout(Duration::from_secs(2))
        .ping_interval(PING_INTERVAL)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(CLIENT_CAPACITY)
        .event_callback(move |event| {
            tell(&event, &mut repeats.lock());
            std::future::ready(())
        })
}

/// Ends the client's task where nobody is left to use the connection. async-nats looks for that only while it is
/// connected: without this, a client whose server is gone for good tries without end. The callback is all that it asks
/// between two attempts, and unwinding is all that stops it there; the hook that prints panics is not run.
fn end_if_unused(user: &Weak<()>) {
    if user.strong_count() == 0 {
        std::panic::resume_unwind(Box::new("nobody uses this connection"));
    }
}

/// The failure that was told last.
#[derive(Default)]
struct Repeats(Option<(String, Instant)>);

impl Repeats {
    /// Whether this is new, or was told a while ago.
    fn is_news(&mut self, failure: &str, now: Instant) -> bool {
        let is_known = |(told, at): &(String, Instant)| told == failure && now - *at < TELL_AGAIN;
        let is_news = !self.0.as_ref().is_some_and(is_known);
        if is_news {
            self.0 = Some((failure.to_owned(), now));
        }
        is_news
    }
}

fn tell(event: &async_nats::Event, repeats: &mut Repeats) {
    use async_nats::Event;
    match event {
        Event::Connected => {
            *repeats = Repeats::default();
            tracing::info!(%event, "NATS");
        }
        Event::LameDuckMode | Event::Closed => tracing::info!(%event, "NATS"),
        event if repeats.is_news(&event.to_string(), Instant::now()) => tracing::warn!(%event, "NATS"),
        _ => {}
    }
}

/// At once, then 10 ms, 20 ms, … 250 ms.
fn reconnect_delay(attempts: usize) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        n => Duration::from_millis(10 << (n - 2).min(5)).min(MAX_RECONNECT_DELAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_begins_at_once_and_never_waits_for_long() {
        let delays: Vec<u128> = (1..9).map(|n| reconnect_delay(n).as_millis()).collect();
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 250, 250]);
        assert_eq!(reconnect_delay(usize::MAX), MAX_RECONNECT_DELAY);
    }

    #[test]
    fn a_failure_that_stays_the_same_is_told_once_a_minute() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut at = |failure, seconds| repeats.is_news(failure, start + Duration::from_secs(seconds));
        let told = [at("disconnected", 0), at("DNS error", 0), at("DNS error", 59), at("DNS error", 60)];
        assert_eq!(told, [true, true, false, true]);
        assert!(at("IO error", 61));
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        let error =
            addresses(&["nats://127.0.0.1:4222".into(), "nats://:::".into()]).expect_err("no address");
        assert!(error.to_string().starts_with("\"nats://:::\" is no address"), "{error}");
    }
}
