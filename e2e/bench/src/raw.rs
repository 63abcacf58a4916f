//! `raw`: what JetStream itself takes, one record a message.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, ContextBuilder};
use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::kinesis::{DISTINCT_REQUESTS, RECORD_BYTES};
use crate::load::{self, Outcome};
use crate::options::Measurement;
use crate::report::{Side, Unit};
use crate::server::{Peer, Sync};
use crate::tally::{Tally, Window};

/// The stream that is written.
pub(crate) const STREAM: &str = "RAW";
/// As many as the shards beside it.
const SUBJECTS: u64 = 8;
/// Unacknowledged messages on each subject: 4,096 together.
const IN_FLIGHT: usize = 512;
/// A store that outgrows the page cache tells of the disk, not of the server.
const MAX_BYTES: i64 = 1 << 30;
/// What surely fits into that, with what JetStream stores beside each message.
const MAX_MESSAGES: u64 = 950_000;

/// Publishes single records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) url: String,
    /// How many publish, each to a subject of its own.
    pub(crate) publishers: u64,
    /// How many messages each of them has in flight. One: it waits for each acknowledgement.
    pub(crate) in_flight: usize,
    pub(crate) seconds: f64,
    /// How many messages are published at most.
    pub(crate) messages: u64,
}

impl Load {
    /// As fast as JetStream goes.
    fn asynchronous(url: &str, seconds: u64) -> Load {
        let url = url.to_owned();
        Load {
            url,
            publishers: SUBJECTS,
            in_flight: IN_FLIGHT,
            seconds: seconds as f64,
            messages: MAX_MESSAGES,
        }
    }

    /// One after another.
    pub(crate) fn synchronous(url: &str, seconds: u64) -> Load {
        Load { publishers: 1, in_flight: 1, ..Load::asynchronous(url, seconds) }
    }

    /// So many messages, however long it takes.
    pub(crate) fn fill(url: &str, messages: u64) -> Load {
        Load { messages, ..Load::asynchronous(url, 300) }
    }

    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = async_nats::connect(&self.url).await?;
        let capacity = self.in_flight * self.publishers as usize;
        let jetstream = ContextBuilder::new()
            .timeout(Duration::from_secs(30))
            .max_ack_inflight(2 * capacity)
            .backpressure_on_inflight(true)
            .build(client);
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["raw.*".to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_bytes: MAX_BYTES,
            num_replicas: 1,
            allow_direct: true,
            ..Config::default()
        };
        jetstream.create_stream(config).await.context("can't make the stream")?;
        let payloads: Arc<Vec<Bytes>> = Arc::new((0..DISTINCT_REQUESTS).map(|_| random_payload()).collect());
        let budget = Arc::new(AtomicU64::new(self.messages));
        let window = Window::starting_now(Duration::from_secs_f64(self.seconds));
        let mut tasks = Vec::new();
        for publisher in 0..self.publishers {
            let publish = Publisher {
                jetstream: jetstream.clone(),
                subject: format!("raw.{publisher}"),
                payloads: payloads.clone(),
                budget: budget.clone(),
                in_flight: self.in_flight,
            };
            tasks.push(tokio::spawn(publish.run(window)));
        }
        let mut all = Tally::new(window);
        for task in tasks {
            all.add(task.await?);
        }
        Ok(all.outcome())
    }
}

fn random_payload() -> Bytes {
    let mut data = vec![0; RECORD_BYTES];
    rand::rng().fill_bytes(&mut data);
    data.into()
}

struct Publisher {
    jetstream: jetstream::Context,
    subject: String,
    payloads: Arc<Vec<Bytes>>,
    budget: Arc<AtomicU64>,
    in_flight: usize,
}

impl Publisher {
    async fn run(self, window: Window) -> Tally {
        let mut tally = Tally::new(window);
        let mut pending: VecDeque<(Instant, PublishAckFuture)> = VecDeque::with_capacity(self.in_flight);
        let mut next = 0;
        loop {
            let publishes = window.is_open() && take_one(&self.budget);
            while pending.len() >= self.in_flight || !publishes {
                let Some((sent, acknowledgement)) = pending.pop_front() else { return tally };
                match acknowledgement.into_future().await {
                    Ok(_) => tally.acknowledged(sent, 1),
                    Err(error) => tally.failed(error),
                }
            }
            let sent = Instant::now();
            let payload = self.payloads[next % self.payloads.len()].clone();
            match self.jetstream.publish(self.subject.clone(), payload).await {
                Ok(acknowledgement) => pending.push_back((sent, acknowledgement)),
                Err(error) => tally.failed(error),
            }
            next += 1;
        }
    }
}

/// Takes one from what is left, if anything is.
pub(crate) fn take_one(budget: &AtomicU64) -> bool {
    budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// JetStream's own rate, in records a second.
pub(crate) async fn rate(bench: &mut Bench, sync: Sync) -> anyhow::Result<f64> {
    let (directory, name) = (bench.directory()?, name(sync));
    let peer = Peer::start(bench, directory.path(), sync).await?;
    let load = load::Load::Raw(Load::asynchronous(&peer.url, bench.seconds));
    let rate = bench.load(Measurement::Raw, name, load).await?.get("records_per_s")?;
    bench.report.add(Measurement::Raw, name, Side::JetStream, Unit::RecordsPerSecond, rate);
    Ok(rate)
}

fn name(sync: Sync) -> &'static str {
    match sync {
        Sync::Always => "asynchronous publish, fsync always",
        Sync::Default => "asynchronous publish, fsync every 2 min (default)",
    }
}

/// Measures JetStream alone.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.runs {
        rate(bench, Sync::Always).await?;
        rate(bench, Sync::Default).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_exactly() {
        let budget = AtomicU64::new(3);
        assert_eq!((0..5).filter(|_| take_one(&budget)).count(), 3);
        assert!(!take_one(&budget));
    }
}
