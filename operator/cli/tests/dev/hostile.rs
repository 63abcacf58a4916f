//! Clients that mean harm: what they cost the process, and a good one among them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::process::Dev;

const SLOW_CLIENTS: usize = 1_000;
const OVERSIZED_CLIENTS: usize = 100;
/// The most memory that the process may have had at any time, in MiB: docs/security.md states it.
const PEAK_MIB: u64 = 1_024;
/// A stream that is read as fast as anybody likes.
const STREAM: &str = "apiVersion: millrace.dev/v1alpha1\nkind: Stream\nmetadata:\n  name: orders\nspec:\n  brokerRef:\n    \
                      name: local\n  capacity:\n    mode: Provisioned\n    shards: 1\n  limits: None\n  quota: 64Mi\n";

/// A request of somebody who is taken without a signature that holds.
fn request(operation: &str, more: &str, body: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: Kinesis_20131202.{operation}\r\nX-Amz-Date: {now}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=k/{}/us-east-1/kinesis/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature={}\r\n{more}\r\n{body}",
        &now[..8],
        "0".repeat(64)
    )
}

struct Server {
    address: String,
}

impl Server {
    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        // Longer than the server's own patience: who waits for it has found a fault.
        stream.set_read_timeout(Some(Duration::from_secs(180)))?;
        Ok(stream)
    }

    fn call(&self, operation: &str, input: &Value) -> Result<Value> {
        let body = input.to_string();
        let more = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
        let mut stream = self.connect()?;
        stream.write_all(request(operation, &more, &body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            bail!("{operation}: {answer}");
        }
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// A client that never ends what it begins, or never reads what it asks for.
    fn slow(&self, kind: usize, read_all: &str) -> Result<TcpStream> {
        let mut stream = self.connect()?;
        let length = |bytes: usize| format!("Content-Length: {bytes}\r\n");
        let begin = match kind {
            0 => String::new(),
            1 => "POST / HTTP/1.1\r\nX-More: ".to_owned(),
            2 => request("PutRecords", &length(16 << 20), &" ".repeat(64 << 10)),
            _ => request("GetRecords", &length(read_all.len()), read_all),
        };
        stream.write_all(begin.as_bytes())?;
        Ok(stream)
    }

    /// Sends more than it may, for as long as the server takes it.
    fn oversized(&self, kind: usize) -> Result<()> {
        let mut stream = self.connect()?;
        let (begin, more) = match kind {
            0 => {
                let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
                (request("PutRecords", "Transfer-Encoding: chunked\r\n", ""), chunk)
            }
            1..5 => (request("PutRecords", "Content-Length: 1000000000000\r\n", ""), " ".repeat(1 << 20)),
            _ => ("POST / HTTP/1.1\r\n".to_owned(), "X-More: header flood\r\n".repeat(10_000)),
        };
        stream.write_all(begin.as_bytes())?;
        while stream.write_all(more.as_bytes()).is_ok() {}
        Ok(())
    }
}

#[test]
fn a_good_client_is_served_among_hostile_ones_and_memory_stays_bounded() -> Result<()> {
    let files = tempfile::tempdir()?;
    let file = files.path().join("orders.yaml");
    std::fs::write(&file, STREAM)?;
    let dev = Dev::start(&["--ephemeral", "-f", file.to_str().context("a path")?])?;
    let server = Server { address: dev.endpoint.trim_start_matches("http://").to_owned() };
    let data = STANDARD.encode_to_string(vec![7; 1 << 19]);
    for _ in 0..16 {
        server.call("PutRecord", &json!({"StreamName": "orders", "Data": data, "PartitionKey": "k"}))?;
    }
    let from = json!({"StreamName": "orders", "ShardId": "shardId-000000000000",
                      "ShardIteratorType": "TRIM_HORIZON"});
    let read_all =
        json!({"ShardIterator": server.call("GetShardIterator", &from)?["ShardIterator"]}).to_string();
    let mut slow = Vec::new();
    for client in 0..SLOW_CLIENTS {
        // One in ten asks for all there is, 11 MB.
        let kind = if client % 10 == 3 { 3 } else { client % 3 };
        slow.push(server.slow(kind, &read_all)?);
    }
    let put = json!({"StreamName": "orders", "Data": "", "PartitionKey": "k"});
    std::thread::scope(|scope| {
        let oversized: Vec<_> = (0..OVERSIZED_CLIENTS)
            .map(|client| {
                let server = &server;
                scope.spawn(move || server.oversized(client % 10))
            })
            .collect();
        while !oversized.iter().all(|client| client.is_finished()) {
            server.call("PutRecord", &put)?;
            // One that was refused is closed by now.
            slow.iter_mut().for_each(|client| drop(client.write_all(b"x")));
        }
        oversized.into_iter().try_for_each(|client| client.join().expect("it does not panic"))
    })?;
    server.call("PutRecord", &put)?;
    let peak_mib = dev.peak_bytes()? >> 20;
    println!("the process had {peak_mib} MiB at most");
    assert!(peak_mib <= PEAK_MIB, "{peak_mib} MiB");
    Ok(())
}
