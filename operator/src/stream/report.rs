//! What is said of a Stream in its status. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use millrace_core::{CapacityMode, HashKey, ShardMap, StreamState};
use millrace_crds::Stream;
use millrace_crds::condition::{self, Finding, Kind};
use millrace_crds::stream::{ShardStatus, StreamStatus};
use millrace_server::kinesis::Account;

use super::autoscaler;
use super::decide::{Blocked, Step};
use super::resolve::{Found, Stored};

/// How many shards a status shows.
const SHOWN_SHARDS: usize = 50;
/// From here on a stream is said to be full soon, in per cent of its quota.
const FULL_SOON_PERCENT: u64 = 75;

/// Where a Stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether it serves as its spec says.
    pub ready: bool,
    /// Whether somebody has to help.
    pub stuck: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// Where a Stream stands, after `step` was decided on.
pub fn state(stream: &Stream, found: &Found, step: &Step) -> State {
    let said = |ready, stuck, reason, message: String| State { ready, stuck, reason, message };
    let name = stream.stream_name();
    let broker = &stream.spec.broker_ref.name;
    if let Step::Blocked(blocked) = step {
        return match blocked {
            Blocked::Rival(rival) => said(
                false,
                true,
                "NameTaken",
                format!(
                    "Stream {rival} has the name {name} already: delete one of the two, or give this one another name."
                ),
            ),
            Blocked::Spec(why) => said(false, true, "InvalidSpec", why.clone()),
            Blocked::NoBroker => said(
                false,
                false,
                "BrokerNotFound",
                format!(
                    "There is no Broker {broker} in this namespace: create it, and this Stream goes on by itself."
                ),
            ),
            Blocked::NoBrokerToDelete => said(
                false,
                true,
                "BrokerNotFound",
                format!(
                    "The records are to be deleted, but they lie on the volumes of Broker {broker}, which is gone: \
                     create it again, or set deletionPolicy: Retain to let this object go without them."
                ),
            ),
            Blocked::NoLog => said(
                false,
                false,
                "BrokerNotReady",
                format!("Broker {broker} does not serve as yet: its own conditions say why."),
            ),
            Blocked::Removal => said(
                false,
                false,
                "Deleting",
                format!("The records that were stored under the name {name} are being deleted."),
            ),
        };
    }
    let Some(Stored { entry, map, failure, .. }) = &found.stored else {
        return said(false, false, "Creating", "The stream is being made.".to_owned());
    };
    if let Some(failure) = failure {
        let reason = if failure.lost { "DataLost" } else { "LogRefuses" };
        return said(false, failure.lost, reason, failure.message.clone());
    }
    match (entry.state, map) {
        (StreamState::Active, Some(map)) if matches!(step, Step::Nothing) => {
            let open = count(map.open.len(), "shard");
            if entry.config.mode == CapacityMode::Provisioned && entry.config.rescale {
                let wanted = entry.config.shards;
                return said(false, false, "Resharding", format!("{open} open; there will be {wanted}."));
            }
            said(true, false, "Serving", format!("{open} open."))
        }
        (StreamState::Active, Some(map)) => {
            let open = count(map.open.len(), "shard");
            said(false, false, "Configuring", format!("{open} open; a change is being made."))
        }
        _ => said(false, false, "Creating", "The stream's lanes and shards are being made.".to_owned()),
    }
}

/// The status.
pub fn status(stream: &Stream, found: &Found, step: &Step, region: &str, now: &Time) -> StreamStatus {
    let generation = stream.metadata.generation.unwrap_or_default();
    let before = stream.status.clone().unwrap_or_default();
    let mut conditions = before.conditions;
    let state = state(stream, found, step);
    let finding = |status| Finding { status, reason: state.reason, message: state.message.clone() };
    condition::set(&mut conditions, Kind::Ready, finding(state.ready), generation, now);
    let abnormal = [(Kind::Reconciling, !state.ready && !state.stuck), (Kind::Stalled, state.stuck)];
    for (kind, is_so) in abnormal {
        match is_so {
            true => condition::set(&mut conditions, kind, finding(true), generation, now),
            false => condition::clear(&mut conditions, kind),
        }
    }
    let stored = found.stored.as_ref();
    match stored.and_then(full) {
        Some(finding) => condition::set(&mut conditions, Kind::StorageFull, finding, generation, now),
        None => condition::clear(&mut conditions, Kind::StorageFull),
    }
    let namespace = stream.metadata.namespace.as_deref().unwrap_or_default();
    let serves = !matches!(step, Step::Blocked(Blocked::Rival(_)));
    let stored = stored.filter(|_| serves);
    let autoscaler = stored.and_then(|stored| {
        autoscaler::status(before.autoscaler.as_ref(), stored.outlook.as_deref(), &stored.decisions, now)
    });
    match autoscaler.as_ref().and_then(autoscaler::hot_key) {
        Some(finding) => condition::set(&mut conditions, Kind::HotKey, finding, generation, now),
        None => condition::clear(&mut conditions, Kind::HotKey),
    }
    let map = stored.and_then(|stored| stored.map.as_ref());
    let number = |count: usize| i32::try_from(count).ok();
    StreamStatus {
        observed_generation: Some(generation),
        conditions,
        arn: serves.then(|| Account::of_namespace(namespace).stream_arn(region, stream.stream_name())),
        data_id: stored.map(|stored| stored.entry.data.to_string()),
        open_shards: map.and_then(|map| number(map.open.len())),
        reshards: map.and_then(|map| number(map.reshards.len())),
        lanes: map.map(|map| i32::from(map.lanes)),
        shards: map.map(shards).unwrap_or_default(),
        autoscaler,
    }
}

fn shards(map: &ShardMap) -> Vec<ShardStatus> {
    let status = |(index, shard): (usize, &millrace_core::OpenShard)| {
        let range = map.range(index);
        let decimal = |key: HashKey| key.0.to_string();
        ShardStatus {
            id: shard.id.to_string(),
            starting_hash_key: decimal(range.start),
            ending_hash_key: decimal(range.end),
            opened_at: Time(
                Timestamp::from_second(shard.opened_ms.div_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH),
            ),
        }
    };
    map.open.iter().enumerate().take(SHOWN_SHARDS).map(status).collect()
}

fn full(stored: &Stored) -> Option<Finding> {
    let percent = stored.usage?.percent();
    (percent >= FULL_SOON_PERCENT).then(|| Finding {
        status: true,
        reason: "QuotaFull",
        // In steps of five per cent, so that a status is not written anew with each record.
        message: format!(
            "{} % of the quota is used; beyond it writes are throttled: raise spec.quota, or shorten spec.retention.",
            percent / 5 * 5
        ),
    })
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
