//! `emulators`: servers that speak the Kinesis API for tests and keep everything in memory, beside Millrace, which stores
//! each record on the disk before it acknowledges it. In one run, in turns, by the same signed requests.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout_at};

use crate::bench::Bench;
use crate::kinesis::Client;
use crate::load;
use crate::options::Measurement;
use crate::proc_fs::resident_bytes;
use crate::report::{Side, Unit};
use crate::server::{Millrace, Server, free_address, provisioned};
use crate::{put_record, put_records, put_to_get};

const OF: Measurement = Measurement::Emulators;
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For PutRecords and PutRecord, and of one shard for what is read back.
const STREAMS: [(&str, u32); 2] = [("bench", 8), ("single", 1)];
const CONNECTIONS: usize = 8;
/// What an emulator keeps in memory: 2 GiB of data.
const MAX_REQUESTS: u64 = (2 << 30) / (put_records::RECORDS_PER_REQUEST as u64 * 1024);

/// Those that are measured.
const EMULATORS: [Side; 4] = [Side::Ferrokinesis, Side::Kinesalite, Side::Moto, Side::KinesisLocal];

/// The command that serves on this address, without TLS. Programs lie where `make emulators` puts them.
fn command(emulator: Side, tools: &Path, address: SocketAddr) -> anyhow::Result<Command> {
    let port = address.port().to_string();
    let tls_port = free_address()?.port().to_string();
    let at_port = ["--port", &port];
    let with_shards = ["--port", &port, "--shardLimit", "100"];
    // It serves TLS as well, whether one asks for that or not.
    let certificate = tools.join("npm/node_modules/kinesis-local/server.json").display().to_string();
    let ports = [
        ("KINESIS_MOCK_PLAIN_PORT", &*port),
        ("KINESIS_MOCK_TLS_PORT", &*tls_port),
        ("KINESIS_MOCK_CERT_PATH", &*certificate),
    ];
    let (program, options, environment): (_, &[&str], &[(&str, &str)]) = match emulator {
        Side::Ferrokinesis => ("cargo/bin/ferrokinesis", &at_port, &[]),
        Side::Kinesalite => ("npm/node_modules/.bin/kinesalite", &with_shards, &[]),
        Side::Moto => ("python/bin/moto_server", &at_port, &[]),
        Side::KinesisLocal => ("npm/node_modules/.bin/kinesis-local", &[], &ports),
        Side::Millrace | Side::JetStream | Side::Ratio => bail!("{emulator:?} is no emulator"),
    };
    let mut command = Command::new(tools.join(program));
    command.args(options).envs(environment.iter().copied());
    Ok(command)
}

/// An emulator that has the streams.
struct Emulator {
    server: Server,
    address: SocketAddr,
    /// Its working directory; goes after it.
    _directory: TempDir,
}

impl Emulator {
    async fn start(bench: &Bench, emulator: Side) -> anyhow::Result<Emulator> {
        let directory = bench.directory()?;
        let address = free_address()?;
        let mut command = command(emulator, &bench.emulators, address)?;
        command.current_dir(directory.path());
        let deadline = Instant::now() + READY_WITHIN;
        let is_ready = async || lists_streams(address).await;
        let server = Server::start(command, directory.path().join("log"), READY_WITHIN, is_ready)
            .await
            .context("run `make emulators`, or name their directory with --emulators")?;
        match timeout_at(deadline.into(), make_streams(address)).await {
            Ok(made) => made?,
            Err(_) => bail!(server.failed("its streams were not there in time")),
        }
        Ok(Emulator { server, address, _directory: directory })
    }
}

async fn lists_streams(address: SocketAddr) -> bool {
    let Ok(mut client) = Client::open(address).await else { return false };
    matches!(client.try_call("ListStreams", &json!({})).await, Ok(Ok(_)))
}

