//! `catch-up`: reading a full lane from its beginning, after a restart, beside one JetStream stream of the same
//! bytes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use base64_simd::{Out, STANDARD};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::Bench;
use crate::kinesis::{Client, GetRecordsAnswer, RECORD_BYTES};
use crate::load::{self, Outcome};
use crate::options::Measurement;
use crate::proc_fs::{BytesRead, bytes_read};
use crate::put_records::{self, RECORDS_PER_REQUEST};
use crate::raw;
use crate::report::{Side, Unit};
use crate::server::{Millrace, Peer, Sync, provisioned};

const OF: Measurement = Measurement::CatchUp;
const STREAM: &str = "bench";
/// All shards of one lane.
const SHARDS: u32 = 8;
/// 512 MiB, to the next whole request.
const REQUESTS: u64 = (512_u64 << 20).div_ceil((RECORDS_PER_REQUEST * RECORD_BYTES) as u64);
const RECORDS: u64 = REQUESTS * RECORDS_PER_REQUEST as u64;
const MIB: f64 = (1 << 20) as f64;
const READY_WITHIN: Duration = Duration::from_secs(120);
/// A stream that gives nothing for so long has nothing more to give.
const SILENCE: Duration = Duration::from_secs(20);
/// Messages that are asked for at a time.
const PULL_BATCH: usize = 5_000;

/// Reads every shard to its end, all at the same time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReadShards {
    pub(crate) address: SocketAddr,
    /// How many records there have to be.
    pub(crate) records: u64,
}

impl ReadShards {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let mut client = Client::open(self.address).await?;
        let mut readers = JoinSet::new();
        let start = Instant::now();
        for shard in client.open_shards(STREAM).await? {
            readers.spawn(read_shard(self.address, shard.id));
        }
        let mut sum = Amount::default();
        while let Some(read) = readers.join_next().await {
            let read = read??;
            sum.records += read.records;
            sum.bytes += read.bytes;
        }
        Ok(sum.outcome(self.records, start.elapsed()))
    }
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    records: u64,
    /// Of data alone.
    bytes: u64,
}

impl Amount {
    fn outcome(self, expected: u64, took: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        if self.records != expected {
            outcome.errors = self.records.abs_diff(expected);
            outcome.first_error =
                Some(format!("{} records were read, {expected} acknowledged", self.records));
        }
        outcome.set("mib_per_s", self.bytes as f64 / MIB / took.as_secs_f64());
        outcome.set("bytes", self.bytes as f64);
        outcome
    }
}

async fn read_shard(address: SocketAddr, shard: String) -> anyhow::Result<Amount> {
    let mut client = Client::open(address).await?;
    let mut iterator = client.shard_iterator(STREAM, &shard, "TRIM_HORIZON").await?;
    let mut sum = Amount::default();
    let mut data = [0; RECORD_BYTES];
    loop {
        let body = client.get_records(&iterator).await?;
        let answer: GetRecordsAnswer<'_> = serde_json::from_slice(&body)?;
        for record in &answer.records {
            // As an application would have it.
            let decoded = STANDARD.decode(record.data.as_bytes(), Out::from_slice(&mut data));
            sum.bytes += decoded.ok().context("data that is no base64 or too long")?.len() as u64;
            sum.records += 1;
        }
        match answer.next_shard_iterator {
            Some(next) if answer.millis_behind_latest > 0 || !answer.records.is_empty() => iterator = next,
            _ => return Ok(sum),
        }
    }
}

/// Reads a JetStream stream with one pull consumer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReadRaw {
    pub(crate) url: String,
    /// How many messages there have to be.
    pub(crate) messages: u64,
}

impl ReadRaw {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = async_nats::ConnectOptions::new()
            .subscription_capacity(4 * PULL_BATCH)
            .connect(&self.url)
            .await?;
        let start = Instant::now();
        let stream = jetstream::new(client).get_stream(raw::STREAM).await?;
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await?;
        let mut messages = consumer.stream().max_messages_per_batch(PULL_BATCH).messages().await?;
        let mut sum = Amount::default();
        while sum.records < self.messages {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => {
                    sum.bytes += message?.payload.len() as u64;
                    sum.records += 1;
                }
                Ok(None) | Err(_) => break,
            }
        }
        Ok(sum.outcome(self.messages, start.elapsed()))
    }
}

/// How fast it was read, and what the nats-server had to read for it.
struct Read {
    mib_per_s: f64,
    files: BytesRead,
}

async fn millrace(bench: &mut Bench) -> anyhow::Result<Read> {
    let directory = bench.directory()?;
    let resources = provisioned(STREAM, SHARDS, "4Gi");
    let records = {
        let millrace = Millrace::start(bench, directory.path(), &resources, READY_WITHIN).await?;
        let load = load::Load::PutRecords(put_records::Load {
            address: millrace.address,
            stream: STREAM.into(),
            connections: 8,
            seconds: 60.0,
            requests: REQUESTS,
        });
        bench.load(OF, "filling 8 shards of one lane", load).await?.get("records")?
    };
    if records != RECORDS as f64 {
        bail!("{records} records were acknowledged where {RECORDS} were put: there is nothing to compare");
    }
    // A new process, which knows nothing of what was written.
    let millrace = Millrace::start(bench, directory.path(), &resources, READY_WITHIN).await?;
    let nats_server = millrace.nats_server_pid()?;
    let before = bytes_read(nats_server)?;
    let load = load::Load::ReadShards(ReadShards { address: millrace.address, records: RECORDS });
    let outcome = bench.load(OF, "reading 8 shards of one lane", load).await?;
    Ok(Read { mib_per_s: outcome.get("mib_per_s")?, files: bytes_read(nats_server)?.since(before) })
}

async fn raw(bench: &mut Bench) -> anyhow::Result<Read> {
    let directory = bench.directory()?;
    {
        // Without fsyncs, which would only make the filling longer.
        let peer = Peer::start(bench, directory.path(), Sync::Default).await?;
        let load = load::Load::Raw(raw::Load::fill(&peer.url, RECORDS));
        bench.load(OF, "filling a stream", load).await?;
    }
    let peer = Peer::start(bench, directory.path(), Sync::Always).await?;
    let before = bytes_read(peer.pid())?;
    let load = load::Load::ReadRaw(ReadRaw { url: peer.url.clone(), messages: RECORDS });
    let outcome = bench.load(OF, "reading a stream", load).await?;
    Ok(Read { mib_per_s: outcome.get("mib_per_s")?, files: bytes_read(peer.pid())?.since(before) })
}

pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    bench.report.note(
        "catch-up: 512 MiB in records of 1 KiB; the servers are started anew before they are read, the system's \
         page cache is left as it is.",
    );
    for _ in 0..bench.runs {
        let (ours, theirs) = (millrace(bench).await?, raw(bench).await?);
        for (side, read) in [(Side::Millrace, &ours), (Side::JetStream, &theirs)] {
            let mut add = |name, unit, value| bench.report.add(OF, name, side, unit, value);
            add("reading 512 MiB", Unit::MebibytesPerSecond, read.mib_per_s);
            add("read by nats-server (rchar)", Unit::Mebibytes, read.files.asked as f64 / MIB);
            add("of that from the disk (read_bytes)", Unit::Mebibytes, read.files.fetched as f64 / MIB);
        }
        let ratio = ours.mib_per_s / theirs.mib_per_s;
        bench.report.add(OF, "reading 512 MiB", Side::Ratio, Unit::Times, ratio);
    }
    Ok(())
}
