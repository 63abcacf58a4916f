//! `overload`: how soon an on-demand stream's only shard has children once it is written to at four times its
//! target.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::bench::Bench;
use crate::http_client::{Connection, Prepared};
use crate::kinesis::{Client, PutOutcome, RECORD_BYTES, Signer, put_outcome};
use crate::load::{self, Outcome};
use crate::number::quantile;
use crate::options::Measurement;
use crate::report::{Side, Unit};
use crate::server::{Millrace, on_demand};

const OF: Measurement = Measurement::Overload;
const OVERLOADS: usize = 5;
/// A Stream's default: `spec.capacity.targetPerShard.bytesPerSecond`.
const TARGET_BYTES_PER_S: usize = 1 << 20;
const RECORDS_PER_REQUEST: usize = 64;
const CONNECTIONS: usize = 4;
/// Before the overload the shard is written to at half its target, so that it is known to be in use.
const CALM: Duration = Duration::from_secs(3);
/// Rates are in eighths of the target.
const CALM_EIGHTHS: usize = 4;
const OVERLOAD_EIGHTHS: usize = 4 * 8;
/// In the overload each connection sends one request a tick, before it one in every eighth tick.
const TICKS_PER_S: u32 = (4 * TARGET_BYTES_PER_S / (RECORDS_PER_REQUEST * RECORD_BYTES * CONNECTIONS)) as u32;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Half the target for a while, then four times the target until there are children.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// A stream of one shard.
    pub(crate) stream: String,
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let requests =
            Arc::new(Signer::new(self.address).put_records_requests(&self.stream, RECORDS_PER_REQUEST)?);
        let mut client = Client::open(self.address).await?;
        let before = client.open_shards(&self.stream).await?.len();
        if before != 1 {
            bail!("{} has {before} shards where one was expected", self.stream);
        }
        let rate = Arc::new(AtomicUsize::new(CALM_EIGHTHS));
        let mut writers = JoinSet::new();
        for index in 0..CONNECTIONS {
            let connection = Connection::open(self.address).await?;
            writers.spawn(write(connection, requests.clone(), index, rate.clone()));
        }
        sleep(CALM).await;
        if client.open_shards(&self.stream).await?.len() != 1 {
            bail!("{} was split at half its target", self.stream);
        }
        let start = Instant::now();
        rate.store(OVERLOAD_EIGHTHS, Ordering::Relaxed);
        let mut looks = interval(LOOK_EVERY);
        let children_after = loop {
            looks.tick().await;
            if client.open_shards(&self.stream).await?.len() > 1 {
                break start.elapsed();
            }
            if start.elapsed() > GIVE_UP_AFTER {
                bail!("{} had no children after {} s of overload", self.stream, GIVE_UP_AFTER.as_secs());
            }
        };
        // Tells the writers to end.
        rate.store(0, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        while let Some(writer) = writers.join_next().await {
            let puts = writer??;
            outcome.throttled += puts.throttled;
            outcome.errors += puts.failed;
            outcome.first_error = outcome.first_error.or(puts.error);
        }
        outcome.set("children_s", children_after.as_secs_f64());
        Ok(outcome)
    }
}

/// Puts at a rate, until that is 0. What is throttled is not sent again: the load stays as it is.
async fn write(
    mut connection: Connection,
    requests: Arc<Vec<Prepared>>,
    index: usize,
    rate: Arc<AtomicUsize>,
) -> anyhow::Result<PutOutcome> {
    // Delayed ticks are made up for: what is sent does not depend on how fast the answers come.
    let mut ticks = interval(Duration::from_secs(1) / TICKS_PER_S);
    let (mut sum, mut next, mut owed) = (PutOutcome::default(), index, 0);
    loop {
        ticks.tick().await;
        let eighths = rate.load(Ordering::Relaxed);
        if eighths == 0 {
            return Ok(sum);
        }
        owed += eighths;
        if owed < OVERLOAD_EIGHTHS {
            continue;
        }
        owed -= OVERLOAD_EIGHTHS;
        let answer = connection.post(&requests[next % requests.len()]).await?;
        let outcome = put_outcome(&answer, RECORDS_PER_REQUEST as u64);
        sum.acknowledged += outcome.acknowledged;
        sum.throttled += outcome.throttled;
        sum.failed += outcome.failed;
        sum.error = sum.error.or(outcome.error);
        next += CONNECTIONS;
    }
}

pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let name = |index: usize| format!("overload-{index}");
    let resources: String = (0..OVERLOADS).map(|index| on_demand(&name(index), "1Gi")).collect();
    let millrace = Millrace::start(bench, directory.path(), &resources, Duration::from_secs(60)).await?;
    let mut all = Vec::new();
    for index in 0..OVERLOADS {
        let load = load::Load::Overload(Load { address: millrace.address, stream: name(index) });
        let outcome = bench.load(OF, "4 x the target of one shard", load).await.context("an overload")?;
        let seconds = outcome.get("children_s")?;
        bench.report.add(OF, "overload to open children", Side::Millrace, Unit::Seconds, seconds);
        all.push(seconds);
    }
    for (name, part) in [("p50", 0.5), ("p95", 0.95)] {
        let name = format!("overload to open children, {name}");
        bench.report.add(OF, &name, Side::Millrace, Unit::Seconds, quantile(&all, part));
    }
    Ok(())
}
