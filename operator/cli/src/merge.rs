//! `millrace merge`: two neighbouring shards become one.

use anyhow::bail;
use serde_json::{Value, json};

use crate::client::{Client, ClientArgs};
use crate::lineage::{self, Shard};
use crate::on_demand::remedy;
use crate::split::{await_closed, find_open};

/// Options of `millrace merge`.
#[derive(clap::Args, Debug)]
pub struct MergeArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// One shard, such as shardId-000000000007 or 7
    shard: String,
    /// Its neighbour
    adjacent: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Merges the shards and waits until their child takes records.
pub async fn run(args: MergeArgs) -> anyhow::Result<()> {
    let opened = Client::open(&args.client, &args.stream).await?;
    let (client, stream) = (&opened.client, opened.stream.as_str());
    let ids = [lineage::read_id(&args.shard)?, lineage::read_id(&args.adjacent)?];
    let shards = lineage::read(client.shards(stream, None).await?)?;
    check_neighbours(&shards, find_open(&shards, ids[0])?, find_open(&shards, ids[1])?)?;
    let input = json!({ "ShardToMerge": ids[0].to_string(), "AdjacentShardToMerge": ids[1].to_string() });
    let merge = client.call_on::<Value>(stream, "MergeShards", input).await;
    merge.map_err(|error| remedy(error, &opened, &shards))?;
    await_closed(client, stream, &ids).await?;
    let shards = lineage::read(client.shards(stream, None).await?)?;
    let family: Vec<Shard> = shards
        .into_iter()
        .filter(|s| ids.contains(&s.id) || s.parents.iter().any(|p| ids.contains(p)))
        .collect();
    print!("{}", lineage::draw(&family));
    Ok(())
}

/// Says which shards lie beside `one` where `other` does not.
fn check_neighbours(shards: &[Shard], one: &Shard, other: &Shard) -> anyhow::Result<()> {
    let beside = |a: &Shard, b: &Shard| {
        a.range.end.after() == Some(b.range.start) || b.range.end.after() == Some(a.range.start)
    };
    if one.id == other.id {
        bail!("{} can't be merged with itself: name its neighbour", one.id);
    }
    if !beside(one, other) {
        let neighbours: Vec<String> = shards
            .iter()
            .filter(|shard| shard.open && beside(one, shard))
            .map(|shard| shard.id.to_string())
            .collect();
        bail!("{} does not lie beside {}: its neighbours are {}", other.id, one.id, neighbours.join(" and "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_core::{HashKey, HashRange, ShardId};

    fn shard(id: u64, start: u128, end: u128) -> Shard {
        let range = HashRange { start: HashKey(start), end: HashKey(end) };
        Shard { id: ShardId(id), parents: Vec::new(), range, open: true }
    }

    #[test]
    fn only_neighbours_merge_and_others_are_told_who_theirs_are() {
        let shards = [shard(0, 0, 9), shard(1, 10, 19), shard(2, 20, u128::MAX)];
        assert!(check_neighbours(&shards, &shards[1], &shards[0]).is_ok());
        assert!(check_neighbours(&shards, &shards[1], &shards[2]).is_ok());
        let said = check_neighbours(&shards, &shards[0], &shards[2]).unwrap_err().to_string();
        assert!(said.ends_with("its neighbours are shardId-000000000001"), "{said}");
        assert!(
            check_neighbours(&shards, &shards[0], &shards[0]).unwrap_err().to_string().contains("itself")
        );
    }
}
