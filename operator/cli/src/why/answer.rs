//! The answer, as programs read it. Its fields stay; others may come. Pure.

use jiff::Timestamp;
use millrace_core::StreamConfig;
use millrace_crds::stream::{AutoscalerStatus, DecisionStatus, HotKeyStatus};
use serde::{Deserialize, Serialize};

use super::steps::{Place, acts, next};

/// Why a stream has the shards it has.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What clients call the stream.
    pub stream: String,
    /// Its namespace.
    pub namespace: String,
    /// How many shards take records, and how many splits and merges are under way.
    pub open_shards: Option<i32>,
    pub reshards: Option<i32>,
    /// What the autoscaler does or waits for, in a word and in a sentence; null before it was looked at.
    pub standing: Option<String>,
    pub message: Option<String>,
    /// Since when, and when that was seen.
    pub since: Option<Timestamp>,
    pub observed_at: Option<Timestamp>,
    /// The highest load of any one shard of the last minutes, in per cent of its target.
    pub busiest_percent: Option<i32>,
    /// When neighbours are merged if load stays as it is.
    pub merge_at: Option<Timestamp>,
    /// Keys that alone bring more than a shard takes.
    pub hot_keys: Vec<HotKeyStatus>,
    /// What would make the autoscaler act.
    pub acts: Vec<Act>,
    /// The last decisions, the newest first.
    pub decisions: Vec<DecisionStatus>,
    /// What to do, as sentences with commands.
    pub next: Vec<String>,
}

/// Something that the autoscaler would do.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// What, in a word.
    pub action: String,
    /// When.
    pub when: String,
}

/// What is known of a stream.
pub struct Known<'a> {
    /// What clients call it.
    pub stream: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// What was asked of it; none where that can't be understood.
    pub config: Option<&'a StreamConfig>,
    /// Its open shards, and how many reshards are under way.
    pub open_shards: Option<i32>,
    pub reshards: Option<i32>,
    /// What the autoscaler sees.
    pub autoscaler: Option<&'a AutoscalerStatus>,
}

impl Answer {
    /// The answer, from what is known and where that is.
    pub fn of(known: &Known<'_>, place: &Place) -> Answer {
        let seen = known.autoscaler;
        Answer {
            stream: known.stream.to_owned(),
            namespace: known.namespace.to_owned(),
            open_shards: known.open_shards,
            reshards: known.reshards,
            standing: seen.map(|seen| seen.standing.clone()),
            message: seen.map(|seen| seen.message.clone()),
            since: seen.map(|seen| seen.since.0),
            observed_at: seen.map(|seen| seen.observed_at.0),
            busiest_percent: seen.and_then(|seen| seen.busiest_percent),
            merge_at: seen.and_then(|seen| seen.merge_at.as_ref()).map(|at| at.0),
            hot_keys: seen.map(|seen| seen.hot_keys.clone()).unwrap_or_default(),
            acts: known.config.map(acts).unwrap_or_default(),
            decisions: seen.map(|seen| seen.decisions.clone()).unwrap_or_default(),
            next: next(known, place),
        }
    }
}
