//! What autoscalers decide, as Events of their Streams and as figures.

use std::sync::Arc;

use millrace_crds::Stream;
use millrace_server::controller::Told;

use crate::context::Context;
use crate::events::Tale;

/// Counts a decision, and tells it as an Event of its Stream, if that is among these.
pub(crate) async fn tell(told: &Told, streams: &[Arc<Stream>], context: &Context) {
    context.metrics.decided(&told.reason());
    if let Some(stream) = streams.iter().find(|stream| stream.stream_name() == told.name) {
        context.teller.tell(&**stream, tale(told)).await;
    }
}

/// A sentence with its figures; a warning where somebody should look, since nothing could be done.
fn tale(told: &Told) -> Tale {
    Tale { warning: !told.finding.acts(), reason: told.reason(), note: told.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_autoscaler::Finding;
    use millrace_core::ShardId;

    fn tale_of(finding: Finding, applies: bool) -> Tale {
        let (namespace, name) = ("shop".to_owned(), "orders".to_owned());
        tale(&Told { at_ms: 0, namespace, name, finding, applies })
    }

    fn merge() -> Finding {
        Finding::Merge {
            shard: ShardId(1),
            adjacent: ShardId(2),
            peak_per_mille: 120,
            below_per_mille: 700,
            for_s: 300,
        }
    }

    const SENTENCE: &str = "shardId-000000000001 and shardId-000000000002 together stayed at 12 % of one target or less \
        for 300 s, below 70 %: merged, which saves a shard";

    #[test]
    fn what_is_done_is_told_by_its_own_word_and_advice_by_another() {
        assert_eq!(tale_of(merge(), true), Tale::normal("Merge", SENTENCE));
        let advice = format!("{SENTENCE} (advice: nothing is done)");
        assert_eq!(tale_of(merge(), false), Tale::normal("RecommendedMerge", advice));
    }

    #[test]
    fn what_cannot_be_done_is_a_warning_and_never_advice() {
        let refused = Finding::Refused { why: "8000 shards are open".to_owned() };
        let warning = Tale::warning("Refused", "nothing is done: 8000 shards are open");
        assert_eq!(tale_of(refused.clone(), true), warning);
        assert_eq!(tale_of(refused, false), warning);
    }
}
