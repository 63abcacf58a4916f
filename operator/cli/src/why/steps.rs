//! What would make the autoscaler act, and what a person may do. Pure.

use millrace_autoscaler::{LEAD_MS, LONGEST_WAIT, Policy};
use millrace_core::map::MAX_OPEN_SHARDS;
use millrace_core::{Autoscaling, CapacityMode, StreamConfig};

use super::answer::{Act, Known};

/// Where a stream is, and so by what it is changed.
pub enum Place {
    /// On a cluster, as a resource of this name.
    Cluster {
        /// The Stream.
        object: String,
        /// Its Broker.
        broker: String,
    },
    /// In a `millrace dev`, by a resource file.
    Dev,
}

/// What would make the autoscaler act on a stream of this configuration.
pub fn acts(config: &StreamConfig) -> Vec<Act> {
    // Windows are told for themselves, whether they are on or not.
    let policy = Policy::of(config, 0);
    let act = |action: &str, when: String| Act { action: action.to_owned(), when };
    match (policy.mode, config.autoscaling) {
        (CapacityMode::Provisioned, _) => {
            vec![act("Resize", format!("capacity.shards is another number than {}", policy.shards))]
        }
        (CapacityMode::OnDemand, Autoscaling::Disabled) => Vec::new(),
        (CapacityMode::OnDemand, _) => [
            act(
                "Split",
                format!(
                    "a shard is above its target ({} or {} records/s) for {} s, or refuses records near it; up to {} \
                     shards",
                    bytes(policy.target.bytes_per_s),
                    policy.target.records_per_s,
                    policy.split_after_s,
                    policy.max_shards
                ),
            ),
            act(
                "Merge",
                format!(
                    "two neighbours together stay below {} % of one target for {} s, or for up to {LONGEST_WAIT} times as \
                     long, by how soon load has come back before; down to {}",
                    policy.merge_below_per_mille / 10,
                    policy.merge_after_s,
                    count(policy.min_shards)
                ),
            ),
        ]
        .into_iter()
        .chain(config.floor.0.iter().map(|window| {
            let before_s = LEAD_MS / 1_000;
            let when = format!("{before_s} s before {window} begins, and until it ends: to {}", count(window.shards));
            act("Floor", when)
        }))
        .collect(),
    }
}

fn count(shards: u32) -> String {
    format!("{shards} shard{}", if shards == 1 { "" } else { "s" })
}

/// Bytes a second as a resource file writes them.
fn bytes(per_s: u64) -> String {
    let (unit, name) = match per_s {
        n if n % (1 << 20) == 0 => (1 << 20, "MiB"),
        n if n % (1 << 10) == 0 => (1 << 10, "KiB"),
        _ => (1, "B"),
    };
    format!("{} {name}/s", per_s / unit)
}

/// What a person may do about it.
pub fn next(known: &Known<'_>, place: &Place) -> Vec<String> {
    let namespace = known.namespace;
    let status = match place {
        Place::Cluster { object, .. } => {
            format!("See how it is: `kubectl millrace status stream/{object} -n {namespace}`.")
        }
        Place::Dev => "See what `millrace dev` prints.".to_owned(),
    };
    let Some(seen) = known.autoscaler else {
        return vec![format!("Nobody has looked at this stream's load yet. {status}")];
    };
    let set = |what: &str, field: &str, value: &str| match place {
        Place::Cluster { object, .. } => format!(
            "{what}: `kubectl patch stream {object} -n {namespace} --type merge -p \
             '{{\"spec\":{{\"capacity\":{{\"{field}\":{value}}}}}}}'`."
        ),
        Place::Dev => {
            format!("{what}: write `{field}: {}` below spec.capacity of its file.", value.trim_matches('"'))
        }
    };
    let twice = |shards: u32| shards.saturating_mul(2).clamp(2, MAX_OPEN_SHARDS as u32).to_string();
    let mut steps = Vec::new();
    match (seen.standing.as_str(), known.config) {
        ("AtMax", Some(config)) => {
            steps.push(set("Let it have more shards", "maxShards", &twice(config.max_shards)));
        }
        ("AtMin", _) => steps.push(set("Let it have fewer shards", "minShards", "1")),
        ("Recommends", _) => steps.push(set("Have the advice carried out", "autoscaling", "\"Apply\"")),
        ("Off", _) => steps.push(set("Let load decide", "autoscaling", "\"Apply\"")),
        ("Provisioned", Some(config)) => {
            steps.push(set("Give it another number of shards", "shards", &twice(config.shards)));
            steps.push(set("Or let load decide", "mode", "\"OnDemand\""));
        }
        ("Unheard", _) => match place {
            Place::Cluster { broker, .. } => steps.push(format!(
                "See why no broker reports: `kubectl millrace status broker/{broker} -n {namespace}`."
            )),
            Place::Dev => steps.push(status),
        },
        ("Untended" | "Blocked", _) => steps.push(status),
        ("Resharding", _) => steps.push(match place {
            Place::Cluster { object, .. } => {
                format!("See it happen: `kubectl millrace shards {object} -n {namespace} --watch`.")
            }
            Place::Dev => format!("See it happen: `millrace shards {} --watch`.", known.stream),
        }),
        _ => {}
    }
    for hot in &seen.hot_keys {
        steps.push(format!(
            "Find the writers of the partition key whose MD5 is {}, and have them spread its records over several keys.",
            hot.hash_key
        ));
    }
    steps
}
