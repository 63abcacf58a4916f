//! What the autoscaler sees of a stream now, and what it waits for. By the conditions of [`decide`](crate::decide).

use std::fmt;

use jiff::Timestamp;
use millrace_core::plan::Action;
use millrace_core::{Autoscaling, CapacityMode, HashKey, ShardId};

use crate::finding::Percent;
use crate::{Decision, Draft, Finding, Input, Policy, down, up};

/// A key that was too hot is told of for so long after it was seen last, in milliseconds: its load may be about the
/// target.
const HOT_FOR_MS: i64 = 60_000;
/// Loads are told in steps of this many thousandths of the target, rounded up.
const STEP_PER_MILLE: u32 = 50;
/// How many shards an advice names.
const NAMED: usize = 3;

/// What the autoscaler sees of a stream now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// What it does or waits for.
    pub standing: Standing,
    /// Since when, in Unix milliseconds.
    pub since_ms: i64,
    /// The highest load of any one shard of the last one to two minutes, since the shards last changed, in thousandths
    /// of the target; where load decides.
    pub busiest_per_mille: Option<u32>,
    /// The keys that alone exceed the target, heaviest first.
    pub hot_keys: Vec<HotKey>,
}

/// A key that alone exceeds the target: no split helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// Its place.
    pub key: HashKey,
    /// The shard that it lies in.
    pub shard: ShardId,
    /// What it brings, in thousandths of the target.
    pub per_mille: u32,
    /// When it was last seen to, in Unix milliseconds.
    pub seen_ms: i64,
}

/// Why the autoscaler acts or does not. Reads as a sentence that says the same for as long as little changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No shard is above its target, and no neighbours would fit into one.
    Steady {
        /// As [`Outlook::busiest_per_mille`].
        busiest_per_mille: u32,
        /// How many shards there are.
        shards: u32,
        /// A shard above its target for so long is split, in seconds.
        split_after_s: u32,
        /// Neighbours below this together are merged, in thousandths of the target.
        merge_below_per_mille: u32,
    },
    /// A shard is above its target, and is not split as yet.
    Watching {
        /// The shard.
        shard: ShardId,
        /// Its load, in thousandths of the target.
        per_mille: u32,
        /// Since when it is above its target, in Unix milliseconds.
        over_ms: i64,
        /// When it is split if its load stays as it is, in Unix milliseconds; `None` where no cut of it would help.
        split_ms: Option<i64>,
    },
    /// Splits or merges are under way.
    Resharding {
        /// How many, with those that were decided now.
        reshards: u32,
    },
    /// Neighbours could be one shard, and are merged if that lasts.
    CoolingDown {
        /// One of them.
        shard: ShardId,
        /// The other.
        adjacent: ShardId,
        /// When they are merged if load stays as it is, in Unix milliseconds.
        merge_ms: i64,
        /// How long neighbours have to be idle, in seconds.
        wait_s: u32,
        /// The shortest that may be asked for, in seconds.
        shortest_s: u32,
        /// Below what they have to stay together, in thousandths of the target.
        below_per_mille: u32,
    },
    /// Neighbours could be merged, but a window of the floor is on, or begins soon.
    AtFloor {
        /// How many shards it asks for.
        shards: u32,
    },
    /// Neighbours could be merged, but the stream has as few shards as it may.
    AtMin {
        /// The fewest shards.
        min_shards: u32,
    },
    /// A shard is above its target, but the stream has as many shards as it may.
    AtMax {
        /// As [`Outlook::busiest_per_mille`].
        busiest_per_mille: u32,
        /// The most shards.
        max_shards: u32,
    },
    /// A key alone is above the target.
    HotKey {
        /// The heaviest.
        key: HotKey,
    },
    /// There is advice, and nobody acts on it.
    Recommends {
        /// The shards that had better be split.
        splits: Vec<ShardId>,
        /// The neighbours that had better be merged.
        merges: Vec<[ShardId; 2]>,
    },
    /// The user decides how many shards there are.
    Provisioned {
        /// How many there are.
        shards: u32,
    },
    /// Autoscaling is disabled.
    Off,
    /// No broker reports loads.
    Unheard,
    /// The stream is not tended.
    Untended {
        /// Why.
        why: String,
    },
    /// What would have to be done can't be.
    Blocked {
        /// Why.
        why: Finding,
    },
}

/// What the autoscaler sees now, where it has come to this decision.
pub fn outlook(input: &Input<'_>, decision: &Decision, autoscaling: Autoscaling) -> Outlook {
    let standing = match (input.policy.mode, autoscaling) {
        (CapacityMode::OnDemand, Autoscaling::Disabled) => Standing::Off,
        (CapacityMode::OnDemand, _) => on_demand(input, decision, autoscaling),
        (CapacityMode::Provisioned, _) => match reshards(input, decision) {
            0 => Standing::Provisioned { shards: input.map.open.len() as u32 },
            reshards => Standing::Resharding { reshards },
        },
    };
    let by_load = input.policy.mode == CapacityMode::OnDemand && autoscaling != Autoscaling::Disabled;
    Outlook {
        busiest_per_mille: by_load.then(|| coarse(input.history.busiest_per_mille())),
        hot_keys: hot_keys(decision, input.now_ms),
        ..Outlook::of(standing, input.now_ms)
    }
}

