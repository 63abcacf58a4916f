//! `millrace status`: how Brokers and Streams on a cluster are. It only reads.

mod broker;
mod events;
mod overview;
mod read;
mod stream;
pub mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use read::list;

use std::io::Write;
use std::process::ExitCode;

use jiff::Timestamp;

use crate::kubernetes::{Cluster, KubeArgs, Target};
use verdict::Said;

/// The exit code when something is not ready.
const NOT_READY: u8 = 2;

/// Options of `millrace status`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit codes: 0 everything that is shown is ready, 1 an error, 2 something is not ready."
)]
pub struct StatusArgs {
    /// stream/NAME or broker/NAME; a name alone is a stream's. Without it, all Brokers and Streams
    object: Option<Target>,
    /// Look into all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["object", "namespace"])]
    all_namespaces: bool,
    #[command(flatten)]
    kubernetes: KubeArgs,
}

/// A picture, and whether everything in it is ready.
#[derive(Debug)]
struct Drawn {
    text: String,
    ready: bool,
}

/// Draws what was asked for.
pub async fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let cluster = args.kubernetes.connect().await?;
    let drawn = draw(&cluster, args.object.as_ref(), args.all_namespaces, Timestamp::now()).await?;
    std::io::stdout().lock().write_all(drawn.text.as_bytes())?;
    Ok(if drawn.ready { ExitCode::SUCCESS } else { ExitCode::from(NOT_READY) })
}

async fn draw(
    cluster: &Cluster,
    object: Option<&Target>,
    all: bool,
    now: Timestamp,
) -> anyhow::Result<Drawn> {
    match object {
        Some(Target::Stream(name)) => {
            let picture = read::stream(cluster, name).await?;
            Ok(Drawn { text: stream::draw(&picture, now), ready: Said::from(&picture.stream).is_ready() })
        }
        Some(Target::Broker(name)) => {
            let picture = read::broker(cluster, name).await?;
            Ok(Drawn { text: broker::draw(&picture, now), ready: Said::from(&picture.broker).is_ready() })
        }
        None => {
            let namespace = (!all).then_some(cluster.namespace.as_str());
            let brokers = read::list(cluster, "brokers.millrace.dev", namespace).await?;
            let streams = read::list(cluster, "streams.millrace.dev", namespace).await?;
            let ready = brokers.iter().all(|broker| Said::from(broker).is_ready())
                && streams.iter().all(|stream| Said::from(stream).is_ready());
            Ok(Drawn { text: overview::draw(&brokers, &streams, namespace), ready })
        }
    }
}
