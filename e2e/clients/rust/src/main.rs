//! The story that every client tells, in Rust: see ../README.md. Usage: cargo run STREAM

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::client::Waiters;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ConsumerStatus, PutRecordsRequestEntry, Record, Shard, ShardIteratorType, StartingPosition, StreamStatus,
    SubscribeToShardEventStream,
};

const RECORDS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let settings = aws_config::from_env().http_client(http).load().await;
    let stream = std::env::args().nth(1).context("usage: cargo run STREAM")?;
    Story { kinesis: Client::new(&settings), stream }.tell().await
}

struct Story {
    kinesis: Client,
    stream: String,
}

impl Story {
    async fn tell(&self) -> Result<()> {
        self.kinesis.create_stream().stream_name(&self.stream).shard_count(3).send().await?;
        self.kinesis.wait_until_stream_exists().stream_name(&self.stream).wait(PATIENCE).await?;
        self.refusals().await?;

        let mut written = self.write().await?;
        let shards = self.list().await?;
        let mut first = Vec::new();
        for shard in &shards {
            let (found, _) = self.read(shard).await?;
            for record in &found {
                let data = written.remove(record.sequence_number());
                ensure!(data.as_ref() == Some(record.data()), "{record:?} was written as {data:?}");
                let arrived = record.approximate_arrival_timestamp().context("no arrival")?.as_secs_f64();
                let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64() - arrived;
                ensure!(age.abs() < 3600.0, "arrived: {record:?}");
            }
            if shard == &shards[0] {
                first = found;
            }
        }
        ensure!(written.is_empty(), "{} records were not read", written.len());
        println!("read: {RECORDS} records, byte for byte");

        self.subscribe(&shards[0], &first).await?;
        self.merge().await?;
        let (_, end) = self.read(&shards[0]).await?;
        ensure!(end.next_shard_iterator().is_none(), "a closed shard goes on: {end:?}");
        println!("the end of a closed shard: {} children", end.child_shards().len());

        self.kinesis.delete_stream().stream_name(&self.stream).enforce_consumer_deletion(true).send().await?;
        self.kinesis.wait_until_stream_not_exists().stream_name(&self.stream).wait(PATIENCE).await?;
        println!("deleted");
        Ok(())
    }

    async fn refusals(&self) -> Result<()> {
        let again = self.kinesis.create_stream().stream_name(&self.stream).shard_count(1).send().await;
        let in_use = again.err().context("made twice")?.into_service_error();
        ensure!(in_use.is_resource_in_use_exception(), "{in_use:?}");
        let nothing = self.kinesis.describe_stream_summary().stream_name("nothing").send().await;
        let not_found = nothing.err().context("there is nothing")?.into_service_error();
        ensure!(not_found.is_resource_not_found_exception(), "{not_found:?}");
        let put =
            self.kinesis.put_record().stream_name(&self.stream).partition_key("key").data(Blob::new("data"));
        let beyond = "340282366920938463463374607431768211456";
        let invalid = put.explicit_hash_key(beyond).send().await;
        let invalid = invalid.err().context("beyond all hash keys")?.into_service_error();
        ensure!(invalid.is_invalid_argument_exception(), "{invalid:?}");
        let codes = [in_use.meta().code(), not_found.meta().code(), invalid.meta().code()];
        println!("refused: {}", codes.map(Option::unwrap_or_default).join(" "));
        Ok(())
    }

    /// Writes records of every byte and many lengths; their data by sequence number.
    async fn write(&self) -> Result<HashMap<String, Blob>> {
        let data = |n: usize| Blob::new((0..n * 5 % 997).map(|i| (n * 31 + i) as u8).collect::<Vec<u8>>());
        let entry = |n: usize| {
            PutRecordsRequestEntry::builder()
                .partition_key(format!("schlüssel-{}", n % 7))
                .data(data(n))
                .build()
        };
        let entries = (0..RECORDS).map(entry).collect::<Result<Vec<_>, _>>()?;
        let answer =
            self.kinesis.put_records().stream_name(&self.stream).set_records(Some(entries)).send().await?;
        ensure!(answer.failed_record_count() == Some(0), "{answer:?}");
        let numbers =
            answer.records().iter().map(|result| result.sequence_number().unwrap_or_default().to_owned());
        Ok(numbers.zip((0..RECORDS).map(data)).collect())
    }

    async fn list(&self) -> Result<Vec<Shard>> {
        let (mut shards, mut pages) = (Vec::new(), 0);
        let mut next = Some(self.kinesis.list_shards().stream_name(&self.stream));
        while let Some(request) = next {
            let page = request.max_results(1).send().await?;
            shards.extend_from_slice(page.shards());
            pages += 1;
            next = page.next_token().map(|token| self.kinesis.list_shards().next_token(token));
        }
        println!("listed: {} shards in {pages} pages", shards.len());
        Ok(shards)
    }

