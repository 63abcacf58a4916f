//! What a Stream's status says of its autoscaler, and when that is worth a write. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use millrace_autoscaler::{HotKey, Outlook, Standing};
use millrace_crds::condition::Finding;
use millrace_crds::stream::{
    AutoscalerStatus, DecisionStatus, HotKeyStatus, MAX_DECISIONS, MAX_HOT_KEYS, MAX_MESSAGE,
};
use millrace_server::controller::Told;

/// Figures are written no more often than this, in seconds.
const FIGURES_EVERY_S: i64 = 60;
/// A standing takes the place of one of its own kind once it has lasted for this long, in seconds.
const LASTING_S: i64 = 10;
/// A limit is said to be over once it has been for this long, in seconds.
const OVER_S: i64 = 60;
/// A load by so much higher or lower is still the same: so many points of a hundred, or this part of what it was.
const SAME_POINTS: i32 = 10;
const SAME_PART: i32 = 4;
/// A merge is still due at the same time if that differs by no more than this, in seconds.
const SAME_TIME_S: i64 = 5;
/// A decision that changes nothing is listed once in this time, in seconds.
const LIST_AGAIN_S: i64 = 3_600;

/// What is seen beside what a status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// It is the same, or has not lasted.
    Nothing,
    /// It is the same with other figures, or as calm: it can wait where many are to be written.
    Figures,
    /// It is something else.
    Write,
}

/// What a status says, after it has said `before`: the same where nothing else is worth a write.
pub fn status(
    before: Option<&AutoscalerStatus>,
    outlook: Option<&Outlook>,
    told: &[Told],
    now: &Time,
) -> Option<AutoscalerStatus> {
    let view = match (before, outlook) {
        // An operator that has just begun knows of nothing as yet.
        (before, None) => before?.clone(),
        (Some(before), Some(outlook)) if worth(Some(before), outlook, now) == Worth::Nothing => {
            before.clone()
        }
        (before, Some(outlook)) => {
            let view = view(outlook, now);
            match before.filter(|before| before.standing == view.standing) {
                Some(before) => AutoscalerStatus { since: before.since.clone(), ..view },
                None => view,
            }
        }
    };
    let listed = before.map(|before| before.decisions.as_slice()).unwrap_or_default();
    Some(AutoscalerStatus { decisions: decisions(listed, told), ..view })
}

/// What `outlook` is worth, where a status says `before`.
pub fn worth(before: Option<&AutoscalerStatus>, outlook: &Outlook, now: &Time) -> Worth {
    let Some(before) = before else { return Worth::Write };
    let seen = view(outlook, now);
    if keys(before) != keys(&seen) {
        return Worth::Write;
    }
    let age_s = |time: &Time| now.0.as_second() - time.0.as_second();
    let lasts = age_s(&time(outlook.since_ms)) >= LASTING_S;
    let old = age_s(&before.observed_at) >= FIGURES_EVERY_S;
    let when = |worth: Worth, is_so: bool| if is_so { worth } else { Worth::Nothing };
    match (Kind::of(&before.standing), Kind::of(&seen.standing)) {
        _ if before.standing == seen.standing => match outlook.standing {
            Standing::Resharding { .. } => when(Worth::Write, before.message != seen.message),
            _ => when(Worth::Figures, old && differs(before, &seen)),
        },
        (Kind::Step, _) | (_, Kind::Step) | (Kind::Calm, Kind::Limit) => Worth::Write,
        (from, to) if from == to => when(Worth::Figures, old && lasts),
        (_, Kind::Blind) => when(Worth::Write, lasts),
        (Kind::Blind, _) => Worth::Write,
        (Kind::Limit, _) => when(Worth::Write, age_s(&time(outlook.since_ms)) >= OVER_S),
        (Kind::Calm, Kind::Calm) => Worth::Nothing,
    }
}

/// How standings come and go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By a decision or a changed spec.
    Step,
    /// Load does by itself what it can't go beyond.
    Limit,
    /// Load moves a little.
    Calm,
    /// Something is in trouble.
    Blind,
}

impl Kind {
    fn of(standing: &str) -> Kind {
        match standing {
            "Steady" | "Watching" | "CoolingDown" | "AtMin" | "AtFloor" => Kind::Calm,
            "AtMax" | "HotKey" | "Recommends" | "Blocked" => Kind::Limit,
            "Unheard" | "Untended" => Kind::Blind,
            _ => Kind::Step,
        }
    }
}

