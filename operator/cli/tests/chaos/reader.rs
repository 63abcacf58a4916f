//! A reader of everything: each shard from TRIM_HORIZON to its end.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use base64_simd::STANDARD;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::checks::{Attempt, Read, partition_key};
use crate::cluster::{PATIENCE, eventually};
use crate::kinesis::{Kinesis, Shard, shard_id};

/// How many shards are read at a time.
const AT_A_TIME: usize = 3;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    #[serde(borrow)]
    records: Vec<Record<'a>>,
    next_shard_iterator: Option<&'a str>,
    millis_behind_latest: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record<'a> {
    sequence_number: &'a str,
    partition_key: &'a str,
    data: &'a str,
}

/// Reads the shards, each through another broker, and gives them back in their order.
pub(crate) async fn read_all(
    kinesis: &Kinesis,
    brokers: &[SocketAddr],
    shards: Vec<Shard>,
) -> anyhow::Result<Vec<(Shard, Vec<Read>)>> {
    let reads = shards.into_iter().map(|shard| {
        let broker = brokers[shard.id as usize % brokers.len()];
        // As tasks, so that they are read on all cores.
        let task = tokio::spawn(read(kinesis.clone(), broker, shard.clone()));
        async move {
            let records = task.await?.with_context(|| format!("shard {} is not read", shard.id))?;
            Ok((shard, records))
        }
    });
    futures::stream::iter(reads).buffered(AT_A_TIME).try_collect().await
}

async fn read(kinesis: Kinesis, broker: SocketAddr, shard: Shard) -> anyhow::Result<Vec<Read>> {
    let wanted = json!({"ShardId": shard_id(shard.id), "ShardIteratorType": "TRIM_HORIZON"});
    let begin: Value = kinesis.ask(broker, "GetShardIterator", wanted).await?;
    let mut iterator = begin["ShardIterator"].as_str().context("no iterator")?.to_owned();
    let mut records = Vec::new();
    loop {
        let input = json!({"ShardIterator": iterator}).to_string();
        let body = eventually("records are read", || async {
            match kinesis.call(broker, "GetRecords", input.clone(), PATIENCE).await {
                Ok(body) => Ok(Some(body)),
                Err(error) if error.passes() => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        let answer: Answer<'_> = serde_json::from_slice(&body).context("an answer that can't be read")?;
        for record in &answer.records {
            records.push(parse(record).with_context(|| format!("at {}", record.sequence_number))?);
        }
        let at_tail = answer.records.is_empty() && answer.millis_behind_latest == 0;
        match answer.next_shard_iterator {
            Some(_) if at_tail && shard.ends.is_none() => return Ok(records),
            Some(next) => iterator = next.to_owned(),
            None => {
                ensure!(shard.ends.is_some(), "it is open and its reader is at its end");
                return Ok(records);
            }
        }
    }
}

fn parse(record: &Record<'_>) -> anyhow::Result<Read> {
    let data = STANDARD.decode_to_vec(record.data)?;
    let payload = String::from_utf8(data)?;
    let sent = Attempt::parse(&payload).with_context(|| format!("{payload:?} was never sent"))?;
    let key = record.partition_key;
    ensure!(key == partition_key(sent.key), "{sent:?} has come under the key {key}");
    Ok(Read { sequence: record.sequence_number.parse()?, sent })
}
