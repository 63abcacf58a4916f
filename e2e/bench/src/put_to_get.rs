//! `put-to-get`: from before a put until a polling reader has the record.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bench::Bench;
use crate::http_client::Connection;
use crate::kinesis::{Client, GetRecordsAnswer, RECORD_BYTES, Signer, put_outcome, record};
use crate::load::{self, Outcome};
use crate::options::Measurement;
use crate::report::{Side, Unit};
use crate::server::{Millrace, provisioned};
use crate::tally::{Tally, Window};

const OF: Measurement = Measurement::PutToGet;
/// A record that has not come by then is lost.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);

/// One record at a time from a writer to a reader, in one process, so by one clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// A stream of one shard.
    pub(crate) stream: String,
    pub(crate) seconds: f64,
}

impl Load {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let mut reader = Client::open(self.address).await?;
        let shards = reader.open_shards(&self.stream).await?;
        let shard = shards.first().context("a stream without shards")?;
        let iterator = reader.shard_iterator(&self.stream, &shard.id, "LATEST").await?;
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let reading = tokio::spawn(read(reader, iterator, arrived));
        let signer = Signer::new(self.address);
        let mut connection = Connection::open(self.address).await?;
        let window = Window::starting_now(Duration::from_secs_f64(self.seconds));
        let mut tally = Tally::new(window);
        let mut number = 0_u64;
        while window.is_open() {
            number += 1;
            let mut data = [0; RECORD_BYTES];
            data[..8].copy_from_slice(&number.to_le_bytes());
            let body = format!(r#"{{"StreamName":"{}",{}}}"#, self.stream, record(&data));
            let request = signer.sign("PutRecord", body.into_bytes())?;
            let sent = Instant::now();
            let outcome = put_outcome(&connection.post(&request).await?, 1);
            if outcome.acknowledged == 0 {
                tally.put(sent, outcome);
                continue;
            }
            match timeout(ARRIVAL_TIMEOUT, arrivals.recv()).await {
                Ok(Some((seen, at))) if seen == number => tally.acknowledged_at(sent, at, 1),
                Ok(Some((seen, _))) => {
                    tally.failed(format!("the reader got record {seen} where {number} was expected"));
                    break;
                }
                Ok(None) => {
                    tally.failed("the reader ended");
                    break;
                }
                Err(_) => {
                    tally.failed(format!("record {number} was acknowledged, but did not arrive"));
                    break;
                }
            }
        }
        drop(arrivals);
        // Ends by itself: there is nobody left to tell.
        reading.await??;
        Ok(tally.outcome())
    }
}

/// Polls without pause, and tells each record's number and when it was there, for as long as somebody listens.
async fn read(
    mut reader: Client,
    mut iterator: String,
    arrived: mpsc::UnboundedSender<(u64, Instant)>,
) -> anyhow::Result<()> {
    while !arrived.is_closed() {
        let body = reader.get_records(&iterator).await?;
        let answer: GetRecordsAnswer<'_> = serde_json::from_slice(&body)?;
        let at = Instant::now();
        for record in &answer.records {
            let data = STANDARD.decode_to_vec(record.data).context("data that is no base64")?;
            let number = data.first_chunk().context("a record that is too short")?;
            let _ = arrived.send((u64::from_le_bytes(*number), at));
        }
        iterator = answer.next_shard_iterator.context("the shard has ended")?;
    }
    Ok(())
}

pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.runs {
        let directory = bench.directory()?;
        let resources = provisioned("bench", 1, "1Gi");
        let millrace = Millrace::start(bench, directory.path(), &resources, Duration::from_secs(60)).await?;
        let load = load::Load::PutToGet(Load {
            address: millrace.address,
            stream: "bench".into(),
            seconds: bench.seconds as f64,
        });
        let outcome = bench.load(OF, "PutRecord to GetRecords", load).await?;
        bench.report.add(OF, "p50", Side::Millrace, Unit::Milliseconds, outcome.get("p50_ms")?);
        bench.report.add(OF, "p99", Side::Millrace, Unit::Milliseconds, outcome.get("p99_ms")?);
    }
    Ok(())
}
