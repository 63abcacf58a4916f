//! Watching a bucket, through anything that happens to servers and connections.
//!
//! A watch is a row of sessions. Each begins with what the bucket's leader has, compared with what was told
//! before, and goes on with a push consumer from there. Whatever goes wrong (a lost connection, a gap in the
//! consumer's numbers, silence) ends the session, and the next one finds what was missed.

use std::time::Duration;

use async_nats::StatusCode;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::api::ApiError;
use super::bucket::{Bucket, marks_removal};
use super::inbox::connections;
use super::known::{Known, Stale};
use crate::{KvEntry, KvEvent};

/// How often the consumer says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence after which the consumer is taken for dead.
const SILENCE: Duration = Duration::from_secs(3);
/// How often to look whether the connection is still the same one.
const CONNECTION_CHECK: Duration = Duration::from_millis(50);
/// Pause between a session that failed and the next.
const PAUSE: Duration = Duration::from_millis(100);
/// How many events wait for a slow watcher.
const EVENTS: usize = 1024;
/// How often a leader may know less than was told before, until it is believed: it may have been cut off from
/// a newer one, or the bucket may have been restored from an older state.
const STALE_ATTEMPTS: u32 = 50;

/// What becomes of keys that are found gone without a word about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vanished {
    /// Each is told as a removal.
    Told,
    /// Nothing: age takes them.
    Silent,
}

