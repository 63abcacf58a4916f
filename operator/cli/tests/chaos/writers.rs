//! Writers, as applications with an AWS SDK are: many records in a call, one call in flight for each key, what
//! failed is sent again after a pause, to another broker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use base64_simd::STANDARD;
use millrace_log::memory::Dice;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks::{Acknowledged, Attempt, explicit_hash_key, partition_key};
use crate::kinesis::{CallError, Kinesis, STREAM, shard_number};

/// How many writers there are, and how many keys each of them has: the records of one call.
const WRITERS: u32 = 8;
const KEYS: u32 = 250;
/// The pause after a call, so that records are not more than can be checked.
const PACE: Duration = Duration::from_millis(100);
/// The first and the longest pause before records are sent again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The records of one call, until all of them are acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) begun: Instant,
    pub(crate) done: Instant,
    /// How many calls it took.
    pub(crate) calls: u32,
}

/// What one writer has done.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Its keys' acknowledgements, in the order of their numbers.
    pub(crate) keys: Vec<Vec<Acknowledged>>,
    pub(crate) rounds: Vec<Round>,
}

/// Writers at work.
pub(crate) struct Writers {
    tasks: Vec<JoinHandle<anyhow::Result<Written>>>,
    acknowledged: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Writers {
    pub(crate) fn start(kinesis: &Kinesis, brokers: &[SocketAddr], dice: &mut Dice) -> Writers {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let writer = |n| Writer {
            kinesis: kinesis.clone(),
            brokers: brokers.to_vec(),
            broker: n as usize % brokers.len(),
            first_key: n * KEYS,
            // Some give up soon and send again what is still on its way, some wait.
            within: Duration::from_millis(dice.between(&(3_000..=12_000))),
            dice: dice.fork(),
            acknowledged: acknowledged.clone(),
            written: Written { keys: vec![Vec::new(); KEYS as usize], rounds: Vec::new() },
        };
        let writers: Vec<Writer> = (0..WRITERS).map(writer).collect();
        let tasks = writers.into_iter().map(|writer| tokio::spawn(writer.run(stop.clone()))).collect();
        Writers { tasks, acknowledged, stop }
    }

    /// How many records were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether a writer has given up, which none should.
    pub(crate) fn has_failed(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }

    /// Lets the writers finish what they have begun.
    pub(crate) async fn finish(self) -> anyhow::Result<Vec<Written>> {
        self.stop.cancel();
        let mut written = Vec::new();
        for task in self.tasks {
            written.push(task.await??);
        }
        Ok(written)
    }
}

struct Writer {
    kinesis: Kinesis,
    brokers: Vec<SocketAddr>,
    /// Which of them it calls.
    broker: usize,
    first_key: u32,
    within: Duration,
    dice: Dice,
    acknowledged: Arc<AtomicU64>,
    written: Written,
}

/// The answer to `PutRecords`.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Placed<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Placed<'a> {
    sequence_number: Option<&'a str>,
    shard_id: Option<&'a str>,
    error_code: Option<&'a str>,
}

impl Writer {
    async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Written> {
        while !stop.is_cancelled() {
            self.round().await?;
            tokio::time::sleep(PACE).await;
        }
        Ok(self.written)
    }

    /// One more record of each key.
    async fn round(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut pending: Vec<u32> = (0..KEYS).collect();
        let mut attempt = 0;
        loop {
            let body = self.body(&pending, attempt);
            let broker = self.brokers[self.broker];
            match self.kinesis.call(broker, "PutRecords", body, self.within).await {
                Ok(answer) => self.take(&answer, &mut pending, attempt)?,
                Err(error) if error.passes() => {}
                Err(error) => bail!("PutRecords at {broker}: {error}"),
            }
            attempt += 1;
            if pending.is_empty() {
                break;
            }
            self.broker = (self.broker + 1) % self.brokers.len();
            let longest = BACKOFF.0.saturating_mul(1 << attempt.min(10)).min(BACKOFF.1);
            let pause = self.dice.between(&(1..=longest.as_millis() as u64));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.written.rounds.push(Round { begun, done: Instant::now(), calls: attempt });
        Ok(())
    }

    fn body(&self, pending: &[u32], attempt: u32) -> String {
        let mut body = format!(r#"{{"StreamName":"{STREAM}","Records":["#);
        for (n, index) in pending.iter().enumerate() {
            let key = self.first_key + index;
            let number = self.written.keys[*index as usize].len() as u32;
            let data = STANDARD.encode_to_string(Attempt { key, number, attempt }.payload());
            let explicit = explicit_hash_key(key).map(|at| format!(r#","ExplicitHashKey":"{at}""#));
            let (comma, explicit) = (if n > 0 { "," } else { "" }, explicit.unwrap_or_default());
            let key = partition_key(key);
            body.push_str(&format!(r#"{comma}{{"PartitionKey":"{key}","Data":"{data}"{explicit}}}"#));
        }
        body.push_str("]}");
        body
    }

    /// Notes what is acknowledged; the rest stays pending.
    fn take(&mut self, answer: &[u8], pending: &mut Vec<u32>, attempt: u32) -> anyhow::Result<()> {
        let answer: Answer<'_> = serde_json::from_slice(answer).context("an answer that can't be read")?;
        if answer.records.len() != pending.len() {
            bail!("{} records were put, {} are answered", pending.len(), answer.records.len());
        }
        let mut failed = Vec::new();
        for (index, placed) in pending.iter().zip(answer.records) {
            match placed {
                Placed { sequence_number: Some(sequence), shard_id: Some(shard), error_code: None } => {
                    let (shard, sequence) = (shard_number(shard)?, sequence.parse()?);
                    self.written.keys[*index as usize].push(Acknowledged { attempt, shard, sequence });
                }
                Placed { error_code: Some(name), .. } => {
                    let error = CallError::Refused { name: name.to_owned(), message: String::new() };
                    if !error.passes() {
                        bail!("a record was refused: {error}");
                    }
                    failed.push(*index);
                }
                _ => bail!("a record is neither placed nor refused"),
            }
        }
        self.acknowledged.fetch_add((pending.len() - failed.len()) as u64, Ordering::Relaxed);
        *pending = failed;
        Ok(())
    }
}
