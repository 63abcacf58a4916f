//! Whether an object is as it should be, and what to do where it isn't. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use millrace_crds::condition::{self, Kind};
use millrace_crds::{Broker, Stream};

/// What an operator has said of an object, whichever kind it is.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    generation: Option<i64>,
    observed: Option<i64>,
    deleted: bool,
    pub(super) conditions: &'a [Condition],
}

impl<'a> From<&'a Stream> for Said<'a> {
    fn from(stream: &'a Stream) -> Said<'a> {
        let status = stream.status.as_ref();
        Said {
            generation: stream.metadata.generation,
            observed: status.and_then(|status| status.observed_generation),
            deleted: stream.metadata.deletion_timestamp.is_some(),
            conditions: status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
        }
    }
}

impl<'a> From<&'a Broker> for Said<'a> {
    fn from(broker: &'a Broker) -> Said<'a> {
        let status = broker.status.as_ref();
        Said {
            generation: broker.metadata.generation,
            observed: status.and_then(|status| status.observed_generation),
            deleted: broker.metadata.deletion_timestamp.is_some(),
            conditions: status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
        }
    }
}

impl<'a> Said<'a> {
    fn find(self, kind: Kind) -> Option<&'a Condition> {
        condition::find(self.conditions, kind)
    }

    /// A condition that is there only while something is abnormal.
    fn abnormal(self, kind: Kind) -> Option<&'a Condition> {
        self.find(kind).filter(|condition| condition.status == "True")
    }

    /// Whether an operator has come to the object as it is now.
    fn is_current(self) -> bool {
        self.generation.is_none() || self.observed >= self.generation
    }

    /// Whether it does what its spec says.
    pub(super) fn is_ready(self) -> bool {
        self.is_current()
            && !self.deleted
            && self.find(Kind::Ready).is_some_and(|ready| ready.status == "True")
    }

    /// "Ready", "Stalled", … : one word for a table.
    pub(super) fn word(self) -> &'static str {
        match () {
            () if self.deleted => "Deleting",
            () if self.conditions.is_empty() => "Unseen",
            () if self.abnormal(Kind::Stalled).is_some() => "Stalled",
            () if !self.is_current() => "Outdated",
            () if self.is_ready() => "Ready",
            () => "NotReady",
        }
    }

    /// What the operator has to say of it.
    pub(super) fn message(self) -> String {
        let condition = self.abnormal(Kind::Stalled).or(self.find(Kind::Ready));
        condition.map(|condition| condition.message.clone()).unwrap_or_default()
    }

    /// What to do next; nothing when all is well.
    pub(super) fn next(self) -> Vec<String> {
        let mut steps = Vec::new();
        let said = |condition: &Condition| condition.message.trim_end_matches('.').to_owned();
        if self.conditions.is_empty() || !self.is_current() {
            let what =
                if self.conditions.is_empty() { "has seen this yet" } else { "has come to the last change" };
            steps.push(format!(
                "No operator {what}: see whether it runs, `kubectl get deployments -A -l \
                 app.kubernetes.io/name=millrace`."
            ));
        }
        if let Some(stalled) = self.abnormal(Kind::Stalled) {
            steps.push(format!("It waits for somebody: {} ({}).", said(stalled), stalled.reason));
        } else if self.deleted {
            steps.push("It is being deleted, and goes once its finalizers have done their work.".to_owned());
        } else if let Some(busy) = self.abnormal(Kind::Reconciling) {
            steps.push(format!("The operator is not done: {}.", said(busy)));
        }
        if let Some(full) = self.abnormal(Kind::StorageFull) {
            steps.push(format!(
                "Storage: {}. Raise spec.quota or spec.log.storage.size, or keep records for less time.",
                said(full)
            ));
        }
        if let Some(hot) = self.abnormal(Kind::HotKey) {
            steps.push(format!(
                "{}. Spread its records over more partition keys: no split divides a key.",
                said(hot)
            ));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stream(generation: i64, observed: i64, conditions: &[(&str, &str, &str)]) -> Stream {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, message)| {
                json!({
                    "type": kind, "status": status, "reason": "Because", "message": message,
                    "lastTransitionTime": "2026-03-01T12:00:00Z",
                })
            })
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": "orders", "generation": generation },
            "spec": {}, "status": { "observedGeneration": observed, "conditions": conditions },
        }))
        .unwrap()
    }

    fn word(stream: &Stream) -> &'static str {
        Said::from(stream).word()
    }

    #[test]
    fn ready_is_what_was_said_of_the_object_as_it_is_now() {
        assert_eq!(word(&stream(2, 2, &[("Ready", "True", "")])), "Ready");
        assert_eq!(word(&stream(3, 2, &[("Ready", "True", "")])), "Outdated");
        assert_eq!(word(&stream(2, 2, &[("Ready", "False", "")])), "NotReady");
        assert_eq!(word(&stream(2, 2, &[("Ready", "False", ""), ("Stalled", "True", "")])), "Stalled");
        assert_eq!(word(&stream(1, -1, &[])), "Unseen");
        assert!(!Said::from(&stream(3, 2, &[("Ready", "True", "")])).is_ready());
    }

    #[test]
    fn an_object_that_goes_is_not_ready() {
        let mut stream = stream(2, 2, &[("Ready", "True", "")]);
        stream.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-03-01T12:00:00Z")).unwrap());
        assert_eq!((word(&stream), Said::from(&stream).is_ready()), ("Deleting", false));
    }

    #[test]
    fn what_to_do_follows_from_what_was_said() {
        assert_eq!(Said::from(&stream(2, 2, &[("Ready", "True", "It is.")])).next(), Vec::<String>::new());
        let unseen = Said::from(&stream(1, -1, &[])).next();
        assert!(unseen[0].starts_with("No operator has seen this yet: see whether it runs"), "{unseen:?}");
        let stalled = stream(1, 1, &[("Ready", "False", "x"), ("Stalled", "True", "The data is gone.")]);
        assert_eq!(Said::from(&stalled).next(), ["It waits for somebody: The data is gone (Because)."]);
        let hot = stream(1, 1, &[("Ready", "True", ""), ("HotKey", "True", "Key k brings 3 MiB/s.")]);
        assert!(Said::from(&hot).next()[0].starts_with("Key k brings 3 MiB/s. Spread its records"));
    }
}
