//! The `millrace` command: everything in one process, what the containers run, and people's tools.

// Nothing outside sees into a binary: `pub` says what a module offers to the others.
#![allow(unreachable_pub)]

mod admin;
mod broker;
mod client;
mod completion;
mod credentials;
mod dev;
mod keeper;
mod kubernetes;
mod lineage;
mod merge;
mod node;
mod on_demand;
mod operator;
mod put;
mod resources;
mod serving;
mod shards;
mod simulate;
mod split;
mod status;
mod tail;
mod why;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Managed streaming on Kubernetes: the Kinesis API on NATS JetStream, with shards that split and merge by
/// themselves.
#[derive(Parser, Debug)]
#[command(name = "millrace", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run everything in one process, with one nats-server and without Kubernetes
    Dev(dev::DevArgs),
    /// Run one broker of a cluster
    Broker(broker::BrokerArgs),
    /// Look after the Brokers and Streams of a Kubernetes cluster
    Operator(operator::OperatorArgs),
    /// Look after one nats-server: replaced certificates, probes and figures
    Keeper(keeper::KeeperArgs),
    /// Print the CustomResourceDefinitions
    Crds,
    /// Draw a stream's shards as a tree: who came from whom, and which part of the hash space each has
    Shards(shards::ShardsArgs),
    /// Write records
    Put(put::PutArgs),
    /// Read records, across splits and merges
    Tail(tail::TailArgs),
    /// Split a shard into two or more
    Split(split::SplitArgs),
    /// Merge two neighbouring shards into one
    Merge(merge::MergeArgs),
    /// Tell how Brokers and Streams on a cluster are, and what to do where they are not ready
    Status(status::StatusArgs),
    /// Tell why a stream has the shards it has: the last decisions, and what the autoscaler waits for
    Why(why::WhyArgs),
    /// Run the autoscaler, or a peer of it, on a recorded load, and tell what it would have cost
    Simulate(simulate::SimulateArgs),
    /// Print what makes a shell, or kubectl, complete these commands
    Completion(completion::CompletionArgs),
    /// Answer kubectl, which asks what may follow these words
    #[command(name = "__complete", hide = true)]
    Complete(completion::CompleteArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command_line().get_matches()).unwrap_or_else(|error| error.exit());
    log(matches!(cli.command, Command::Broker(_) | Command::Keeper(_) | Command::Operator(_)));
    match run(cli.command).await {
        Ok(code) => code,
        // `millrace tail … | head` has what it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line, under the name that it was called by.
fn command_line() -> clap::Command {
    let command = Cli::command();
    if kubernetes::is_plugin() { command.bin_name("kubectl millrace") } else { command }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(args) => return status::run(args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Broker(args) => broker::run(args).await,
        Command::Operator(args) => operator::run(args).await,
        Command::Keeper(args) => keeper::run(args).await,
        Command::Crds => Ok(std::io::stdout().write_all(millrace_crds::definitions_yaml().as_bytes())?),
        Command::Shards(args) => shards::run(args).await,
        Command::Put(args) => put::run(args).await,
        Command::Tail(args) => tail::run(args).await,
        Command::Split(args) => split::run(args).await,
        Command::Merge(args) => merge::run(args).await,
        Command::Why(args) => why::run(args).await,
        Command::Simulate(args) => simulate::run(&args),
        Command::Completion(args) => completion::run(args, Cli::command()),
        Command::Complete(args) => completion::answer(args, Cli::command()).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Logs go to standard error: as JSON from a container, as lines for a person. `MILLRACE_LOG` chooses what is
/// logged, in the form of `RUST_LOG`.
fn log(container: bool) {
    // What the API server refuses is told by whoever asked, with what was being done, and what becomes of connections
    // to NATS by whoever made them.
    let default = if container { "info,kube_client::client::builder=off,async_nats=warn" } else { "warn" };
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if container { logs.json().with_current_span(false).init() } else { logs.init() }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
