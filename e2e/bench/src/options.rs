//! The command line.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;

/// Measures Millrace beside JetStream itself and beside emulators of Kinesis, on this machine.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "millrace-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Measure these alone
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Measurement>,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) seconds: u64,
    /// How often each figure is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Where data is kept while it is needed; on a disk, since fsyncs are measured
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write every single figure to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The millrace to measure; without it, the one that lies beside this program
    #[arg(long, value_name = "FILE")]
    pub(crate) millrace: Option<PathBuf>,
    /// The nats-server under both sides; without it, the one in PATH, or the one that `make tools` has built
    #[arg(long, value_name = "FILE")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Where the emulators lie; without it, where `make emulators` puts them
    #[arg(long, value_name = "DIR")]
    pub(crate) emulators: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else this program does.
#[derive(clap::Subcommand, Clone, Debug)]
pub(crate) enum Command {
    /// One load, told on standard input
    #[command(hide = true)]
    Load,
}

/// What can be measured.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measurement {
    /// JetStream's asynchronous publish
    Raw,
    /// PutRecords beside it
    PutRecords,
    /// PutRecord beside JetStream's synchronous publish
    PutRecord,
    /// From before a put to the record's arrival at a reader
    PutToGet,
    /// How long writers wait while shards split and merge
    ReshardWait,
    /// How soon an overloaded shard has children
    Overload,
    /// Reading a full lane from its beginning after a restart
    CatchUp,
    /// A good client among a thousand slow ones and a hundred whose bodies are too long
    Hostile,
    /// Ten thousand shards: start, memory, a split
    Memory,
    /// PutRecords, PutRecord and put to get beside emulators of Kinesis
    Emulators,
}

impl serde::Serialize for Measurement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("?", |value| value.get_name()))
    }
}

impl Args {
    /// What to measure, in order. `put-records` measures its peer, `raw`, itself: each ratio is of a pair.
    pub(crate) fn measurements(&self) -> Vec<Measurement> {
        let all = Measurement::value_variants();
        let mut wanted = if self.only.is_empty() { all.to_vec() } else { self.only.clone() };
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.contains(&Measurement::PutRecords) {
            wanted.retain(|measurement| *measurement != Measurement::Raw);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn measurements(only: &[&str]) -> Vec<Measurement> {
        Args::try_parse_from([&["millrace-bench"], only].concat()).unwrap().measurements()
    }

    #[test]
    fn the_peer_is_not_measured_twice() {
        assert_eq!(measurements(&["--only", "put-records,raw"]), [Measurement::PutRecords]);
        assert_eq!(measurements(&["--only", "raw"]), [Measurement::Raw]);
        assert_eq!(measurements(&[]).len(), Measurement::value_variants().len() - 1);
    }

    #[test]
    fn the_hidden_load_takes_no_options() {
        assert!(Args::try_parse_from(["millrace-bench", "load"]).unwrap().command.is_some());
        assert!(Args::try_parse_from(["millrace-bench", "--runs", "2", "load"]).is_err());
    }
}
