//! One Stream in full. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use millrace_core::{HashKey, HashRange};
use millrace_crds::stream::{Mode, ShardStatus};
use millrace_crds::{Broker, Stream};

use super::events;
use super::overview::title;
use super::table::{age, fields, table};
use super::verdict::Said;
use crate::kubernetes::Seen;
use crate::lineage::{self, Shard};

/// What is drawn of a Stream.
pub(super) struct StreamPicture {
    pub(super) stream: Stream,
    /// Its Broker; none where there is no such object.
    pub(super) broker: Seen<Option<Broker>>,
    pub(super) events: Seen<Vec<Event>>,
}

/// Draws it.
pub(super) fn draw(picture: &StreamPicture, now: Timestamp) -> String {
    let stream = &picture.stream;
    let said = Said::from(stream);
    let namespace = stream.namespace().unwrap_or_default();
    let mut drawn = format!("Stream {} in namespace {namespace}: {}\n", title(stream), said.word());
    drawn += &fields(&facts(stream, &picture.broker));
    drawn += &conditions(said.conditions, now);
    drawn += &shards(stream, now);
    drawn += &events::draw(&picture.events, now);
    drawn + &next_steps(&next(picture))
}

fn facts(stream: &Stream, broker: &Seen<Option<Broker>>) -> Vec<(&'static str, String)> {
    let (spec, status) = (&stream.spec, stream.status.clone().unwrap_or_default());
    let capacity = &spec.capacity;
    let broker = match broker {
        Seen::Yes(Some(broker)) => format!("{} ({})", spec.broker_ref.name, Said::from(broker).word()),
        Seen::Yes(None) => format!("{} (there is none of this name)", spec.broker_ref.name),
        Seen::Hidden(why) => format!("{} (not shown, {why})", spec.broker_ref.name),
    };
    let mode = match capacity.mode {
        Mode::OnDemand => {
            format!(
                "OnDemand, {} to {} shards, {:?}",
                capacity.min_shards,
                capacity.max_shards,
                capacity.autoscaling()
            )
        }
        Mode::Provisioned => format!("Provisioned, {} shards", capacity.shards),
    };
    let open = status.open_shards.map_or_else(|| "not known yet".to_owned(), |open| format!("{open} open"));
    let counted = |count: i32, one: &str| match count {
        1 => format!(", 1 {one}"),
        count => format!(", {count} {one}s"),
    };
    let reshards =
        status.reshards.filter(|count| *count > 0).map(|count| counted(count, "reshard") + " under way");
    let lanes = status.lanes.map(|count| counted(count, "lane"));
    let mut facts = vec![
        ("Broker", broker),
        ("Capacity", mode),
        ("Shards", open + &reshards.unwrap_or_default() + &lanes.unwrap_or_default()),
        ("Retention", spec.retention.to_string()),
        ("Quota", spec.quota.to_string()),
        ("On deletion", format!("{:?}", spec.deletion_policy)),
    ];
    facts.extend(status.arn.map(|arn| ("ARN", arn)));
    facts
}

/// Conditions with their reasons and ages.
pub(super) fn conditions(conditions: &[Condition], now: Timestamp) -> String {
    if conditions.is_empty() {
        return "\nConditions: none yet\n".to_owned();
    }
    let row = |it: &Condition| {
        let since = age(it.last_transition_time.0, now);
        vec![it.type_.clone(), it.status.clone(), it.reason.clone(), since, it.message.clone()]
    };
    let rows = conditions.iter().map(row).collect();
    format!("\nConditions\n{}", table(&["TYPE", "STATUS", "REASON", "AGE", "MESSAGE"], rows))
}

/// The shards that the status holds, as `millrace shards` draws them.
fn shards(stream: &Stream, now: Timestamp) -> String {
    let Some(status) = stream.status.as_ref().filter(|status| !status.shards.is_empty()) else {
        return String::new();
    };
    let shown: Vec<Shard> = status.shards.iter().filter_map(read_shard).collect();
    let shares = lineage::draw(&shown);
    // Open shards lie side by side, so the picture has them in the order of their ranges too.
    let mut order: Vec<&ShardStatus> =
        status.shards.iter().filter(|shard| read_shard(shard).is_some()).collect();
    order.sort_by_key(|shard| read_shard(shard).map(|shard| (shard.range.start, shard.id)));
    let lines = shares
        .lines()
        .zip(order)
        .map(|(line, shard)| format!("  {line} for {}\n", age(shard.opened_at.0, now)));
    let mut drawn: String = "\nShards\n".to_owned() + &lines.collect::<String>();
    let more = usize::try_from(status.open_shards.unwrap_or(0)).unwrap_or(0).saturating_sub(shown.len());
    if more > 0 {
        drawn += &format!("  … and {more} more: `kubectl millrace shards {}` draws all\n", stream.name_any());
    }
    drawn
}

fn read_shard(shard: &ShardStatus) -> Option<Shard> {
    let key = |text: &str| text.parse::<HashKey>().ok();
    Some(Shard {
        id: lineage::read_id(&shard.id).ok()?,
        parents: Vec::new(),
        range: HashRange { start: key(&shard.starting_hash_key)?, end: key(&shard.ending_hash_key)? },
        open: true,
    })
}

fn next(picture: &StreamPicture) -> Vec<String> {
    let stream = &picture.stream;
    let said = Said::from(stream);
    let mut steps = said.next();
    if said.is_ready() {
        return steps;
    }
    let (name, namespace) = (&stream.spec.broker_ref.name, stream.namespace().unwrap_or_default());
    match picture.broker.value() {
        Some(None) => steps.push(format!(
            "Apply a Broker named {name} in namespace {namespace}; `kubectl get brokers -n {namespace}` lists those \
             there are."
        )),
        Some(Some(broker)) if !Said::from(broker).is_ready() => steps.push(format!(
            "Its Broker is not ready: look at `kubectl millrace status broker/{name} -n {namespace}`."
        )),
        _ => {}
    }
    steps
}

/// What to do, if anything is to be done.
pub(super) fn next_steps(steps: &[String]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let lines: String = steps.iter().map(|step| format!("  {}\n", super::table::one_line(step))).collect();
    format!("\nWhat to do\n{lines}")
}