async fn make_streams(address: SocketAddr) -> anyhow::Result<()> {
    let mut client = Client::open(address).await?;
    for (stream, shards) in STREAMS {
        client.call("CreateStream", &json!({"StreamName": stream, "ShardCount": shards})).await?;
        let named = json!({"StreamName": stream});
        loop {
            let answer: Value = serde_json::from_slice(&client.call("DescribeStream", &named).await?)?;
            if answer["StreamDescription"]["StreamStatus"] == "ACTIVE" {
                break;
            }
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

/// Puts batches, then single records, then reads records back, and looks at the memory of the processes.
/// Returns the records a second of the batches.
async fn load(bench: &mut Bench, side: Side, address: SocketAddr, pids: &[u32]) -> anyhow::Result<f64> {
    let stream = STREAMS[0].0.to_owned();
    let seconds = bench.seconds as f64;
    let batches = put_records::Load {
        address,
        stream: stream.clone(),
        connections: CONNECTIONS,
        seconds,
        requests: MAX_REQUESTS,
    };
    let name = format!("PutRecords 500 x 1 KiB, {CONNECTIONS} connections");
    let of = |name: &str| format!("{side:?}: {name}");
    let outcome = bench.load(OF, &of(&name), load::Load::PutRecords(batches)).await?;
    let rate = outcome.get("records_per_s")?;
    bench.report.add(OF, &name, side, Unit::RecordsPerSecond, rate);
    let name = format!("{name}: p99 of a call");
    bench.report.add(OF, &name, side, Unit::Milliseconds, outcome.get("p99_ms")?);
    let resident: u64 = pids.iter().map(|pid| resident_bytes(*pid)).sum::<anyhow::Result<_>>()?;
    let resident_mib = resident as f64 / f64::from(1 << 20);
    bench.report.add(OF, "resident memory after it", side, Unit::Mebibytes, resident_mib);

    let singles = put_record::Load { address, stream, connections: 1, seconds };
    let outcome = bench.load(OF, &of("PutRecord"), load::Load::PutRecord(singles)).await?;
    bench.report.add(OF, "PutRecord, p50", side, Unit::Milliseconds, outcome.get("p50_ms")?);
    bench.report.add(OF, "PutRecord, p99", side, Unit::Milliseconds, outcome.get("p99_ms")?);
    let read_back = put_to_get::Load { address, stream: STREAMS[1].0.to_owned(), seconds };
    let outcome = bench.load(OF, &of("put to get"), load::Load::PutToGet(read_back)).await?;
    bench.report.add(OF, "put to get, p50", side, Unit::Milliseconds, outcome.get("p50_ms")?);
    bench.report.add(OF, "put to get, p99", side, Unit::Milliseconds, outcome.get("p99_ms")?);
    Ok(rate)
}

/// Each in turn. One that can't be measured is told, and the others are measured all the same.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    bench.report.note("emulators: they keep records in memory; Millrace has fsynced what it acknowledges.");
    for _ in 0..bench.runs {
        let mut fastest: f64 = 0.0;
        for emulator in EMULATORS {
            let measured = async {
                let started = Emulator::start(bench, emulator).await?;
                let pids = [started.server.pid()];
                load(bench, emulator, started.address, &pids).await
            };
            match measured.await {
                Ok(rate) => fastest = fastest.max(rate),
                Err(error) => bench.report.failed(OF, format!("{emulator:?}: {error:#}")),
            }
        }
        let directory = bench.directory()?;
        let resources: String =
            STREAMS.map(|(stream, shards)| provisioned(stream, shards, "8Gi")).into_iter().collect();
        let millrace = Millrace::start(bench, directory.path(), &resources, READY_WITHIN).await?;
        let pids = [millrace.pid(), millrace.nats_server_pid()?];
        let rate = load(bench, Side::Millrace, millrace.address, &pids).await?;
        if fastest > 0.0 {
            bench.report.add(
                OF,
                "PutRecords to the fastest of them",
                Side::Ratio,
                Unit::Times,
                rate / fastest,
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_emulator_serves_where_it_is_told_to() {
        for emulator in EMULATORS {
            let command = command(emulator, Path::new("/tools"), "127.0.0.1:4567".parse().unwrap()).unwrap();
            let told: Vec<_> =
                command.get_args().chain(command.get_envs().filter_map(|(_, value)| value)).collect();
            assert!(told.iter().any(|word| *word == "4567"), "{command:?}");
            assert!(command.get_program().to_string_lossy().starts_with("/tools/"), "{command:?}");
        }
    }
}