    /// Reads a shard from its start to its end or its tip; also the last answer.
    async fn read(&self, shard: &Shard) -> Result<(Vec<Record>, GetRecordsOutput)> {
        let from = self.kinesis.get_shard_iterator().stream_name(&self.stream).shard_id(shard.shard_id());
        let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
        let mut iterator = from.shard_iterator;
        let mut found = Vec::new();
        loop {
            let answer = self.kinesis.get_records().set_shard_iterator(iterator).limit(100).send().await?;
            found.extend_from_slice(answer.records());
            let at_tip = answer.records().is_empty() && answer.millis_behind_latest() == Some(0);
            if at_tip || answer.next_shard_iterator().is_none() {
                return Ok((found, answer));
            }
            iterator = answer.next_shard_iterator;
        }
    }

    /// Subscribes to a shard, and reads what it holds, what is put then, and its end by a split.
    async fn subscribe(&self, shard: &Shard, expected: &[Record]) -> Result<()> {
        let summary = self.kinesis.describe_stream_summary().stream_name(&self.stream).send().await?;
        let arn = summary.stream_description_summary().context("no summary")?.stream_arn().to_owned();
        let reader =
            self.kinesis.register_stream_consumer().stream_arn(arn).consumer_name("reader").send().await?;
        let consumer = reader.consumer().context("no consumer")?.consumer_arn().to_owned();
        loop {
            let described = self.kinesis.describe_stream_consumer().consumer_arn(&consumer).send().await?;
            let described = described.consumer_description().context("no description")?;
            if described.consumer_status() == &ConsumerStatus::Active {
                break;
            }
        }
        let position = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build()?;
        let subscribe = self.kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(shard.shard_id());
        let mut subscription = subscribe.starting_position(position).send().await?;

        let range = shard.hash_key_range().context("no range")?;
        let start: u128 = range.starting_hash_key().parse()?;
        let middle = start + (range.ending_hash_key().parse::<u128>()? - start) / 2;
        let (mut received, mut children) = (Vec::new(), 0);
        while let Some(event) = subscription.event_stream.recv().await? {
            let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event else { continue };
            let before = received.len();
            received.extend(event.records().iter().map(|record| record.data().clone()));
            if before < expected.len() && received.len() == expected.len() {
                let live = self.kinesis.put_record().stream_name(&self.stream).data(Blob::new("live"));
                live.partition_key("key").explicit_hash_key(start.to_string()).send().await?;
            } else if before == expected.len() && received.len() > before {
                let split = self.kinesis.split_shard().stream_name(&self.stream);
                split
                    .shard_to_split(shard.shard_id())
                    .new_starting_hash_key(middle.to_string())
                    .send()
                    .await?;
            }
            children = event.child_shards().len();
            if children > 0 {
                break;
            }
        }
        let live = received.pop().context("nothing came")?;
        ensure!(received.iter().eq(expected.iter().map(Record::data)), "{received:?}");
        let live = String::from_utf8_lossy(live.as_ref());
        println!("subscribed: all of a shard, {live:?}, then {children} children");
        Ok(())
    }

    /// Merges the children of the first shard.
    async fn merge(&self) -> Result<()> {
        self.await_open(4).await?;
        let shards =
            self.kinesis.list_shards().stream_name(&self.stream).send().await?.shards.unwrap_or_default();
        let (left, right) = (shards[3].shard_id(), shards[4].shard_id());
        let merge = self.kinesis.merge_shards().stream_name(&self.stream);
        merge.shard_to_merge(left).adjacent_shard_to_merge(right).send().await?;
        self.await_open(3).await?;
        let after =
            self.kinesis.list_shards().stream_name(&self.stream).send().await?.shards.unwrap_or_default();
        let merged = after.last().context("no shards")?;
        let parents = (merged.parent_shard_id(), merged.adjacent_parent_shard_id());
        ensure!(parents == (Some(left), Some(right)), "{merged:?}");
        println!("split and merged: {} shards, 3 open", after.len());
        Ok(())
    }

    /// A describe is a wait of its own: the stream is UPDATING until its reshards are done.
    async fn await_open(&self, count: i32) -> Result<()> {
        loop {
            let answer = self.kinesis.describe_stream_summary().stream_name(&self.stream).send().await?;
            let summary = answer.stream_description_summary().context("no summary")?;
            if summary.stream_status() == &StreamStatus::Active && summary.open_shard_count() == count {
                return Ok(());
            }
        }
    }
}
