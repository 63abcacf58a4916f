//! Looks at what autoscalers see, and has a Stream reconciled whose status should say something else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use millrace_autoscaler::Outlook;
use millrace_crds::Stream;
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval};

use crate::broker::Names;
use crate::context::Context;
use crate::links::Changed;
use crate::stream::autoscaler::{Worth, worth};

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many statuses are written in a second at most for the sake of figures: the API server has other work.
const FIGURES_A_SECOND: usize = 10;

/// A round that was asked for and has written nothing is not asked for again for so long, in seconds: whatever is in its
/// way is told elsewhere.
const ASK_AGAIN_S: i64 = 10;

/// A Stream, its Broker, and what its autoscaler sees.
type Seen = (Arc<Stream>, Names, Arc<Outlook>);

/// For which standing a round was asked for, and in which second; by the Stream's uid.
type Asked = HashMap<String, (&'static str, i64)>;

/// Looks each second, without end. `all` are the Streams that there are.
pub(crate) async fn follow_outlooks(
    all: impl Fn() -> Vec<Arc<Stream>>,
    context: Arc<Context>,
    told: broadcast::Sender<Changed>,
) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = Asked::new();
    loop {
        looks.tick().await;
        let seen: Vec<Seen> = all().into_iter().filter_map(|stream| look(stream, &context)).collect();
        let mut standings: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, outlook) in &seen {
            *standings.entry(outlook.standing.name()).or_default() += 1;
        }
        context.metrics.standings(&standings);
        for (stream, broker, _) in to_write(&seen, &mut asked, &context.now()) {
            let changed = Changed::Stream { broker: broker.clone(), stream: stream.stream_name().to_owned() };
            // Whoever listens ends with this process.
            let _ = told.send(changed);
        }
    }
}

fn look(stream: Arc<Stream>, context: &Context) -> Option<Seen> {
    let namespace = stream.namespace()?;
    let broker = Names { namespace, broker: stream.spec.broker_ref.name.clone() };
    let outlook = context.links.get(&broker)?.observe.outlook(&broker.namespace, stream.stream_name())?;
    Some((stream, broker, outlook))
}

/// The Streams whose status is to be written now: all that stand otherwise, and of those that have other figures the
/// ones that have waited longest. A Stream that has no data as yet, or never will, has nothing to say.
fn to_write<'a>(seen: &'a [Seen], asked: &mut Asked, now: &Time) -> Vec<&'a Seen> {
    let second = now.0.as_second();
    asked.retain(|_, (_, at)| second - *at < ASK_AGAIN_S);
    let mut found = Vec::new();
    for each @ (stream, _, outlook) in seen {
        let Some(status) = stream.status.as_ref().filter(|status| status.data_id.is_some()) else { continue };
        let said = status.autoscaler.as_ref();
        let worth = worth(said, outlook, now);
        if worth > Worth::Nothing
            && asked.get(&uid(stream)).is_none_or(|(name, _)| *name != outlook.standing.name())
        {
            found.push((worth, said.map(|said| &said.observed_at), each));
        }
    }
    found.sort_by(|(a, a_at, _), (b, b_at, _)| b.cmp(a).then_with(|| a_at.cmp(b_at)));
    let urgent = found.iter().take_while(|(worth, ..)| *worth == Worth::Write).count();
    let chosen: Vec<&Seen> =
        found.into_iter().take(urgent + FIGURES_A_SECOND).map(|(.., each)| each).collect();
    asked.extend(chosen.iter().map(|(stream, _, outlook)| (uid(stream), (outlook.standing.name(), second))));
    chosen
}

fn uid(stream: &Stream) -> String {
    stream.metadata.uid.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;
    use millrace_autoscaler::Standing;
    use millrace_crds::StreamStatus;
    use millrace_crds::stream::AutoscalerStatus;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("a time"))
    }

    fn steady(busiest_per_mille: u32) -> Outlook {
        let standing =
            Standing::Steady { busiest_per_mille, shards: 4, split_after_s: 2, merge_below_per_mille: 700 };
        Outlook { busiest_per_mille: Some(busiest_per_mille), ..Outlook::of(standing, 0) }
    }

    /// A Stream whose status was written at this second.
    fn stream(name: &str, standing: &str, second: i64) -> Arc<Stream> {
        let mut stream = Stream::new(name, Default::default());
        stream.metadata.uid = Some(name.to_owned());
        let autoscaler = AutoscalerStatus {
            standing: standing.to_owned(),
            message: String::new(),
            since: at(0),
            observed_at: at(second),
            busiest_percent: Some(10),
            merge_at: None,
            hot_keys: Vec::new(),
            decisions: Vec::new(),
        };
        let data_id = Some("data".to_owned());
        stream.status =
            Some(StreamStatus { autoscaler: Some(autoscaler), data_id, ..StreamStatus::default() });
        Arc::new(stream)
    }

    fn seen(stream: Arc<Stream>, outlook: Outlook) -> Seen {
        (stream, Names { namespace: "shop".into(), broker: "default".into() }, Arc::new(outlook))
    }

    #[test]
    fn figures_of_many_streams_are_written_a_few_a_second_and_the_oldest_first() {
        let mut all: Vec<Seen> =
            (0..40).map(|n| seen(stream(&n.to_string(), "Steady", 100 - n), steady(500))).collect();
        all.push(seen(stream("reshards", "Resharding", 190), steady(500)));
        all.push(seen(stream("same", "Steady", 0), steady(100)));
        let asked = &mut Asked::new();
        let mut names = |second| -> Vec<String> {
            to_write(&all, asked, &at(second)).into_iter().map(|(stream, ..)| stream.name_any()).collect()
        };
        let first = ["reshards", "39", "38", "37", "36", "35", "34", "33", "32", "31", "30"];
        assert_eq!(names(200), first);
        assert_eq!(names(201), ["29", "28", "27", "26", "25", "24", "23", "22", "21", "20"]);
        // Nothing came of it.
        assert_eq!(names(210), first);
    }

    #[test]
    fn a_stream_that_stands_otherwise_again_is_written_at_once() {
        let asked = &mut Asked::new();
        let mut count =
            |outlook| to_write(&[seen(stream("a", "AtMin", 190), outlook)], asked, &at(200)).len();
        assert_eq!(count(Outlook::of(Standing::Off, 0)), 1);
        assert_eq!(count(Outlook::of(Standing::Off, 0)), 0);
        assert_eq!(count(Outlook::of(Standing::Provisioned { shards: 1 }, 0)), 1);
    }

    #[test]
    fn a_stream_that_waits_for_its_name_is_left_alone() {
        let mut rival = (*stream("rival", "Steady", 0)).clone();
        rival.status = Some(StreamStatus::default());
        let asked = &mut Asked::new();
        assert!(to_write(&[seen(Arc::new(rival), steady(100))], asked, &at(200)).is_empty());
    }
}
