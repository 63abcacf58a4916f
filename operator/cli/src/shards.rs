//! `millrace shards`: the lineage of a stream's shards.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::client::{Client, ClientArgs, Opened};
use crate::lineage::{self, Shard};
use crate::node::asked_to_stop;

/// How often the picture is drawn anew with `--watch`.
const REDRAW: Duration = Duration::from_secs(1);

/// Options of `millrace shards`.
#[derive(clap::Args, Debug)]
pub struct ShardsArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// Draw anew each time that something has changed, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Draws the shards, once or until it is asked to stop.
pub async fn run(args: ShardsArgs) -> anyhow::Result<()> {
    let Opened { client, stream, .. } = Client::open(&args.client, &args.stream).await?;
    let mut shown = picture(&stream, &client).await?;
    show(&shown, args.watch)?;
    if !args.watch {
        return Ok(());
    }
    let stopped = asked_to_stop();
    tokio::pin!(stopped);
    let mut ticks = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            asked = &mut stopped => return asked,
            _ = ticks.tick() => {}
        }
        let now = picture(&stream, &client).await?;
        if now != shown {
            show(&now, true)?;
            shown = now;
        }
    }
}

async fn picture(stream: &str, client: &Client) -> anyhow::Result<String> {
    let shards = lineage::read(client.shards(stream, None).await?)?;
    Ok(format!("{stream}: {}\n{}", counts(&shards), lineage::draw(&shards)))
}

/// "3 open, 2 closed".
fn counts(shards: &[Shard]) -> String {
    let open = shards.iter().filter(|shard| shard.open).count();
    format!("{open} open, {} closed", shards.len() - open)
}

/// On a terminal that is watched a picture takes the place of the one before.
fn show(picture: &str, watch: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let clear = if watch && out.is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    write!(out, "{clear}{picture}")?;
    out.flush()
}
