//! `put-record`: single records, beside JetStream's synchronous publish.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::kinesis::Signer;
use crate::load::{self, Outcome};
use crate::options::Measurement;
use crate::put_records::put;
use crate::raw;
use crate::report::{Side, Unit};
use crate::server::{Millrace, Peer, Sync, provisioned};

const OF: Measurement = Measurement::PutRecord;
const CONNECTIONS: [usize; 3] = [8, 64, 256];
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Puts single records, one at a time on each connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) stream: String,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let requests = Signer::new(self.address).put_record_requests(&self.stream)?;
        put(self.address, requests, 1, self.connections, self.seconds, u64::MAX).await
    }
}

/// Latency alone in pairs with JetStream's, then the rates.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.runs {
        let raw = {
            let directory = bench.directory()?;
            let peer = Peer::start(bench, directory.path(), Sync::Always).await?;
            let load = load::Load::Raw(raw::Load::synchronous(&peer.url, bench.seconds));
            bench.load(OF, "synchronous publish", load).await?
        };
        let directory = bench.directory()?;
        let millrace =
            Millrace::start(bench, directory.path(), &provisioned("bench", 8, "8Gi"), READY_WITHIN).await?;
        let load = |connections, seconds| {
            let seconds = seconds as f64;
            load::Load::PutRecord(Load {
                address: millrace.address,
                stream: "bench".into(),
                connections,
                seconds,
            })
        };
        let ours = bench.load(OF, "1 connection", load(1, bench.seconds)).await?;
        for (name, key) in [("one at a time, p50", "p50_ms"), ("one at a time, p99", "p99_ms")] {
            let (theirs, ours) = (raw.get(key)?, ours.get(key)?);
            bench.report.add(OF, name, Side::JetStream, Unit::Milliseconds, theirs);
            bench.report.add(OF, name, Side::Millrace, Unit::Milliseconds, ours);
            bench.report.add(OF, name, Side::Ratio, Unit::Times, ours / theirs);
        }
        for connections in CONNECTIONS {
            let name = format!("{connections} connections");
            let outcome = bench.load(OF, &name, load(connections, bench.seconds)).await?;
            let (rate, p99_ms) = (outcome.get("records_per_s")?, outcome.get("p99_ms")?);
            bench.report.add(OF, &name, Side::Millrace, Unit::RecordsPerSecond, rate);
            bench.report.add(OF, &format!("{name}, p99"), Side::Millrace, Unit::Milliseconds, p99_ms);
        }
    }
    Ok(())
}
