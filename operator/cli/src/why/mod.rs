//! `millrace why`: why a stream has the shards it has, and what it would take to have others. It only reads.

mod answer;
mod draw;
mod find;
mod serve;
mod steps;
#[cfg(test)]
mod tests;

pub use serve::WhyApi;

use std::io::Write;

use anyhow::anyhow;
use jiff::Timestamp;

use crate::client::PlaceArgs;
use crate::kubernetes::stream_name;

/// Options of `millrace why`.
#[derive(clap::Args, Debug)]
pub struct WhyArgs {
    /// The stream's name, such as orders or stream/orders
    stream: String,
    /// Print an object for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Tells it.
pub async fn run(args: WhyArgs) -> anyhow::Result<()> {
    let name = stream_name(&args.stream).map_err(|error| anyhow!(error))?;
    let answer = match args.place.endpoint() {
        Some(endpoint) => find::in_dev(&endpoint, &name).await?,
        None => find::on_cluster(&args.place.kubernetes.connect().await?, &name).await?,
    };
    let text = match args.json {
        true => serde_json::to_string_pretty(&answer)? + "\n",
        false => draw::draw(&answer, Timestamp::now()),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}
