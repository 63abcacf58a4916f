//! One run: faults, then calm, then the end, and the oracle's word on it.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use millrace_log::memory::Faults;
use tokio::time::{sleep, timeout};

use crate::oracle::{Counts, Oracle, Payload};
use crate::scenario::Scenario;
use crate::world::{Phase, World};
use crate::{chaos, operator, reader, writer};

/// How long writers go on after the faults are over.
const CALM: Duration = Duration::from_secs(10);
/// Within this time after that, all that was sent is acknowledged, all reshards are finished and all is read.
const SETTLE: Duration = Duration::from_secs(120);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of everything that happened.
    pub trace: u64,
    /// How often what happened.
    pub counts: Counts,
}

/// A run in which something did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that leads there.
    pub seed: u64,
    /// What did not hold, in the order in which it was noticed.
    pub faults: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} fails:", self.seed)?;
        for fault in self.faults.iter().take(10) {
            writeln!(f, "  - {fault}")?;
        }
        write!(
            f,
            "replay it: MILLRACE_SEED={} cargo test -p millrace-simulation replay -- --nocapture",
            self.seed
        )
    }
}

thread_local! {
    /// What panicked on this thread; tasks would swallow it.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.borrow_mut().push(info.to_string()));
            before(info);
        }));
    });
}

/// Runs what the seed says. `verbose`: prints what happens.
///
/// # Errors
/// When something did not hold.
pub fn run(seed: u64, verbose: bool) -> Result<Report, Failure> {
    run_scenario(Scenario::of(seed), verbose)
}

/// Runs a scenario.
///
/// # Errors
/// When something did not hold.
pub fn run_scenario(scenario: Scenario, verbose: bool) -> Result<Report, Failure> {
    judge(scenario.seed, simulate(scenario, verbose))
}

/// Runs on a clock of its own; fails if there are faults, or anything has panicked.
pub(crate) fn judge<T>(seed: u64, work: impl Future<Output = (T, Vec<String>)>) -> Result<T, Failure> {
    notice_panics();
    PANICS.with(|panics| panics.borrow_mut().clear());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be made");
    let (report, mut faults) = runtime.block_on(work);
    drop(runtime);
    faults.extend(PANICS.with(|panics| panics.take()));
    if faults.is_empty() { Ok(report) } else { Err(Failure { seed, faults }) }
}

async fn simulate(scenario: Scenario, verbose: bool) -> (Report, Vec<String>) {
    if verbose {
        println!("{scenario:#?}");
    }
    let streams = (0..scenario.streams).map(|stream| millrace_core::DataId::from_random(stream as u128 + 1));
    let oracle = Oracle::new(streams, verbose);
    let world = World::new(scenario, oracle);
    world.make_streams().await;
    for slot in 0..world.scenario.brokers {
        world.start_broker(slot).await;
    }
    world.set_network(world.scenario.network.clone());
    let fork = || world.dice.lock().fork();
    let mut writers = Vec::new();
    let chaos = tokio::spawn(chaos::rage(world.clone(), fork()));
    for stream in 0..world.scenario.streams {
        for writer in 0..world.scenario.writers {
            writers.push(tokio::spawn(writer::write(world.clone(), stream, writer, fork())));
        }
        tokio::spawn(operator::reshard(world.clone(), stream, fork()));
        tokio::spawn(reader::read(world.clone(), stream, 0, fork()));
    }
    sleep(world.scenario.faults_for).await;
    world.set_phase(Phase::Calm);
    let _ = chaos.await;
    world.set_network(Faults::none());
    sleep(CALM).await;
    world.set_phase(Phase::Finish);
    let settled = async {
        for writer in writers {
            let _ = writer.await;
        }
        world.oracle.lock().say(world.cluster.now_ms(), || "--- all writers are done".to_owned());
        while (0..world.scenario.streams).any(|stream| world.oracle.lock().is_resharding(stream)) {
            sleep(Duration::from_millis(100)).await;
        }
        for stream in 0..world.scenario.streams {
            probe(&world, stream).await;
        }
    };
    if timeout(SETTLE, settled).await.is_err() {
        let stuck = "writers or reshards did not come to an end after the faults were over".to_owned();
        world.oracle.lock().blame(stuck);
    }
    read_everything(&world).await;
    let mut oracle = world.oracle.lock();
    oracle.finish();
    let report = Report { trace: oracle.trace(), counts: oracle.counts };
    (report, oracle.faults().to_vec())
}

/// Writes one record to every open shard; returns once all are acknowledged.
async fn probe(world: &Arc<World>, stream: usize) {
    let starts: Vec<_> = {
        let oracle = world.oracle.lock();
        oracle.map(stream).map(|map| map.open.iter().map(|shard| shard.start).collect()).unwrap_or_default()
    };
    for (number, start) in (0_u32..).zip(starts) {
        let payload = Payload { key: 1_000_000 * (stream as u32 + 1) + number, number: 0 };
        loop {
            let record = millrace_core::Record {
                partition_key: "probe".into(),
                explicit_hash_key: Some(start),
                data: payload.encode(),
            };
            world.oracle.lock().sent(stream, payload);
            let asking = world.clone();
            let put = world.ask(move |broker| async move {
                match asking.stream_at(&broker, stream) {
                    Some(stream) => broker.put(&stream, vec![record]).await,
                    None => Vec::new(),
                }
            });
            if let Some(Ok(placed)) = put.await.unwrap_or_default().pop() {
                world.oracle.lock().acknowledged(payload, placed);
                break;
            }
        }
    }
}

/// Waits until the readers have seen all that is stored.
pub(crate) async fn read_everything(world: &World) {
    for stream in 0..world.scenario.streams {
        let read = timeout(SETTLE, async {
            while world.oracle.lock().unread(stream, 0, world.horizon_ms()).0 > 0 {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if read.await.is_err() {
            let mut oracle = world.oracle.lock();
            let (count, first) = oracle.unread(stream, 0, world.horizon_ms());
            oracle.blame(format!("the reader of s{stream} never sees {count} stored records, as {first:?}"));
        }
    }
}

impl World {
    /// What was stored before this may be gone.
    fn horizon_ms(&self) -> i64 {
        self.cluster.now_ms() - self.scenario.retention_s as i64 * 1_000
    }
}
