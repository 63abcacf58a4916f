//! Who decides: Millrace, and its peers as their public documents describe them.
//!
//! All work on the same shards and see the same: what each was offered, also what of it was refused, which real peers
//! see in part only.

mod count;
mod kinesis_on_demand;
mod lcp;
mod means;
mod millrace;
mod naive;
mod pravega;
mod pulsar_pip483;
mod static_peak;

use millrace_core::plan::Action;
use millrace_core::{ShardMap, StreamConfig};

use crate::keys::Keys;
use crate::stream::{Carried, Stream};

pub use kinesis_on_demand::KinesisOnDemand;
pub use lcp::Lcp;
pub use naive::Naive;
pub use pravega::Pravega;
pub use pulsar_pip483::PulsarPip483;
pub use static_peak::StaticPeak;

/// A policy with its parameters. Defaults are what the documents say.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// `millrace`: `decide()` itself, for a stream of this configuration.
    Millrace(StreamConfig),
    /// `static-peak`
    StaticPeak(StaticPeak),
    /// `naive`
    Naive(Naive),
    /// `kinesis-on-demand`
    KinesisOnDemand(KinesisOnDemand),
    /// `pravega`
    Pravega(Pravega),
    /// `pulsar-pip483`
    PulsarPip483(PulsarPip483),
    /// `lcp`
    Lcp(Lcp),
    /// `oracle`: knows the future.
    Oracle,
}

impl Policy {
    /// All names, Millrace first and the oracle last.
    pub const NAMES: [&'static str; 8] = [
        "millrace",
        "static-peak",
        "naive",
        "kinesis-on-demand",
        "pravega",
        "pulsar-pip483",
        "lcp",
        "oracle",
    ];

    /// The policy of this name, with its default parameters, for a load that peaks at what `peak_shards` shall carry.
    pub fn named(name: &str, peak_shards: u32) -> Option<Policy> {
        Some(match name {
            "millrace" => Policy::Millrace(StreamConfig::default()),
            "static-peak" => Policy::StaticPeak(StaticPeak { shards: peak_shards }),
            "naive" => Policy::Naive(Naive::default()),
            "kinesis-on-demand" => Policy::KinesisOnDemand(KinesisOnDemand::default()),
            "pravega" => Policy::Pravega(Pravega::default()),
            "pulsar-pip483" => Policy::PulsarPip483(PulsarPip483::default()),
            "lcp" => Policy::Lcp(Lcp::default()),
            "oracle" => Policy::Oracle,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Policy::Millrace(_) => "millrace",
            Policy::StaticPeak(_) => "static-peak",
            Policy::Naive(_) => "naive",
            Policy::KinesisOnDemand(_) => "kinesis-on-demand",
            Policy::Pravega(_) => "pravega",
            Policy::PulsarPip483(_) => "pulsar-pip483",
            Policy::Lcp(_) => "lcp",
            Policy::Oracle => "oracle",
        }
    }

    /// What decides in a run. The oracle does not decide step by step: in its place stands one shard.
    pub(crate) fn scaler(&self) -> Box<dyn Scaler> {
        match self.clone() {
            Policy::Millrace(config) => Box::new(millrace::Millrace::new(config)),
            Policy::StaticPeak(policy) => Box::new(policy),
            Policy::Naive(policy) => Box::new(naive::State::new(policy)),
            Policy::KinesisOnDemand(policy) => Box::new(kinesis_on_demand::State::new(policy)),
            Policy::Pravega(policy) => Box::new(pravega::State::new(policy)),
            Policy::PulsarPip483(policy) => Box::new(pulsar_pip483::State::new(policy)),
            Policy::Lcp(policy) => Box::new(lcp::State::new(policy)),
            Policy::Oracle => Box::new(StaticPeak { shards: 1 }),
        }
    }
}

/// What a policy sees of the last second, or of several that were alike.
pub(crate) struct Seen<'a> {
    /// When the load began, in Unix seconds.
    pub(crate) start_s: i64,
    /// Their end, in seconds since then.
    pub(crate) now_s: u64,
    /// How many they were.
    pub(crate) seconds: u64,
    pub(crate) stream: &'a Stream,
    pub(crate) keys: &'a Keys,
    /// Which of the load's key sets `keys` is.
    pub(crate) key_set: usize,
    pub(crate) seed: u64,
}

impl<'a> Seen<'a> {
    pub(crate) fn map(&self) -> &'a ShardMap {
        self.stream.map()
    }

    /// Of each open shard, in the map's order.
    pub(crate) fn carried(&self) -> &'a [Carried] {
        self.stream.carried()
    }
}

/// Decides step by step.
pub(crate) trait Scaler {
    /// How many shards there are to begin with: a Stream's default.
    fn first_shards(&self) -> u32 {
        4
    }

    /// What is to be done now.
    fn decide(&mut self, seen: &Seen<'_>) -> Vec<Action>;

    /// At the end of which second it has to be asked again, if all stays as it is at `now_s`.
    fn next_look_s(&self, now_s: u64) -> u64;
}

/// The next multiple of a period.
fn next_multiple(now_s: u64, every_s: u64) -> u64 {
    (now_s / every_s + 1) * every_s
}
