//! `millrace split`: one shard becomes two or more.

use std::time::Duration;

use anyhow::{Context, bail};
use millrace_core::{HashKey, HashRange, ShardId};
use serde_json::{Value, json};

use crate::client::{Client, ClientArgs};
use crate::lineage::{self, Shard};
use crate::on_demand::remedy;

/// How long a reshard may take.
const RESHARDED_WITHIN: Duration = Duration::from_secs(60);
/// The pause between looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Options of `millrace split`.
#[derive(clap::Args, Debug)]
pub struct SplitArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// The shard, such as shardId-000000000007 or 7
    shard: String,
    /// The hash key that the second child begins with
    #[arg(long, value_name = "HASH", conflicts_with = "into")]
    at: Option<HashKey>,
    /// How many children of equal width there shall be
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=1000))]
    into: u32,
    #[command(flatten)]
    client: ClientArgs,
}

/// Splits the shard and waits until its children take records.
pub async fn run(args: SplitArgs) -> anyhow::Result<()> {
    let opened = Client::open(&args.client, &args.stream).await?;
    let (client, stream) = (&opened.client, opened.stream.as_str());
    let id = lineage::read_id(&args.shard)?;
    let shards = lineage::read(client.shards(stream, None).await?)?;
    let shard = find_open(&shards, id)?;
    let cuts = match args.at {
        Some(cut) => vec![cut],
        None => cuts(shard.range, args.into)?,
    };
    let range = shard.range;
    // The API splits in two, so each cut is made in whichever shard holds its place by then.
    for cut in cuts {
        let shards = lineage::read(client.shards(stream, None).await?)?;
        let Some(part) = holder(&shards, cut) else {
            bail!("no open shard holds the hash key {cut} just now: look at `millrace shards {stream}`");
        };
        let input = json!({ "ShardToSplit": part.to_string(), "NewStartingHashKey": cut.to_string() });
        let split = client.call_on::<Value>(stream, "SplitShard", input).await;
        split.map_err(|error| remedy(error, &opened, &shards))?;
        await_closed(client, stream, &[part]).await?;
    }
    let shards = lineage::read(client.shards(stream, None).await?)?;
    let within: Vec<Shard> = shards
        .into_iter()
        .filter(|shard| shard.range.start >= range.start && shard.range.end <= range.end && shard.id >= id)
        .collect();
    print!("{}", lineage::draw(&within));
    Ok(())
}

/// Where `parts` children of equal width begin, but for the first.
fn cuts(range: HashRange, parts: u32) -> anyhow::Result<Vec<HashKey>> {
    let starts = range.divide(parts);
    if starts.len() < parts as usize {
        bail!(
            "the shard has only {} hash keys, too few for {parts} children",
            range.width().saturating_add(1)
        );
    }
    Ok(starts[1..].to_vec())
}

/// The open shard that a cut would go through.
fn holder(shards: &[Shard], cut: HashKey) -> Option<ShardId> {
    let held = shards.iter().find(|shard| shard.open && shard.range.contains(cut));
    held.map(|shard| shard.id)
}

/// The open shard of this id, or why there is none.
pub fn find_open(shards: &[Shard], id: ShardId) -> anyhow::Result<&Shard> {
    let shard = shards.iter().find(|shard| shard.id == id);
    let shard = shard.with_context(|| {
        let open: Vec<String> =
            shards.iter().filter(|shard| shard.open).take(20).map(|shard| shard.id.to_string()).collect();
        format!("there is no {id}; open are {}", open.join(", "))
    })?;
    if !shard.open {
        let children: Vec<String> = shards
            .iter()
            .filter(|child| child.parents.contains(&id))
            .map(|child| child.id.to_string())
            .collect();
        bail!("{id} is closed: its records go to {}", children.join(" and "));
    }
    Ok(shard)
}

/// Waits until these shards are closed and others have taken their places.
///
/// # Errors
/// When that takes longer than a reshard may.
pub async fn await_closed(client: &Client, stream: &str, parents: &[ShardId]) -> anyhow::Result<()> {
    let closed = async {
        loop {
            let shards = lineage::read(client.shards(stream, None).await?)?;
            let still_open = shards.iter().any(|shard| shard.open && parents.contains(&shard.id));
            if !still_open {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(RESHARDED_WITHIN, closed).await {
        Ok(outcome) => outcome,
        Err(_) => bail!(
            "the shards are not closed after {} s; it goes on by itself: look at `millrace shards {stream}`",
            RESHARDED_WITHIN.as_secs()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: u64, range: (u128, u128), open: bool, parents: &[u64]) -> Shard {
        Shard {
            id: ShardId(id),
            parents: parents.iter().copied().map(ShardId).collect(),
            range: HashRange { start: HashKey(range.0), end: HashKey(range.1) },
            open,
        }
    }

    #[test]
    fn cuts_are_where_children_of_equal_width_begin() {
        let range = HashRange { start: HashKey(100), end: HashKey(199) };
        assert_eq!(cuts(range, 4).unwrap(), [HashKey(125), HashKey(150), HashKey(175)]);
        let said = cuts(HashRange { start: HashKey(5), end: HashKey(6) }, 3).unwrap_err().to_string();
        assert!(said.contains("only 2 hash keys"), "{said}");
    }

    #[test]
    fn a_cut_goes_through_the_open_shard_that_holds_it() {
        let shards =
            [shard(0, (0, 99), false, &[]), shard(1, (0, 49), true, &[0]), shard(2, (50, 99), true, &[0])];
        assert_eq!(holder(&shards, HashKey(60)), Some(ShardId(2)));
        assert_eq!(holder(&shards, HashKey(100)), None);
    }

    #[test]
    fn a_shard_that_is_closed_or_missing_is_told_with_those_to_take_instead() {
        let shards =
            [shard(0, (0, 99), false, &[]), shard(1, (0, 49), true, &[0]), shard(2, (50, 99), true, &[0])];
        let closed = find_open(&shards, ShardId(0)).unwrap_err().to_string();
        assert!(closed.ends_with("go to shardId-000000000001 and shardId-000000000002"), "{closed}");
        let missing = find_open(&shards, ShardId(9)).unwrap_err().to_string();
        assert!(missing.contains("open are shardId-000000000001, shardId-000000000002"), "{missing}");
    }
}
