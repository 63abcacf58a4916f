//! What is the same for rounds of all kinds: their figures, and the pauses after those that fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Resource;
use kube::runtime::controller::Action;
use parking_lot::Mutex;

use crate::context::Context;

/// The first pause after a round that failed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Rounds of one kind: how long they take, and the pauses between those that fail.
pub(crate) struct Rounds {
    kind: &'static str,
    pub(crate) context: Arc<Context>,
    backoff: Backoff,
}

impl Rounds {
    pub(crate) fn of(kind: &'static str, context: Arc<Context>) -> Rounds {
        Rounds { kind, context, backoff: Backoff::default() }
    }

    pub(crate) async fn time<K, E>(
        &self,
        object: &K,
        round: impl Future<Output = Result<Action, E>>,
    ) -> Result<Action, E>
    where
        K: Resource<DynamicType = ()>,
    {
        let began = Instant::now();
        let result = round.await;
        self.context.metrics.round(self.kind, began.elapsed().as_secs_f64(), result.is_err());
        if result.is_ok() {
            self.backoff.forget(&key(object));
        }
        result
    }

    pub(crate) fn pause<K: Resource<DynamicType = ()>>(
        &self,
        object: &K,
        error: &(impl std::error::Error + 'static),
    ) -> Action {
        let pause = self.backoff.next(key(object));
        let (namespace, name) = (object.meta().namespace.as_deref(), object.meta().name.as_deref());
        if is_of_an_ending_namespace(error) {
            // The object goes with its namespace: nobody has to do anything.
            tracing::debug!(kind = self.kind, namespace, name, "{error}");
            return Action::requeue(pause);
        }
        tracing::warn!(kind = self.kind, namespace, name, again_in_s = pause.as_secs(), "{error}");
        Action::requeue(pause)
    }
}

/// Whether the API server refused something because its namespace is being deleted.
fn is_of_an_ending_namespace(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut errors = std::iter::successors(Some(error), |error| error.source());
    errors.any(|error| match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(answer)) => answer
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .any(|cause| cause.reason == "NamespaceTerminating"),
        _ => false,
    })
}

fn key<K: Resource>(object: &K) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

/// How often objects have failed in a row.
#[derive(Default)]
struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    fn next(&self, key: String) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(key).or_insert(0);
        *count += 1;
        FIRST_PAUSE.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_PAUSE)
    }

    fn forget(&self, key: &str) {
        self.failures.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_round_succeeds() {
        let backoff = Backoff::default();
        let pauses: Vec<u64> = (0..8).map(|_| backoff.next("a".into()).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.next("b".into()).as_secs(), 1);
        backoff.forget("a");
        assert_eq!(backoff.next("a".into()).as_secs(), 1);
    }

    #[test]
    fn what_an_ending_namespace_refuses_is_known_from_other_refusals() {
        let refused = |reason: &str| {
            let answer = serde_json::json!({
                "code": 403, "reason": "Forbidden", "details": {"causes": [{"reason": reason}]}
            });
            let answer: kube::core::Status = serde_json::from_value(answer).unwrap();
            crate::broker::doing("creating it")(kube::Error::Api(answer.boxed()))
        };
        assert!(is_of_an_ending_namespace(&refused("NamespaceTerminating")));
        assert!(!is_of_an_ending_namespace(&refused("QuotaExceeded")));
        assert!(!is_of_an_ending_namespace(&std::fmt::Error));
    }
}
