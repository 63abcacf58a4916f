//! Replies to our requests: one wildcard subscription, and a map of who waits for which.
//!
//! async-nats has requests of its own, but one that is never answered stays in its map for ever
//! (nats-io/nats.rs#1617), and none of them fails when the connection is lost. Here a token leaves the map when
//! its owner drops it, and all tokens of a lost connection are told so at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message, Subscriber};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How often to look whether the connection is still the same one.
const CONNECTION_CHECK: Duration = Duration::from_millis(50);

/// What comes for a token.
#[derive(Debug)]
pub(super) enum Reply {
    /// A message.
    Message(Message),
    /// The connection that the request went out on is gone; a reply will hardly come.
    ConnectionLost,
}

#[derive(Debug)]
struct Waiting {
    /// Which connection the request went out on, counted from 1.
    connection: u64,
    sender: mpsc::UnboundedSender<Reply>,
}

#[derive(Debug)]
struct Tokens {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

/// The subscription and its map.
#[derive(Debug)]
pub(super) struct Inbox {
    prefix: String,
    tokens: Arc<Tokens>,
    client: Client,
    task: JoinHandle<()>,
}

/// One request's place in the map, for as long as it lives.
#[derive(Debug)]
pub(super) struct Token {
    id: u64,
    /// The subject that replies go to.
    pub(super) subject: String,
    tokens: Arc<Tokens>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

impl Inbox {
    pub(super) async fn new(client: &Client) -> Result<Inbox, async_nats::SubscribeError> {
        let prefix = client.new_inbox();
        let subscription = client.subscribe(format!("{prefix}.*")).await?;
        let tokens = Arc::new(Tokens { next: AtomicU64::new(1), waiting: Mutex::new(HashMap::new()) });
        let task = tokio::spawn(dispatch(client.clone(), subscription, tokens.clone(), prefix.len() + 1));
        Ok(Inbox { prefix, tokens, client: client.clone(), task })
    }

    /// A token for a request that is sent right after.
    pub(super) fn token(&self) -> Token {
        let id = self.tokens.next.fetch_add(1, Ordering::Relaxed);
        // Unbounded, but what comes is bounded by the one request: see `reads_in_flight` for those with many
        // replies.
        let (sender, replies) = mpsc::unbounded_channel();
        let waiting = Waiting { connection: connections(&self.client), sender };
        self.tokens.waiting.lock().insert(id, waiting);
        Token { id, subject: format!("{}.{id}", self.prefix), tokens: self.tokens.clone(), replies }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.tokens.waiting.lock().len()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Token {
    /// The next reply.
    pub(super) async fn reply(&mut self) -> Reply {
        self.replies.recv().await.unwrap_or(Reply::ConnectionLost)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.tokens.waiting.lock().remove(&self.id);
    }
}

/// How many connections the client has made so far.
pub(super) fn connections(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

async fn dispatch(client: Client, mut subscription: Subscriber, tokens: Arc<Tokens>, prefix_bytes: usize) {
    let mut check = tokio::time::interval(CONNECTION_CHECK);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = subscription.next() => {
                let Some(message) = message else { break };
                let id = message.subject.get(prefix_bytes..).and_then(|token| token.parse::<u64>().ok());
                let Some(id) = id else { continue };
                // A token that is not there any more has been given up by its owner.
                if let Some(waiting) = tokens.waiting.lock().get(&id) {
                    let _ = waiting.sender.send(Reply::Message(message));
                }
            }
            _ = check.tick() => fail_lost(&client, &tokens),
        }
    }
    for (_, waiting) in tokens.waiting.lock().drain() {
        let _ = waiting.sender.send(Reply::ConnectionLost);
    }
}

/// Tells those whose connection is gone.
fn fail_lost(client: &Client, tokens: &Tokens) {
    let connected = client.connection_state() == State::Connected;
    let current = connections(client);
    tokens.waiting.lock().retain(|_, waiting| {
        let lost = !connected || waiting.connection != current;
        if lost {
            let _ = waiting.sender.send(Reply::ConnectionLost);
        }
        !lost
    });
}
