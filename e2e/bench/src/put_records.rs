//! `put-records`: batches of 500 records, fsynced before they are acknowledged, beside JetStream's own rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::http_client::{Connection, Prepared};
use crate::kinesis::{Signer, put_outcome};
use crate::load::{self, Outcome};
use crate::options::Measurement;
use crate::raw::{self, take_one};
use crate::report::{Side, Unit};
use crate::server::{Millrace, Sync, provisioned};
use crate::tally::{Tally, Window};

/// The most that Kinesis' API takes in a call.
pub(crate) const RECORDS_PER_REQUEST: usize = 500;
const CONNECTIONS: [usize; 3] = [1, 8, 16];
/// Beyond that a load ends before its time: a larger store would outgrow the page cache. 3 GiB of data.
const MAX_REQUESTS: u64 = (3 << 30) / (RECORDS_PER_REQUEST as u64 * 1024);
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Puts batches of records, one at a time on each connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) stream: String,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    /// How many requests are sent at most.
    pub(crate) requests: u64,
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let requests = Signer::new(self.address).put_records_requests(&self.stream, RECORDS_PER_REQUEST)?;
        let records = RECORDS_PER_REQUEST as u64;
        put(self.address, requests, records, self.connections, self.seconds, self.requests).await
    }
}

/// Sends prepared puts of `records` records each on so many connections.
pub(crate) async fn put(
    address: SocketAddr,
    requests: Vec<Prepared>,
    records: u64,
    connections: usize,
    seconds: f64,
    most: u64,
) -> anyhow::Result<Outcome> {
    let requests = Arc::new(requests);
    let budget = Arc::new(AtomicU64::new(most));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let window = Window::starting_now(Duration::from_secs_f64(seconds));
    let mut tasks = Vec::new();
    for (index, mut connection) in open.into_iter().enumerate() {
        let (requests, budget) = (requests.clone(), budget.clone());
        tasks.push(tokio::spawn(async move {
            let mut tally = Tally::new(window);
            // Each connection begins elsewhere, so that no two send the same at the same time.
            let mut next = index * 7;
            while window.is_open() && take_one(&budget) {
                let sent = Instant::now();
                match connection.post(&requests[next % requests.len()]).await {
                    Ok(answer) => tally.put(sent, put_outcome(&answer, records)),
                    Err(error) => {
                        tally.failed(format!("{error:#}"));
                        match Connection::open(address).await {
                            Ok(again) => connection = again,
                            Err(_) => return tally,
                        }
                    }
                }
                next += 1;
            }
            tally
        }));
    }
    let mut all = Tally::new(window);
    for task in tasks {
        all.add(task.await?);
    }
    Ok(all.outcome())
}

/// Each run is a pair with JetStream's rates of the same run.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    const OF: Measurement = Measurement::PutRecords;
    bench.report.note(
        "put-records, put-record: 64 different requests are signed before the load and sent again and again: the \
         server verifies the signature of each over its whole body, the client's signing is not measured.",
    );
    for _ in 0..bench.runs {
        let fsynced = raw::rate(bench, Sync::Always).await?;
        let mut rates = Vec::new();
        for connections in CONNECTIONS {
            let directory = bench.directory()?;
            let millrace =
                Millrace::start(bench, directory.path(), &provisioned("bench", 8, "8Gi"), READY_WITHIN)
                    .await?;
            let name = format!("500 x 1 KiB, fsync always, connections: {connections}");
            let load = load::Load::PutRecords(Load {
                address: millrace.address,
                stream: "bench".into(),
                connections,
                seconds: bench.seconds as f64,
                requests: MAX_REQUESTS,
            });
            let outcome = bench.load(OF, &name, load).await?;
            let rate = outcome.get("records_per_s")?;
            bench.report.add(OF, &name, Side::Millrace, Unit::RecordsPerSecond, rate);
            bench.report.add(
                OF,
                &format!("{name}: p99 of a call"),
                Side::Millrace,
                Unit::Milliseconds,
                outcome.get("p99_ms")?,
            );
            rates.push((connections, rate));
        }
        let relaxed = raw::rate(bench, Sync::Default).await?;
        for (connections, rate) in rates {
            let name = format!("the same to raw, fsync always, connections: {connections}");
            bench.report.add(OF, &name, Side::Ratio, Unit::Times, rate / fsynced);
            let name = format!("the same to raw, fsync every 2 min, connections: {connections}");
            bench.report.add(OF, &name, Side::Ratio, Unit::Times, rate / relaxed);
        }
    }
    Ok(())
}
