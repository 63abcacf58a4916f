//! `millrace tail`: a stream's records, across splits and merges.

mod order;
mod print;
mod reader;

use std::str::FromStr;

use anyhow::Context;
use jiff::Timestamp;
use millrace_core::ShardId;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Client, ClientArgs, Opened};
use crate::lineage;
use crate::node::asked_to_stop;
use order::Order;
use print::Style;
use reader::{Progress, Reader};

/// Options of `millrace tail`.
#[derive(clap::Args, Debug)]
pub struct TailArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// Where to begin: horizon (the oldest record), latest, or a time such as 2026-03-01T12:00:00Z
    #[arg(long, default_value = "latest", value_name = "horizon|latest|TIME")]
    from: From,
    /// End once everything is read that there is, rather than at Ctrl-C
    #[arg(long)]
    until_idle: bool,
    /// Print a JSON object a line, with shard, sequence number, time, key and data in base 64
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Horizon,
    Latest,
    Time(Timestamp),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        match text {
            "horizon" => Ok(From::Horizon),
            "latest" => Ok(From::Latest),
            _ => text.parse().map(From::Time).map_err(|_| {
                "write horizon, latest, or a time with its zone such as 2026-03-01T12:00:00Z".to_owned()
            }),
        }
    }
}

impl From {
    /// What `GetShardIterator` is asked for in a shard that was there from the beginning of the reading.
    fn iterator(self) -> Value {
        match self {
            From::Horizon => json!({ "ShardIteratorType": "TRIM_HORIZON" }),
            From::Latest => json!({ "ShardIteratorType": "LATEST" }),
            From::Time(time) => at_time(time),
        }
    }

    /// Likewise in a shard that came of those: all of it, but for what is older than was asked for.
    fn iterator_of_child(self) -> Value {
        match self {
            From::Horizon | From::Latest => json!({ "ShardIteratorType": "TRIM_HORIZON" }),
            From::Time(time) => at_time(time),
        }
    }

    /// Which shards reading begins with.
    fn filter(self) -> Option<Value> {
        match self {
            From::Horizon => None,
            From::Latest => Some(json!({ "Type": "AT_LATEST" })),
            // Whatever may hold such records; a time in the future is the reader's to refuse.
            From::Time(_) => None,
        }
    }
}

fn at_time(time: Timestamp) -> Value {
    // The API counts seconds, with a fraction.
    json!({ "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": time.as_millisecond() as f64 / 1_000.0 })
}

/// Prints records until it is asked to stop, or until all are read if that was asked for.
pub async fn run(args: TailArgs) -> anyhow::Result<()> {
    let Opened { client, stream, .. } = Client::open(&args.client, &args.stream).await?;
    let style = if args.json { Style::Json } else { Style::Lines };
    let first = lineage::read(client.shards(&stream, args.from.filter()).await?)?;
    let mut order = Order::new(&first);
    let (send, mut receive) = mpsc::channel(64);
    let mut readers = JoinSet::new();
    let start = |shard: ShardId, iterator: Value, readers: &mut JoinSet<()>| {
        let reader = Reader {
            client: client.clone(),
            stream: stream.clone(),
            shard,
            iterator,
            progress: send.clone(),
        };
        readers.spawn(reader.run());
    };
    for shard in order.start_ready() {
        start(shard, args.from.iterator(), &mut readers);
    }
    let stopped = asked_to_stop();
    tokio::pin!(stopped);
    while !(args.until_idle && order.all_idle()) {
        let progress = tokio::select! {
            asked = &mut stopped => return asked,
            progress = receive.recv() => progress.context("every reader has ended")?,
        };
        match progress {
            Progress::Records(shard, records) => {
                order.busy(shard);
                print::print(style, shard, &records)?;
            }
            Progress::Idle(shard) => order.idle(shard),
            Progress::Failed(error) => return Err(error),
            Progress::Ended(shard) => {
                order.ended(shard);
                order.add(&lineage::read(client.shards(&stream, None).await?)?);
                for child in order.start_ready() {
                    start(child, args.from.iterator_of_child(), &mut readers);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_word_or_a_time() {
        assert_eq!("horizon".parse(), Ok(From::Horizon));
        let time: From = "2026-03-01T12:00:00.5Z".parse().unwrap();
        assert_eq!(time.iterator()["Timestamp"], 1_772_366_400.5);
        assert!("yesterday".parse::<From>().unwrap_err().contains("such as 2026-03-01T12:00:00Z"));
    }

    #[test]
    fn children_are_read_from_their_first_record_even_when_their_parents_were_not() {
        assert_eq!(From::Latest.iterator_of_child()["ShardIteratorType"], "TRIM_HORIZON");
    }
}