fn on_demand(input: &Input<'_>, decision: &Decision, autoscaling: Autoscaling) -> Standing {
    if autoscaling == Autoscaling::Recommend && !decision.actions.is_empty() {
        return advice(&decision.actions);
    }
    let reshards = reshards(input, decision);
    if reshards > 0 {
        return Standing::Resharding { reshards };
    }
    let Policy { min_shards, max_shards, split_after_s, merge_below_per_mille, .. } = *input.policy;
    let busiest_per_mille = coarse(input.history.busiest_per_mille());
    let findings = &decision.findings;
    if findings.iter().any(|finding| matches!(finding, Finding::AtMax { .. })) {
        return Standing::AtMax { busiest_per_mille, max_shards };
    }
    if let Some(key) = hot_keys(decision, input.now_ms).first() {
        return Standing::HotKey { key: *key };
    }
    if let Some(why) = findings.first() {
        return Standing::Blocked { why: why.clone() };
    }
    let draft = Draft::new(input);
    let decided = |shard| findings.iter().any(|finding| finding.shard() == Some(shard));
    if let Some(up::Waiting { shard, per_mille, for_s, wait_s }) = up::next_watched(input, &draft, decided) {
        let over_ms = input.now_ms - i64::from(for_s) * 1_000;
        let split_ms = (wait_s > 0).then(|| input.now_ms + i64::from(wait_s) * 1_000);
        return Standing::Watching { shard, per_mille: coarse(per_mille), over_ms, split_ms };
    }
    let due = down::next_due(input, &draft);
    match due {
        Some(_) if down::is_at_min(input, &draft) => match input.policy.least_kept() {
            shards if shards > min_shards => Standing::AtFloor { shards },
            _ => Standing::AtMin { min_shards },
        },
        Some(down::Due { shard, adjacent, idle }) => Standing::CoolingDown {
            shard,
            adjacent,
            merge_ms: idle.at_ms,
            wait_s: (idle.wait_ms / 1_000) as u32,
            shortest_s: input.policy.merge_after_s,
            below_per_mille: merge_below_per_mille,
        },
        None => {
            let shards = input.map.open.len() as u32;
            Standing::Steady { busiest_per_mille, shards, split_after_s, merge_below_per_mille }
        }
    }
}

/// How many reshards are under way, with those that are decided now.
fn reshards(input: &Input<'_>, decision: &Decision) -> u32 {
    (input.map.reshards.len() + decision.actions.len()) as u32
}

fn advice(actions: &[Action]) -> Standing {
    let (mut splits, mut merges) = (Vec::new(), Vec::new());
    for action in actions {
        match action {
            Action::Split { shard, .. } => splits.push(*shard),
            Action::Merge { shard, adjacent } => merges.push([*shard, *adjacent]),
        }
    }
    // Not by their loads, which change.
    splits.sort_unstable();
    merges.sort_unstable();
    Standing::Recommends { splits, merges }
}

/// The keys that the decision speaks of, heaviest first.
fn hot_keys(decision: &Decision, now_ms: i64) -> Vec<HotKey> {
    let hot = decision.findings.iter().filter_map(|finding| match finding {
        Finding::HotKey { shard, key, key_per_mille, .. } => {
            Some(HotKey { key: *key, shard: *shard, per_mille: coarse(*key_per_mille), seen_ms: now_ms })
        }
        _ => None,
    });
    let mut hot: Vec<HotKey> = hot.collect();
    hot.sort_by_key(|hot| (std::cmp::Reverse(hot.per_mille), hot.key));
    hot
}

fn coarse(per_mille: u32) -> u32 {
    per_mille.div_ceil(STEP_PER_MILLE).saturating_mul(STEP_PER_MILLE)
}

impl Outlook {
    /// One that says nothing but this, from now on.
    pub fn of(standing: Standing, now_ms: i64) -> Outlook {
        Outlook { standing, since_ms: now_ms, busiest_per_mille: None, hot_keys: Vec::new() }
    }

    /// The same, after what was seen a second ago: a standing that goes on has begun when it began, and a hot key is
    /// told of for a minute more.
    #[must_use]
    pub fn following(mut self, before: &Outlook) -> Outlook {
        let now_ms = self.since_ms;
        for hot in &before.hot_keys {
            if now_ms - hot.seen_ms < HOT_FOR_MS && self.hot_keys.iter().all(|now| now.key != hot.key) {
                self.hot_keys.push(*hot);
            }
        }
        if self.standing.name() == before.standing.name() {
            self.since_ms = before.since_ms;
        }
        self
    }
}

impl Standing {
    /// One CamelCase word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Steady { .. } => "Steady",
            Standing::Watching { .. } => "Watching",
            Standing::Resharding { .. } => "Resharding",
            Standing::CoolingDown { .. } => "CoolingDown",
            Standing::AtFloor { .. } => "AtFloor",
            Standing::AtMin { .. } => "AtMin",
            Standing::AtMax { .. } => "AtMax",
            Standing::HotKey { .. } => "HotKey",
            Standing::Recommends { .. } => "Recommends",
            Standing::Provisioned { .. } => "Provisioned",
            Standing::Off => "Off",
            Standing::Unheard => "Unheard",
            Standing::Untended { .. } => "Untended",
            Standing::Blocked { .. } => "Blocked",
        }
    }
}

