//! One shard, read to its end.

use std::time::Duration;

use millrace_core::ShardId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::client::{ApiRecord, CallError, Client, GetRecordsOutput};

/// The pause between two reads of a shard: Kinesis allows five reads a second.
const PAUSE: Duration = Duration::from_millis(220);

/// What a reader has to tell.
pub(super) enum Progress {
    /// These came, in order.
    Records(ShardId, Vec<ApiRecord>),
    /// Nothing more is there just now.
    Idle(ShardId),
    /// Nothing more will come.
    Ended(ShardId),
    /// It can't go on.
    Failed(anyhow::Error),
}

/// Reads one shard.
pub(super) struct Reader {
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) shard: ShardId,
    /// What `GetShardIterator` is asked for.
    pub(super) iterator: Value,
    pub(super) progress: mpsc::Sender<Progress>,
}

impl Reader {
    /// Reads until the shard ends, reading fails, or nobody listens any more.
    pub(super) async fn run(self) {
        let end = match self.read().await {
            Ok(()) => Progress::Ended(self.shard),
            Err(error) => Progress::Failed(error),
        };
        let _ = self.progress.send(end).await;
    }

    async fn read(&self) -> anyhow::Result<()> {
        let mut iterator = self.iterator(self.iterator.clone()).await?;
        let mut last = None;
        loop {
            let output: GetRecordsOutput =
                match self.client.call("GetRecords", &json!({ "ShardIterator": iterator })).await {
                    Ok(output) => output,
                    Err(error) if error.name() == "ExpiredIteratorException" => {
                        iterator = self.iterator(self.after(last.as_deref())).await?;
                        continue;
                    }
                    Err(error) => return Err(CallError::into(error)),
                };
            let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest } = output;
            let idle = records.is_empty() && millis_behind_latest == Some(0);
            if let Some(record) = records.last() {
                last = Some(record.sequence_number.clone());
            }
            let progress = match records.is_empty() {
                false => Some(Progress::Records(self.shard, records)),
                true if idle && next_shard_iterator.is_some() => Some(Progress::Idle(self.shard)),
                true => None,
            };
            if let Some(progress) = progress
                && self.progress.send(progress).await.is_err()
            {
                return Ok(());
            }
            match next_shard_iterator {
                Some(next) => iterator = next,
                None => return Ok(()),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where to go on when an iterator has grown too old.
    fn after(&self, last: Option<&str>) -> Value {
        match last {
            Some(last) => {
                json!({ "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": last })
            }
            None => self.iterator.clone(),
        }
    }

    async fn iterator(&self, mut wanted: Value) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            shard_iterator: String,
        }
        wanted["ShardId"] = json!(self.shard.to_string());
        let output: Output = self.client.call_on(&self.stream, "GetShardIterator", wanted).await?;
        Ok(output.shard_iterator)
    }
}
