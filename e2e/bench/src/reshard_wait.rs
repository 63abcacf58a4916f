//! `reshard-wait`: how long writers wait while a shard splits or two merge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bench::Bench;
use crate::http_client::{Connection, Prepared};
use crate::kinesis::{Client, OpenShard, PutOutcome, Signer, put_outcome};
use crate::load::{self, Outcome};
use crate::number::quantile;
use crate::options::Measurement;
use crate::report::{Side, Unit};
use crate::server::{Millrace, provisioned};

const OF: Measurement = Measurement::ReshardWait;
const WRITERS: usize = 8;
const SHARDS: u32 = 8;
/// Between two reshards, so that no put overlaps both.
const PAUSE: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(2);
const RESHARD_TIMEOUT: Duration = Duration::from_secs(20);
/// Reshards need longer than other loads to be many.
const AT_LEAST_S: u64 = 20;

/// Writers without pause, and splits and merges one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) stream: String,
    pub(crate) seconds: f64,
}

/// From when to when something lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: Instant,
    to: Instant,
}

impl Span {
    fn overlaps(&self, other: &Span) -> bool {
        self.from < other.to && other.from < self.to
    }

    fn ms(&self) -> f64 {
        (self.to - self.from).as_secs_f64() * 1_000.0
    }
}

/// What one writer has seen.
#[derive(Default)]
struct Puts {
    spans: Vec<Span>,
    rest: PutOutcome,
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let requests = Arc::new(Signer::new(self.address).put_record_requests(&self.stream)?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for index in 0..WRITERS {
            let connection = Connection::open(self.address).await?;
            writers.push(tokio::spawn(write(connection, requests.clone(), index * 7, stop.clone())));
        }
        let reshards = self.reshard().await;
        stop.store(true, Ordering::Relaxed);
        let mut all = Puts::default();
        for writer in writers {
            let puts = writer.await??;
            all.spans.extend(puts.spans);
            all.rest.throttled += puts.rest.throttled;
            all.rest.failed += puts.rest.failed;
            all.rest.error = all.rest.error.or(puts.rest.error);
        }
        let (splits, merges) = reshards?;
        let mut outcome = Outcome {
            throttled: all.rest.throttled,
            errors: all.rest.failed,
            first_error: all.rest.error,
            ..Outcome::default()
        };
        let undisturbed: Vec<f64> = all
            .spans
            .iter()
            .filter(|put| !splits.iter().chain(&merges).any(|reshard| reshard.overlaps(put)))
            .map(Span::ms)
            .collect();
        outcome.set("undisturbed_p50_ms", quantile(&undisturbed, 0.5));
        outcome.set("undisturbed_p99_ms", quantile(&undisturbed, 0.99));
        outcome.samples.insert("split_ms".to_owned(), longest_puts(&all.spans, &splits));
        outcome.samples.insert("merge_ms".to_owned(), longest_puts(&all.spans, &merges));
        outcome.samples.insert("split_took_ms".to_owned(), splits.iter().map(Span::ms).collect());
        outcome.samples.insert("merge_took_ms".to_owned(), merges.iter().map(Span::ms).collect());
        Ok(outcome)
    }

    /// Splits a shard in the middle, merges its children, goes on with the next.
    async fn reshard(&self) -> anyhow::Result<(Vec<Span>, Vec<Span>)> {
        let mut client = Client::open(self.address).await?;
        let (mut splits, mut merges) = (Vec::new(), Vec::new());
        sleep(Duration::from_secs(1)).await;
        let until = Instant::now() + Duration::from_secs_f64(self.seconds);
        let mut turn = 0;
        while Instant::now() < until {
            let shards = client.open_shards(&self.stream).await?;
            let parent = shards.get(turn % shards.len().max(1)).context("a stream without shards")?;
            let (split, children) = split(&mut client, &self.stream, parent).await?;
            splits.push(split);
            sleep(PAUSE).await;
            let [left, right] = &children[..] else { bail!("a split made {} children", children.len()) };
            let input =
                json!({"StreamName": self.stream, "ShardToMerge": left.id, "AdjacentShardToMerge": right.id});
            merges.push(change(&mut client, &self.stream, "MergeShards", &input, &left.id).await?);
            sleep(PAUSE).await;
            turn += 1;
        }
        Ok((splits, merges))
    }
}