/// Starts to watch the keys that begin with the prefix.
pub(super) fn watch(bucket: Bucket, prefix: String, vanished: Vanished) -> BoxStream<'static, KvEvent> {
    let (events, receiver) = mpsc::channel(EVENTS);
    let known = Known::new(vanished == Vanished::Told);
    let watcher = Watcher { bucket, prefix, events: events.clone(), known, stale: 0, current_told: false };
    tokio::spawn(async move {
        tokio::select! {
            () = events.closed() => {}
            () = watcher.run() => {}
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()
}

struct Watcher {
    bucket: Bucket,
    prefix: String,
    events: mpsc::Sender<KvEvent>,
    known: Known,
    stale: u32,
    current_told: bool,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the leader knows less than was told before")]
    Stale,
    #[error("the subscription failed: {0}")]
    Subscribe(String),
    #[error("the connection was lost")]
    ConnectionLost,
    #[error("the consumer is silent")]
    Silent,
    #[error("a message was lost on the way")]
    Gap,
    #[error("the consumer was ended: status {0}")]
    ConsumerEnded(StatusCode),
    #[error("nobody listens any more")]
    Unwatched,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let end = match self.session().await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            if matches!(end, SessionEnd::Unwatched) {
                return;
            }
            tracing::debug!(stream = self.bucket.stream(), prefix = self.prefix, %end, "watching anew");
            if let SessionEnd::Api(error) = &end
                && self.bucket.ensure_if_forgotten(error).await
            {
                continue;
            }
            sleep(PAUSE).await;
        }
    }

    async fn tell(&self, event: KvEvent) -> Result<(), SessionEnd> {
        self.events.send(event).await.map_err(|_| SessionEnd::Unwatched)
    }

    async fn session(&mut self) -> Result<std::convert::Infallible, SessionEnd> {
        // Everything up to here is in what `latest_all` finds; everything after comes from the consumer.
        let info = self.bucket.info().await?;
        let last = info.state.last_seq;
        let latest = self.bucket.latest_all(&self.prefix).await?;
        let believe = self.stale >= STALE_ATTEMPTS;
        let events = match self.known.compare(&info.created, last, latest, believe) {
            Ok(events) => events,
            Err(Stale) => {
                self.stale += 1;
                return Err(SessionEnd::Stale);
            }
        };
        self.stale = 0;
        for event in events {
            self.tell(event).await?;
        }
        if !self.current_told {
            self.tell(KvEvent::Current).await?;
            self.current_told = true;
        }
        self.follow(last + 1).await
    }

    /// Tells what a consumer brings, from this sequence on.
    async fn follow(&mut self, start: u64) -> Result<std::convert::Infallible, SessionEnd> {
        let client = self.bucket.jetstream.client().clone();
        let connection = connections(&client);
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let mut subscription = subscribed.map_err(|error| SessionEnd::Subscribe(error.to_string()))?;
        self.make_consumer(&inbox, start).await?;
        let mut delivered = 0;
        let mut heard = Instant::now();
        let mut check = tokio::time::interval(CONNECTION_CHECK);
        loop {
            let message = tokio::select! {
                message = subscription.next() => message.ok_or(SessionEnd::ConnectionLost)?,
                _ = check.tick() => {
                    if connections(&client) != connection {
                        return Err(SessionEnd::ConnectionLost);
                    }
                    if heard.elapsed() > SILENCE {
                        return Err(SessionEnd::Silent);
                    }
                    continue;
                }
            };
            heard = Instant::now();
            let headers = message.headers.as_ref();
            match message.status {
                None => {}
                Some(StatusCode::IDLE_HEARTBEAT) => {
                    let last = headers.and_then(|headers| headers.get("Nats-Last-Consumer"));
                    if last.is_some_and(|last| last.as_str().parse() != Ok(delivered)) {
                        return Err(SessionEnd::Gap);
                    }
                    // Flow control: the consumer goes on once it is answered.
                    let stalled = headers.and_then(|headers| headers.get("Nats-Consumer-Stalled"));
                    let reply = message.reply.or_else(|| stalled.map(|subject| subject.as_str().into()));
                    if let Some(reply) = reply {
                        let answered = client.publish(reply, Bytes::new()).await;
                        answered.map_err(|_| SessionEnd::ConnectionLost)?;
                    }
                    continue;
                }
                Some(status) => return Err(SessionEnd::ConsumerEnded(status)),
            }
            let numbers = message.reply.as_deref().and_then(delivery_numbers);
            let (revision, number) = numbers.ok_or(SessionEnd::Gap)?;
            delivered += 1;
            if number != delivered {
                return Err(SessionEnd::Gap);
            }
            let Some(key) = self.bucket.key(&message.subject) else { continue };
            let event = if marks_removal(headers) {
                KvEvent::Delete { key: key.to_owned(), revision }
            } else {
                KvEvent::Put(KvEntry { key: key.to_owned(), revision, value: message.payload })
            };
            if self.known.follow(&event) {
                self.tell(event).await?;
            }
        }
    }

    /// Makes a consumer that pushes to the inbox. It ends by itself soon after the subscription does.
    async fn make_consumer(&self, inbox: &str, start: u64) -> Result<(), ApiError> {
        let stream = self.bucket.stream();
        let request = json!({
            "stream_name": stream,
            "config": {
                "deliver_subject": inbox,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": start,
                "filter_subject": self.bucket.subject(&format!("{}>", self.prefix)),
                "ack_policy": "none",
                "max_deliver": 1,
                "replay_policy": "instant",
                "flow_control": true,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
                "inactive_threshold": Duration::from_secs(10).as_nanos() as u64,
                "mem_storage": true,
                "num_replicas": 1,
            },
        });
        let subject = format!("$JS.API.CONSUMER.CREATE.{stream}");
        self.bucket.jetstream.api_json::<IgnoredAny>(subject, &request).await?;
        Ok(())
    }
}

/// The stream's and the consumer's sequence in `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.
/// <consumer sequence>.<time>.<pending>`, which may have a domain and an account before the stream.
fn delivery_numbers(reply: &str) -> Option<(u64, u64)> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let stream_sequence = match tokens.len() {
        7 => 3,
        9.. => 5,
        _ => return None,
    };
    Some((tokens[stream_sequence].parse().ok()?, tokens[stream_sequence + 1].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_delivery_subject_are_read() {
        assert_eq!(delivery_numbers("$JS.ACK.KV_MR.c1.1.17.3.1700000000000000000.0"), Some((17, 3)));
        assert_eq!(
            delivery_numbers("$JS.ACK._.hash.KV_MR.c1.1.17.3.1700000000000000000.0.rnd"),
            Some((17, 3))
        );
        assert_eq!(delivery_numbers("_INBOX.x"), None);
    }
}
