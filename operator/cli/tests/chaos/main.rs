//! Brokers and nats-servers as real processes, killed and paused under load while shards split and merge without
//! end: what was acknowledged is all there afterwards, each record once, in order, in its place.
//!
//! `MILLRACE_TEST=fast` skips this, `MILLRACE_SEED` chooses the seed, `MILLRACE_CHAOS_FAULTS` the count of faults
//! of each test. With one seed the faults, the reshards and the records are the same; how processes and network
//! interleave is not.

mod checks;
mod cluster;
mod faults;
mod kinesis;
mod reader;
mod recovery;
mod reshards;
mod run;
mod writers;

use std::env;

use tokio::sync::Mutex;

use run::Scenario;

/// The two tests share the machine's cores and disk: one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Faults of each test, unless `MILLRACE_CHAOS_FAULTS` says another count.
const FAULTS: usize = 32;
/// Records that each test has to see acknowledged.
const RECORDS: u64 = 520_000;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_with_one_nats_server() {
    hold(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_with_three_nats_servers() {
    hold(3).await;
}

/// Runs the scenario; on failure it says how to run it again and where the processes' logs are.
async fn hold(servers: usize) {
    if env::var("MILLRACE_TEST").is_ok_and(|mode| mode == "fast") {
        println!("skipped: MILLRACE_TEST is fast, and this takes minutes");
        return;
    }
    let _alone = ALONE.lock().await;
    let chosen = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = chosen("MILLRACE_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let faults = chosen("MILLRACE_CHAOS_FAULTS").map_or(FAULTS, |count| count as usize);
    let dir = tempfile::Builder::new().prefix("millrace-chaos-").tempdir().expect("a directory");
    let scenario = Scenario { seed, servers, faults, records: RECORDS, dir: dir.path().to_owned() };
    println!("seed {seed}: {faults} faults, {servers} nats-server(s), 3 brokers");
    // As a task of its own, so that a panic in it is a failure like any other.
    let failure = match tokio::spawn(run::run(scenario)).await {
        Ok(Ok(report)) => return println!("seed {seed} holds: {report}"),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    let dir = dir.keep();
    panic!(
        "seed {seed}, {servers} nats-server(s): {failure}\nthe processes' logs are in {}; again: MILLRACE_SEED={seed}",
        dir.display()
    );
}
