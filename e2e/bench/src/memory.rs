//! `memory`: ten thousand open shards: how long a start takes, what they weigh, how long a split among them takes.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::sleep;

use crate::bench::Bench;
use crate::kinesis::Client;
use crate::options::Measurement;
use crate::proc_fs::resident_bytes;
use crate::report::{Side, Unit};
use crate::reshard_wait::split_in_the_middle;
use crate::server::{Millrace, provisioned};

const OF: Measurement = Measurement::Memory;
const STREAMS: u32 = 100;
const SHARDS: u32 = 100;
/// All the shards are made on the first start.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Until what the start needed is given back.
const SETTLE: Duration = Duration::from_secs(5);
const SPLITS: u32 = 5;

fn name(index: u32) -> String {
    format!("stream-{index:03}")
}

pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let resources: String = (0..STREAMS).map(|index| provisioned(&name(index), SHARDS, "64Mi")).collect();
    for _ in 0..bench.runs {
        let directory = bench.directory()?;
        for start in ["first start", "second start"] {
            eprintln!("{OF}: {} shards in {STREAMS} streams, {start}", STREAMS * SHARDS);
            let millrace = Millrace::start(bench, directory.path(), &resources, READY_WITHIN).await?;
            let mut add = |name: &str, side, unit, value| {
                bench.report.add(OF, &format!("{name}, {start}"), side, unit, value)
            };
            add("start to /ready", Side::Millrace, Unit::Seconds, millrace.ready_after.as_secs_f64());
            sleep(SETTLE).await;
            for (name, pid) in [("millrace", millrace.pid()), ("nats-server", millrace.nats_server_pid()?)] {
                let resident_mib = resident_bytes(pid)? as f64 / f64::from(1 << 20);
                add(&format!("resident memory of {name}"), Side::Millrace, Unit::Mebibytes, resident_mib);
            }
            let mut client = Client::open(millrace.address).await?;
            let mut open = 0;
            for index in 0..STREAMS {
                open += client.open_shards(&name(index)).await?.len();
            }
            if open < (STREAMS * SHARDS) as usize {
                bail!("there are {open} open shards, not {}", STREAMS * SHARDS);
            }
            for index in 0..SPLITS {
                let stream = name(index * STREAMS / SPLITS);
                let shards = client.open_shards(&stream).await?;
                let shard =
                    shards.get(shards.len() / 2).with_context(|| format!("{stream} has no shards"))?;
                let took = split_in_the_middle(&mut client, &stream, shard).await?;
                add("a split among them", Side::Millrace, Unit::Milliseconds, took.as_secs_f64() * 1_000.0);
            }
        }
    }
    Ok(())
}
