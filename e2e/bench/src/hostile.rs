//! `hostile`: a good client's waits and the broker's memory, alone and among a thousand that drip their requests and a
//! hundred whose bodies are too long.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::bench::Bench;
use crate::load;
use crate::options::Measurement;
use crate::proc_fs::resident_bytes;
use crate::put_record::Load;
use crate::report::{Side, Unit};
use crate::server::{Millrace, provisioned};

const OF: Measurement = Measurement::Hostile;
const SLOW: usize = 1_000;
const OVERSIZED: usize = 100;
/// How often each of the slow ones sends a byte.
const DRIP_EVERY: Duration = Duration::from_secs(1);
/// How soon one whose connection was cut comes again.
const COME_AGAIN: Duration = Duration::from_millis(200);
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The waits of one good client, which the hostile ones may double.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.runs {
        let directory = bench.directory()?;
        let resources = provisioned("bench", 8, "8Gi");
        let millrace = Millrace::start(bench, directory.path(), &resources, READY_WITHIN).await?;
        let address = millrace.address;
        let good = |seconds: u64| {
            let (stream, seconds) = ("bench".into(), seconds as f64);
            load::Load::PutRecord(Load { address, stream, connections: 1, seconds })
        };
        let resident_mib = || anyhow::Ok(resident_bytes(millrace.pid())? as f64 / f64::from(1 << 20));
        let alone = bench.load(OF, "alone", good(bench.seconds)).await?.get("p99_ms")?;
        let resident_alone = resident_mib()?;
        // Dropped at the end, and their connections with them.
        let mut hostile = JoinSet::new();
        (0..SLOW).for_each(|_| drop(hostile.spawn(drip(address))));
        (0..OVERSIZED).for_each(|_| drop(hostile.spawn(flood(address))));
        let among = bench.load(OF, "among hostile clients", good(bench.seconds)).await?.get("p99_ms")?;
        let resident_among = resident_mib()?;
        bench.report.add(OF, "PutRecord alone, p99", Side::Millrace, Unit::Milliseconds, alone);
        bench.report.add(
            OF,
            "PutRecord among hostile clients, p99",
            Side::Millrace,
            Unit::Milliseconds,
            among,
        );
        bench.report.add(OF, "among hostile clients / alone", Side::Millrace, Unit::Times, among / alone);
        for (name, mib) in [("alone", resident_alone), ("among hostile clients", resident_among)] {
            let name = format!("resident memory of millrace, {name}");
            bench.report.add(OF, &name, Side::Millrace, Unit::Mebibytes, mib);
        }
    }
    Ok(())
}

/// A request that never ends, a byte a second.
async fn drip(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let mut pace = interval(DRIP_EVERY);
            for byte in b"POST / HTTP/1.1\r\nX-More: ".iter().chain([b'x'].iter().cycle()) {
                pace.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        }
        sleep(COME_AGAIN).await;
    }
}

/// A body far over the limit, which is refused by its announcement, again and again.
async fn flood(address: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await {
            let head = "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\n\
                        Content-Length: 1000000000\r\n\r\n";
            if stream.write_all(head.as_bytes()).await.is_ok() {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
        sleep(COME_AGAIN).await;
    }
}