/// What there is to say, but for the decisions.
fn view(outlook: &Outlook, now: &Time) -> AutoscalerStatus {
    let merge_at = match &outlook.standing {
        Standing::CoolingDown { merge_ms, .. } => Some(time(merge_ms + 999)),
        _ => None,
    };
    let hot = |hot: &HotKey| HotKeyStatus {
        hash_key: hot.key.to_string(),
        shard: hot.shard.to_string(),
        percent: percent(hot.per_mille),
    };
    AutoscalerStatus {
        standing: outlook.standing.name().to_owned(),
        message: bounded(outlook.standing.to_string()),
        since: time(outlook.since_ms),
        observed_at: now.clone(),
        busiest_percent: outlook.busiest_per_mille.map(percent),
        merge_at,
        hot_keys: outlook.hot_keys.iter().take(MAX_HOT_KEYS).map(hot).collect(),
        decisions: Vec::new(),
    }
}

/// Whether figures have changed by more than they do all the time, or the sentence where it holds no such figures.
fn differs(before: &AutoscalerStatus, now: &AutoscalerStatus) -> bool {
    let is_same = |before: i32, now: i32| (before - now).abs() <= SAME_POINTS.max(before / SAME_PART);
    let of_load = match (before.busiest_percent, now.busiest_percent) {
        (Some(before), Some(now)) => !is_same(before, now),
        (before, now) => before != now,
    };
    let of_time = match (&before.merge_at, &now.merge_at) {
        (Some(before), Some(now)) => (before.0.as_second() - now.0.as_second()).abs() > SAME_TIME_S,
        (before, now) => before != now,
    };
    let mut keys = before.hot_keys.iter().flat_map(|before| {
        let now = now.hot_keys.iter().find(|now| now.hash_key == before.hash_key);
        now.map(|now| before.shard != now.shard || !is_same(before.percent, now.percent))
    });
    let has_figures =
        matches!(now.standing.as_str(), "Steady" | "Watching" | "CoolingDown" | "AtMax" | "HotKey");
    of_load || of_time || keys.any(|differs| differs) || (!has_figures && before.message != now.message)
}

/// The hot keys, whichever is the heaviest now.
fn keys(status: &AutoscalerStatus) -> BTreeSet<&str> {
    status.hot_keys.iter().map(|hot| hot.hash_key.as_str()).collect()
}

/// The list of decisions, the newest first, with those that were told since.
fn decisions(listed: &[DecisionStatus], told: &[Told]) -> Vec<DecisionStatus> {
    let mut all: Vec<DecisionStatus> = listed.iter().rev().cloned().collect();
    // What is older than the newest was looked at before: what has left the list, or was left out, does not come back.
    let newest = all.last().map(|newest| newest.time.clone());
    let mut kept: Vec<DecisionStatus> = Vec::new();
    for new in told.iter().map(decision) {
        let is_listed = |old: &DecisionStatus| old.time == new.time && old.message == new.message;
        let is_again = |old: &DecisionStatus| {
            let gap_s = new.time.0.as_second() - old.time.0.as_second();
            !new.applied && !old.applied && old.reason == new.reason && gap_s.abs() < LIST_AGAIN_S
        };
        if !all.iter().chain(&kept).any(|old| is_listed(old) || is_again(old)) {
            kept.push(new);
        }
    }
    all.extend(kept.into_iter().filter(|new| newest.as_ref().is_none_or(|newest| new.time >= *newest)));
    all.sort_by(|a, b| a.time.cmp(&b.time));
    all.into_iter().rev().take(MAX_DECISIONS).collect()
}

fn decision(told: &Told) -> DecisionStatus {
    DecisionStatus {
        time: time(told.at_ms),
        reason: told.reason(),
        message: bounded(told.to_string()),
        applied: told.is_applied(),
    }
}

/// What the condition HotKey says, if there is one.
pub fn hot_key(status: &AutoscalerStatus) -> Option<Finding> {
    let [HotKeyStatus { hash_key, shard, percent }, more @ ..] = status.hot_keys.as_slice() else {
        return None;
    };
    let mut message = HotKey::sentence(hash_key, shard, percent);
    if !more.is_empty() {
        let keys: Vec<&str> = more.iter().map(|hot| hot.hash_key.as_str()).collect();
        message += &format!(" So does hash key {}.", keys.join(", "));
    }
    Some(Finding { status: true, reason: "KeyAboveTarget", message })
}

fn percent(per_mille: u32) -> i32 {
    i32::try_from(per_mille.div_ceil(10)).unwrap_or(i32::MAX)
}

/// The second that a time lies in, as the API server keeps them.
fn time(ms: i64) -> Time {
    Time(Timestamp::from_second(ms.div_euclid(1_000)).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn bounded(text: String) -> String {
    match text.chars().count() > MAX_MESSAGE {
        true => text.chars().take(MAX_MESSAGE - 2).chain(" …".chars()).collect(),
        false => text,
    }
}
