//! `millrace put`: records from an argument or from standard input.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use base64_simd::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::client::{Client, ClientArgs, Opened, PutRecordsEntry};

/// The most records of one request, and the most bytes of data that are put into one (Kinesis API,
/// `PutRecords`: 5 MiB with keys, or 10 MiB).
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// How often records are sent again that the service could not take, and the first pause before that.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Options of `millrace put`.
#[derive(clap::Args, Debug)]
pub struct PutArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// The record's data; - or nothing: each line of standard input is a record
    data: Option<String>,
    /// The partition key; records of one key keep their order. Without it each record has a key of its own
    #[arg(long, short)]
    key: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

/// A record that was stored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    shard_id: String,
    sequence_number: String,
}

/// Writes what was asked and says where it lies.
pub async fn run(args: PutArgs) -> anyhow::Result<()> {
    let Opened { client, stream, .. } = Client::open(&args.client, &args.stream).await?;
    match args.data.as_deref() {
        None | Some("-") => lines(&client, &stream, args.key.as_deref()).await,
        Some(data) => {
            let stored = one(&client, &stream, &entry(data.as_bytes(), args.key.as_deref())).await?;
            writeln!(std::io::stdout(), "{} {}", stored.shard_id, stored.sequence_number)?;
            Ok(())
        }
    }
}

fn entry(data: &[u8], key: Option<&str>) -> PutRecordsEntry {
    let partition_key = key.map_or_else(|| format!("{:032x}", rand::random::<u128>()), str::to_owned);
    PutRecordsEntry { data: BASE64.encode_to_string(data), partition_key }
}

async fn one(client: &Client, stream: &str, entry: &PutRecordsEntry) -> anyhow::Result<Stored> {
    client
        .call_on(stream, "PutRecord", json!({ "Data": entry.data, "PartitionKey": entry.partition_key }))
        .await
}

/// Writes standard input as it comes, and tells the sum at its end.
async fn lines(client: &Client, stream: &str, key: Option<&str>) -> anyhow::Result<()> {
    let (send, mut receive) = mpsc::channel::<std::io::Result<Vec<u8>>>(2 * BATCH_RECORDS);
    // A thread of its own: reading a terminal can't be cancelled, and must not keep the process from ending.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            let end = line.is_err();
            if send.blocking_send(line).is_err() || end {
                break;
            }
        }
    });
    let (mut written, mut shards) = (0u64, BTreeSet::new());
    let mut waiting = Vec::new();
    while receive.recv_many(&mut waiting, BATCH_RECORDS).await > 0 {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for line in waiting.drain(..) {
            let mut line = line.context("can't read standard input")?;
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !batch.is_empty() && bytes + line.len() > BATCH_BYTES {
                written += write(client, stream, key, std::mem::take(&mut batch), &mut shards).await?;
                bytes = 0;
            }
            bytes += line.len();
            batch.push(entry(&line, key));
        }
        written += write(client, stream, key, batch, &mut shards).await?;
    }
    let (record, shard) =
        (if written == 1 { "record" } else { "records" }, if shards.len() == 1 { "shard" } else { "shards" });
    writeln!(std::io::stdout(), "{written} {record} written to {} {shard}", shards.len())?;
    Ok(())
}

/// Writes a batch whole. Records of one key go one after the other: a request of several may be taken in part,
/// and what is sent again would come after what follows it.
async fn write(
    client: &Client,
    stream: &str,
    key: Option<&str>,
    batch: Vec<PutRecordsEntry>,
    shards: &mut BTreeSet<String>,
) -> anyhow::Result<u64> {
    let count = batch.len() as u64;
    if key.is_some() {
        for entry in &batch {
            shards.insert(one(client, stream, entry).await?.shard_id);
        }
    } else {
        write_any_order(client, stream, batch, shards).await?;
    }
    Ok(count)
}

async fn write_any_order(
    client: &Client,
    stream: &str,
    mut batch: Vec<PutRecordsEntry>,
    shards: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let mut pause = PAUSE;
    for _ in 0..TRIES {
        let answer: PutRecordsOutput =
            client.call_on(stream, "PutRecords", json!({ "Records": batch })).await?;
        let outcome = sort_out(batch, answer.records);
        shards.extend(outcome.shards);
        if outcome.refused.is_empty() {
            return Ok(());
        }
        if let Some(error) = outcome.error {
            tracing::debug!(refused = outcome.refused.len(), error, "sending again");
        }
        batch = outcome.refused;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    bail!(
        "{} records were refused {TRIES} times: the stream takes no more than it does; write more slowly",
        batch.len()
    )
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsOutput {
    records: Vec<PutOutcome>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutOutcome {
    shard_id: Option<String>,
    error_code: Option<String>,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct SortedOut {
    shards: BTreeSet<String>,
    refused: Vec<PutRecordsEntry>,
    error: Option<String>,
}

fn sort_out(batch: Vec<PutRecordsEntry>, outcomes: Vec<PutOutcome>) -> SortedOut {
    let mut sorted = SortedOut::default();
    // What got no outcome at all counts as refused.
    let outcomes = outcomes.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for (entry, outcome) in batch.into_iter().zip(outcomes) {
        match outcome {
            Some(PutOutcome { shard_id: Some(shard), error_code: None }) => _ = sorted.shards.insert(shard),
            outcome => {
                sorted.error = outcome.and_then(|outcome| outcome.error_code);
                sorted.refused.push(entry);
            }
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_records_and_those_without_an_outcome_are_sent_again() {
        let batch = vec![entry(b"a", Some("1")), entry(b"b", Some("2")), entry(b"c", Some("3"))];
        let outcomes = vec![
            PutOutcome { shard_id: Some("s".into()), error_code: None },
            PutOutcome { shard_id: None, error_code: Some("ProvisionedThroughputExceededException".into()) },
        ];
        let sorted = sort_out(batch, outcomes);
        let keys: Vec<&str> = sorted.refused.iter().map(|entry| entry.partition_key.as_str()).collect();
        assert_eq!((keys, sorted.shards.len()), (vec!["2", "3"], 1));
    }

    #[test]
    fn records_without_a_key_have_keys_of_their_own() {
        assert_ne!(entry(b"", None).partition_key, entry(b"", None).partition_key);
        assert_eq!(entry(b"hi", Some("k")).data, "aGk=");
    }
}