impl HotKey {
    /// What is said of a key at this place, in this shard, that brings so many per cent of a shard's target.
    pub fn sentence(key: impl fmt::Display, shard: impl fmt::Display, percent: impl fmt::Display) -> String {
        format!(
            "Hash key {key} alone brings {percent} % of a shard's target, in {shard}: no split divides a key. Spread its \
             records over several partition keys, or raise capacity.targetPerShard."
        )
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Steady { busiest_per_mille, shards: 1, split_after_s, .. } => write!(
                f,
                "The one shard carried up to {} of its target in the last two minutes; it is split once it is above \
                 100 % for {split_after_s} s.",
                Percent(*busiest_per_mille)
            ),
            Standing::Steady { busiest_per_mille, split_after_s, merge_below_per_mille, .. } => write!(
                f,
                "No shard carried more than {} of its target in the last two minutes, and one is split above 100 % for \
                 {split_after_s} s; no two neighbours together are below {} of one target, where they would be merged.",
                Percent(*busiest_per_mille),
                Percent(*merge_below_per_mille)
            ),
            Standing::Watching { shard, per_mille, over_ms, split_ms } => {
                let (over, load) = (At(*over_ms), Percent(*per_mille));
                write!(f, "{shard} is above its target since {over}, at {load}: ")?;
                match split_ms {
                    Some(split_ms) => write!(f, "it is split at {} if that lasts.", At(*split_ms)),
                    None => f.write_str("no cut of its hash range would divide that load."),
                }
            }
            Standing::Resharding { reshards } => write!(
                f,
                "{} under way: the shards' owners carry that out, within seconds as a rule.",
                match reshards {
                    1 => "1 split or merge is".to_owned(),
                    n => format!("{n} splits and merges are"),
                }
            ),
            Standing::CoolingDown { shard, adjacent, merge_ms, wait_s, shortest_s, below_per_mille } => {
                let (merge, below) = (At(*merge_ms), Percent(*below_per_mille));
                write!(f, "{shard} and {adjacent} together carry less than {below} of one target: ")?;
                write!(f, "they are merged at {merge} if load stays as it is. Neighbours wait {wait_s} s, ")?;
                match wait_s.checked_div(*shortest_s).unwrap_or(1) {
                    0 | 1 => f.write_str("as capacity.mergeAfterSeconds says."),
                    n => write!(
                        f,
                        "{n} times capacity.mergeAfterSeconds, by how soon load has come back to so many shards."
                    ),
                }
            }
            Standing::AtFloor { shards } => write!(
                f,
                "Neighbours carry so little that they would be merged, but a window of capacity.floor that is on, or \
                 begins soon, asks for {shards} shards."
            ),
            Standing::AtMin { min_shards } => write!(
                f,
                "Neighbours carry so little that they would be merged, but the stream has no more than its fewest \
                 shards, {min_shards}: lower capacity.minShards to have fewer."
            ),
            Standing::AtMax { busiest_per_mille, max_shards } => write!(
                f,
                "A shard is above its target (the busiest was at {} in the last two minutes) and is not split, since the \
                 stream may have no more than {max_shards} shards: raise capacity.maxShards.",
                Percent(*busiest_per_mille)
            ),
            Standing::HotKey { key } => {
                f.write_str(&HotKey::sentence(key.key, key.shard, key.per_mille.div_ceil(10)))
            }
            Standing::Recommends { splits, merges } => {
                f.write_str("Nothing is done, since capacity.autoscaling is Recommend. The advice is to ")?;
                let split = splits.iter().map(|shard| format!("split {shard}"));
                let merge = merges.iter().map(|[a, b]| format!("merge {a} and {b}"));
                let all: Vec<String> = split.chain(merge).collect();
                f.write_str(&all[..all.len().min(NAMED)].join(", "))?;
                match all.len().saturating_sub(NAMED) {
                    0 => f.write_str("."),
                    more => write!(f, ", and {more} more."),
                }
            }
            Standing::Provisioned { shards } => write!(
                f,
                "The stream has the shards that it was given, {shards}: with capacity.mode: Provisioned load moves nothing."
            ),
            Standing::Off => f.write_str(
                "Nothing is decided, since capacity.autoscaling is Disabled: set it to Apply or Recommend.",
            ),
            Standing::Unheard => f.write_str(
                "Nothing is decided, since no broker reports loads: see whether the brokers of the stream's Broker run.",
            ),
            Standing::Untended { why } => write!(f, "Nothing is decided while the stream is not tended: {why}."),
            Standing::Blocked { why } => write!(f, "Nothing can be done: {why}."),
        }
    }
}

/// A time of day with its date, in whole seconds, rounded up.
struct At(i64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = (self.0 + 999).div_euclid(1_000);
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH).fmt(f)
    }
}
