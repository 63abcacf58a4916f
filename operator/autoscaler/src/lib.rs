//! Decides which shards to split and merge: pure. [`decide`] takes a stream's map, what is remembered of its load
//! and its policy, and says what to do and why.
//!
//! Upwards it acts fast: a shard above its target for two seconds, or one that throttles, is cut where its load
//! lies, into as many children as it takes at once, with room for more where the load grows. Downwards it acts lazily:
//! neighbours are merged once even their highest second together has long fitted well within one shard's target. How
//! long is learned, for each number of shards, from how soon load has come back (`levels.rs`). A merge that leads to
//! a split takes a rise by half over the highest second of all that time, so noise moves nothing.

mod down;
mod finding;
mod floor;
mod history;
mod levels;
mod outlook;
mod policy;
mod profile;
mod reach;
mod trend;
mod up;

use std::collections::BTreeSet;

use millrace_core::plan::Action;
use millrace_core::{CapacityMode, OpenShard, ShardId, ShardMap};

pub use finding::{Finding, Seen};
pub use floor::{Asks, FloorNow, LEAD_MS};
pub use history::LoadHistory;
pub use levels::LONGEST_WAIT;
pub use outlook::{HotKey, Outlook, Standing, outlook};
pub use policy::Policy;

/// What a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The shards there are.
    pub map: &'a ShardMap,
    /// What they have carried; [`LoadHistory::observe`] was called for this second.
    pub history: &'a LoadHistory,
    /// What is aimed at.
    pub policy: &'a Policy,
    /// The time of day, in Unix milliseconds.
    pub now_ms: i64,
}

/// What is to be done, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// For [`ShardMap::plan`], which takes them all.
    pub actions: Vec<Action>,
    /// What was seen. Each action has one that speaks of it; some have no action, since none would help.
    pub findings: Vec<Finding>,
}

/// Decides what to do about a stream's shards now. Shards that are being resharded already are left alone.
///
/// Provisioned: goes towards `policy.shards` of equal width while a new number is asked for (`policy.rescale`), and
/// does nothing else: what a user splits and merges by hand stays. Whoever carries decisions out clears that
/// request when [`is_rescaled`] says so.
pub fn decide(input: &Input<'_>) -> Decision {
    let decision = match input.policy.mode {
        CapacityMode::OnDemand => on_demand(input),
        CapacityMode::Provisioned => provisioned(input),
    };
    // Cannot happen but for the bound on open shards, and then nothing is to be written that would be refused.
    match input.map.plan(&decision.actions, input.now_ms) {
        Ok(_) => decision,
        Err(error) => {
            Decision { actions: Vec::new(), findings: vec![Finding::Refused { why: error.to_string() }] }
        }
    }
}

fn on_demand(input: &Input<'_>) -> Decision {
    let mut draft = Draft::new(input);
    up::split_overloaded(input, &mut draft);
    reach::reach_least(input, &mut draft);
    down::return_to_max(input, &mut draft);
    down::merge_idle(input, &mut draft);
    draft.decision
}

fn provisioned(input: &Input<'_>) -> Decision {
    let open = input.map.open.len() as u32;
    if !input.policy.rescale {
        return Decision::default();
    }
    let actions = input.map.step_to_uniform(input.policy.shards);
    if actions.is_empty() {
        return Decision::default();
    }
    let reshards = actions.len() as u32;
    let findings = vec![Finding::Resize { from: open, to: input.policy.shards, reshards }];
    Decision { actions, findings }
}

/// Whether a Provisioned stream has the shape that was asked for, and nothing is under way.
pub fn is_rescaled(map: &ShardMap, shards: u32) -> bool {
    map.reshards.is_empty() && map.step_to_uniform(shards).is_empty()
}

/// A decision as it comes about.
struct Draft {
    decision: Decision,
    /// Shards that are being resharded, or will be by this decision.
    taken: BTreeSet<ShardId>,
    /// How many shards will be open once everything is finished.
    shards: u32,
    /// How many more reshards may begin.
    reshards_left: u32,
}

impl Draft {
    fn new(input: &Input<'_>) -> Draft {
        let parents = input.map.reshards.iter().flat_map(|reshard| &reshard.parents);
        Draft {
            decision: Decision::default(),
            taken: parents.map(|parent| parent.id).collect(),
            shards: input.map.open_after_reshards() as u32,
            reshards_left: input.policy.max_reshards.saturating_sub(input.map.reshards.len() as u32),
        }
    }

    fn is_free(&self, shard: &OpenShard) -> bool {
        !self.taken.contains(&shard.id)
    }

    fn act(&mut self, action: Action) {
        match &action {
            Action::Split { shard, cuts } => {
                self.taken.insert(*shard);
                self.shards += cuts.len() as u32;
            }
            Action::Merge { shard, adjacent } => {
                self.taken.extend([*shard, *adjacent]);
                self.shards -= 1;
            }
        }
        self.reshards_left -= 1;
        self.decision.actions.push(action);
    }
}