/// Puts one record after another until it is told to stop.
async fn write(
    mut connection: Connection,
    requests: Arc<Vec<Prepared>>,
    first: usize,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Puts> {
    let mut puts = Puts::default();
    let mut next = first;
    while !stop.load(Ordering::Relaxed) {
        let from = Instant::now();
        let outcome = put_outcome(&connection.post(&requests[next % requests.len()]).await?, 1);
        puts.spans.push(Span { from, to: Instant::now() });
        puts.rest.throttled += outcome.throttled;
        puts.rest.failed += outcome.failed;
        puts.rest.error = puts.rest.error.take().or(outcome.error);
        next += 1;
    }
    Ok(puts)
}

/// The longest put that overlaps each of the reshards, in milliseconds.
fn longest_puts(puts: &[Span], reshards: &[Span]) -> Vec<f64> {
    let longest =
        |reshard: &Span| puts.iter().filter(|put| reshard.overlaps(put)).map(Span::ms).reduce(f64::max);
    reshards.iter().filter_map(longest).collect()
}

/// Splits a shard in the middle. Returns how long that took, and the children in order.
pub(crate) async fn split_in_the_middle(
    client: &mut Client,
    stream: &str,
    parent: &OpenShard,
) -> anyhow::Result<Duration> {
    let (span, _) = split(client, stream, parent).await?;
    Ok(span.to - span.from)
}

async fn split(
    client: &mut Client,
    stream: &str,
    parent: &OpenShard,
) -> anyhow::Result<(Span, Vec<OpenShard>)> {
    let middle = parent.start + (parent.end - parent.start) / 2 + 1;
    let input =
        json!({"StreamName": stream, "ShardToSplit": parent.id, "NewStartingHashKey": middle.to_string()});
    let span = change(client, stream, "SplitShard", &input, &parent.id).await?;
    let mut shards = client.open_shards(stream).await?;
    shards.retain(|shard| shard.parent.as_deref() == Some(&parent.id));
    Ok((span, shards))
}

/// Asks for a reshard and waits until the parent is no longer among the open shards. A stream that has not
/// finished the one before is asked again; the span begins with the call that is accepted.
async fn change(
    client: &mut Client,
    stream: &str,
    operation: &str,
    input: &Value,
    parent: &str,
) -> anyhow::Result<Span> {
    let deadline = Instant::now() + RESHARD_TIMEOUT;
    let from = loop {
        let from = Instant::now();
        match client.try_call(operation, input).await? {
            Ok(_) => break from,
            Err(name) if name == "ResourceInUseException" && from < deadline => sleep(LOOK_EVERY).await,
            Err(name) => bail!("{operation} was answered with {name}"),
        }
    };
    loop {
        let open = client.open_shards(stream).await?;
        let to = Instant::now();
        if open.iter().all(|shard| shard.id != parent) {
            return Ok(Span { from, to });
        }
        if to > deadline {
            bail!("{operation} of {parent} was not done within {} s", RESHARD_TIMEOUT.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}

pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.runs {
        let directory = bench.directory()?;
        let resources = provisioned("bench", SHARDS, "8Gi");
        let millrace = Millrace::start(bench, directory.path(), &resources, Duration::from_secs(60)).await?;
        // Somebody who asks for short loads wants a quick look.
        let seconds = if bench.seconds < 5 { bench.seconds } else { bench.seconds.max(AT_LEAST_S) };
        let load = load::Load::ReshardWait(Load {
            address: millrace.address,
            stream: "bench".into(),
            seconds: seconds as f64,
        });
        let mut outcome = bench.load(OF, "8 writers, splits and merges", load).await?;
        let mut add = |name: &str, unit, value| bench.report.add(OF, name, Side::Millrace, unit, value);
        for (name, key) in [("p50", "undisturbed_p50_ms"), ("p99", "undisturbed_p99_ms")] {
            add(&format!("a put without a reshard, {name}"), Unit::Milliseconds, outcome.get(key)?);
        }
        for (kind, waits) in [("split", "split_ms"), ("merge", "merge_ms")] {
            let waits = outcome.samples.get(waits).context("the load has not told its reshards")?;
            let took =
                outcome.samples.get(&format!("{kind}_took_ms")).map_or(0.0, |took| quantile(took, 0.5));
            add(&format!("longest put during a {kind}, p50"), Unit::Milliseconds, quantile(waits, 0.5));
            add(&format!("longest put during a {kind}, p99"), Unit::Milliseconds, quantile(waits, 0.99));
            add(&format!("a {kind} from call to open children, p50"), Unit::Milliseconds, took);
            add(&format!("{kind}s"), Unit::Count, waits.len() as f64);
        }
        for (name, values) in std::mem::take(&mut outcome.samples) {
            bench.report.sample(OF, &name, values);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reshard_is_charged_the_longest_put_that_overlaps_it() {
        let start = Instant::now();
        let span = |from, to| Span {
            from: start + Duration::from_millis(from),
            to: start + Duration::from_millis(to),
        };
        let puts = [span(0, 10), span(9, 40), span(50, 51), span(90, 100)];
        assert_eq!(longest_puts(&puts, &[span(5, 12), span(41, 60), span(60, 80)]), [31.0, 1.0]);
    }
}
