//! Conditions, as every kind's status holds them.
//!
//! kstatus' meaning (sigs.k8s.io/cli-utils): `Ready` is always there; `Reconciling` and `Stalled` are there
//! with status `True` while the object is not as it should be, and absent otherwise.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The most conditions that a status holds.
pub const MAX_CONDITIONS: usize = 16;

/// A condition's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object does what its spec says. Always there.
    Ready,
    /// A controller is at work on it. There while that is so.
    Reconciling,
    /// It can't become ready without somebody's help. There while that is so.
    Stalled,
    /// Its storage is full, or nearly so. There while that is so.
    StorageFull,
    /// One partition key brings more than a shard takes. There while that is so.
    HotKey,
}

impl Kind {
    /// The type as it stands in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Ready => "Ready",
            Kind::Reconciling => "Reconciling",
            Kind::Stalled => "Stalled",
            Kind::StorageFull => "StorageFull",
            Kind::HotKey => "HotKey",
        }
    }
}

/// What a controller has to say of one [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `True` or `False`.
    pub status: bool,
    /// One CamelCase word for programs.
    pub reason: &'static str,
    /// A sentence for people, with what to do where something is to be done.
    pub message: String,
}

/// The condition of this kind, if it is there.
pub fn find(conditions: &[Condition], kind: Kind) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Puts a finding into a status' conditions. The time of the last transition stays unless `True` and `False`
/// change places, so that a status which says the same is the same.
pub fn set(conditions: &mut Vec<Condition>, kind: Kind, finding: Finding, generation: i64, now: &Time) {
    let status = if finding.status { "True" } else { "False" };
    let since = match find(conditions, kind) {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => now.clone(),
    };
    let new = Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: finding.reason.to_owned(),
        message: finding.message,
        observed_generation: Some(generation),
        last_transition_time: since,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == new.type_) {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Takes a condition away that is there only while something is abnormal.
pub fn clear(conditions: &mut Vec<Condition>, kind: Kind) {
    conditions.retain(|condition| condition.type_ != kind.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("a time of this age"))
    }

    fn finding(status: bool, message: &str) -> Finding {
        Finding { status, reason: "Reason", message: message.to_owned() }
    }

    #[test]
    fn the_time_of_transition_moves_only_when_the_status_changes() {
        let mut conditions = Vec::new();
        set(&mut conditions, Kind::Ready, finding(false, "Making lanes."), 1, &at(1));
        set(&mut conditions, Kind::Ready, finding(false, "Making shards."), 1, &at(2));
        let ready = find(&conditions, Kind::Ready).expect("it was set");
        assert_eq!((ready.message.as_str(), &ready.last_transition_time), ("Making shards.", &at(1)));
        set(&mut conditions, Kind::Ready, finding(true, "4 shards are open."), 2, &at(3));
        let ready = find(&conditions, Kind::Ready).expect("it was set");
        assert_eq!((&ready.last_transition_time, ready.observed_generation), (&at(3), Some(2)));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn an_abnormal_condition_goes_when_all_is_well() {
        let mut conditions = Vec::new();
        set(&mut conditions, Kind::Ready, finding(true, "It is."), 1, &at(1));
        set(&mut conditions, Kind::Stalled, finding(true, "The data is gone."), 1, &at(1));
        clear(&mut conditions, Kind::Stalled);
        assert_eq!(find(&conditions, Kind::Stalled), None);
        assert!(find(&conditions, Kind::Ready).is_some());
    }
}
