//! The course of a test: load and reshards, the plan's faults among them, calm, then everything is read and
//! checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use millrace_log::memory::Dice;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks::{Counts, check};
use crate::cluster::{Cluster, PATIENCE, eventually};
use crate::faults::{Fault, Step, plan};
use crate::kinesis::{Kinesis, Shard};
use crate::reader::read_all;
use crate::recovery::{Recoveries, recoveries};
use crate::reshards::reshard;
use crate::writers::Writers;

/// Open shards to begin with.
const SHARDS: u32 = 4;
/// As many new acknowledgements show that writing goes on.
const PROGRESS: u64 = 2_000;

/// What is run.
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) faults: usize,
    /// How many records have to be acknowledged at least.
    pub(crate) records: u64,
    /// Where the processes keep their data and logs.
    pub(crate) dir: PathBuf,
}

/// What was seen.
pub(crate) struct Report {
    faults: usize,
    counts: Counts,
    resharded: usize,
    shards: usize,
    gave_up: u32,
    recoveries: Recoveries,
    took: [Duration; 3],
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { faults, counts, resharded, shards, gave_up, recoveries, took } = self;
        let Counts { acknowledged, read, duplicates } = counts;
        let [faulty, calm, reading] = took.map(|took| took.as_secs());
        write!(
            f,
            "{faults} faults, {acknowledged} records acknowledged, {read} read, {duplicates} duplicates by clients' \
             retries, {resharded} reshards begun, {shards} shards, {gave_up} brokers gave up at their start; \
             {faulty} s under faults, {calm} s calm, {reading} s reading; {recoveries}"
        )
    }
}

/// Runs it.
///
/// # Errors
/// What does not hold.
pub(crate) async fn run(scenario: Scenario) -> anyhow::Result<Report> {
    let mut dice = Dice::new(scenario.seed);
    let steps = plan(dice.bits(), scenario.servers, scenario.faults);
    let kinesis = Kinesis::new();
    let mut cluster = Cluster::start(&scenario.dir, scenario.servers, kinesis.clone()).await?;
    let data = cluster.make_stream(SHARDS).await?;
    let brokers = cluster.addresses();
    let begin = Instant::now();
    let writers = Writers::start(&kinesis, &brokers, &mut dice);
    let stop = CancellationToken::new();
    let resharder = tokio::spawn(reshard(kinesis.clone(), brokers.clone(), dice.fork(), stop.clone()));
    await_progress(&mut cluster, &writers, writers.acknowledged() + PROGRESS).await?;
    let mut faults = Vec::new();
    for step in &steps {
        hit(&mut cluster, step, &mut faults).await.with_context(|| format!("at {step:?}"))?;
        if step.settles {
            cluster.settle().await?;
            let enough = writers.acknowledged() + PROGRESS;
            await_progress(&mut cluster, &writers, enough)
                .await
                .with_context(|| format!("after {step:?}"))?;
        }
        tokio::time::sleep(step.rest).await;
        ensure!(!resharder.is_finished(), "{:?}", resharder.await);
    }
    let calm = Instant::now();
    cluster.settle().await?;
    await_progress(&mut cluster, &writers, scenario.records.max(writers.acknowledged() + PROGRESS)).await?;
    stop.cancel();
    let resharded = resharder.await??;
    let written = tokio::time::timeout(PATIENCE, writers.finish()).await.context("writers do not end")??;
    let shards = settled_shards(&kinesis, &brokers).await?;
    cluster.tend()?;
    let reading = Instant::now();
    let read = read_all(&kinesis, &brokers, shards).await?;
    let map = cluster.map(&data).await?;
    ensure!(map.reshards.is_empty(), "reshards are not finished: {:?}", map.reshards);
    if let Some(panic) = cluster.panics() {
        bail!("a broker has panicked: {panic}");
    }
    let rounds: Vec<_> = written.iter().map(|writer| writer.rounds.clone()).collect();
    let keys: Vec<_> = written.into_iter().flat_map(|writer| writer.keys).collect();
    let parents = resharded.concat();
    let counts = check(&keys, &read, &parents).map_err(|violations| anyhow!(violations))?;
    Ok(Report {
        faults: faults.len(),
        counts,
        resharded: resharded.len(),
        shards: read.len(),
        gave_up: cluster.gave_up,
        recoveries: recoveries(&faults, &rounds),
        took: [calm - begin, reading - calm, reading.elapsed()],
    })
}

/// Carries a step out, and notes when its faults began.
async fn hit(cluster: &mut Cluster, step: &Step, faults: &mut Vec<(Instant, Fault)>) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut events: Vec<(Duration, bool, Fault)> = Vec::new();
    for fault in &step.faults {
        events.push((fault.after, true, *fault));
        events.push((fault.after + fault.lasts, false, *fault));
    }
    // A stable sort: a fault begins before it ends, however short it is.
    events.sort_by_key(|(at, _, _)| *at);
    for (at, begins, fault) in events {
        tokio::time::sleep_until(begin + at).await;
        cluster.tend()?;
        if begins {
            faults.push((Instant::now(), fault));
            cluster.begin(&fault).await?;
        } else {
            cluster.end(&fault).await?;
        }
    }
    Ok(())
}

/// Waits until so many records are acknowledged. Patience begins anew with each step on the way.
async fn await_progress(cluster: &mut Cluster, writers: &Writers, enough: u64) -> anyhow::Result<()> {
    loop {
        let now = writers.acknowledged();
        if now >= enough {
            return Ok(());
        }
        let next = enough.min(now + PROGRESS);
        eventually("records are acknowledged", || async {
            ensure!(!writers.has_failed(), "a writer has given up");
            Ok((writers.acknowledged() >= next).then_some(()))
        })
        .await?;
        cluster.tend()?;
    }
}

/// Waits until nothing changes any more and all brokers say the same; gives all shards.
async fn settled_shards(kinesis: &Kinesis, brokers: &[std::net::SocketAddr]) -> anyhow::Result<Vec<Shard>> {
    eventually("no reshard is under way and the brokers agree about the shards", || async {
        let mut agreed: Option<Vec<Shard>> = None;
        for broker in brokers {
            let Ok(summary) = kinesis.summary(*broker).await else { return Ok(None) };
            let Ok(shards) = kinesis.shards(*broker, "FROM_TRIM_HORIZON").await else { return Ok(None) };
            let open = shards.iter().filter(|shard| shard.ends.is_none()).count() as u64;
            let settled = summary.status == "ACTIVE" && summary.open_shards == open;
            if !settled || agreed.as_ref().is_some_and(|agreed| *agreed != shards) {
                return Ok(None);
            }
            agreed = Some(shards);
        }
        Ok(agreed)
    })
    .await
}
