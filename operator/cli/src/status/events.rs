//! What happened to an object lately. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;

use super::table::{age, table};
use crate::kubernetes::Seen;

/// The most events that are shown.
const MOST: usize = 20;

/// Whether an event is about the object of this kind and name.
pub(super) fn is_about(event: &Event, kind: &str, name: &str) -> bool {
    let about = &event.involved_object;
    about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
}

/// When it happened last.
fn last(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let repeated = event.last_timestamp.as_ref().map(|time| time.0);
    let once = event.event_time.as_ref().map(|time| time.0);
    series.or(repeated).or(once).or_else(|| event.creation_timestamp().map(|time| time.0))
}

fn times(event: &Event) -> String {
    let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
    if count > 1 { format!(" (x{count})") } else { String::new() }
}

/// Events in a table, the newest last.
pub(super) fn draw(events: &Seen<Vec<Event>>, now: Timestamp) -> String {
    let events = match events {
        Seen::Yes(events) if events.is_empty() => return "\nEvents: none lately\n".to_owned(),
        Seen::Yes(events) => events,
        Seen::Hidden(why) => return format!("\nEvents: not shown, {why}\n"),
    };
    let mut order: Vec<&Event> = events.iter().collect();
    order.sort_by_key(|event| last(event));
    let left_out = order.len().saturating_sub(MOST);
    let rows = order[left_out..].iter().map(|event| {
        let about = &event.involved_object;
        let part = |part: Option<&String>| part.cloned().unwrap_or_default();
        vec![
            last(event).map(|time| age(time, now)).unwrap_or_default() + &times(event),
            part(event.type_.as_ref()),
            part(event.reason.as_ref()),
            format!("{}/{}", part(about.kind.as_ref()), part(about.name.as_ref())),
            part(event.message.as_ref()),
        ]
    });
    let title = match left_out {
        0 => "\nEvents\n".to_owned(),
        older => format!("\nEvents ({older} older ones left out)\n"),
    };
    title + &table(&["AGE", "TYPE", "REASON", "OBJECT", "NOTE"], rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, time: &str, note: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": { "name": note }, "eventTime": time, "type": "Normal", "reason": "Split", "message": note,
            "involvedObject": { "kind": "Stream", "name": name },
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-03-01T12:10:00Z".parse().unwrap()
    }

    #[test]
    fn the_newest_event_stands_last_and_repeated_ones_are_counted() {
        let mut again = event("orders", "2026-03-01T12:00:00.000000Z", "again");
        again.series = Some(
            serde_json::from_value(json!({ "count": 3, "lastObservedTime": "2026-03-01T12:09:30.000000Z" }))
                .unwrap(),
        );
        let events = vec![again, event("orders", "2026-03-01T12:05:00.000000Z", "once")];
        let drawn = draw(&Seen::Yes(events), now());
        let expected = "
Events
  AGE        TYPE     REASON   OBJECT          NOTE
  5m         Normal   Split    Stream/orders   once
  30s (x3)   Normal   Split    Stream/orders   again
";
        assert_eq!(drawn, expected, "{drawn}");
    }

    #[test]
    fn older_events_are_left_out_and_counted() {
        let events =
            (10..35).map(|i| event("orders", &format!("2026-03-01T12:00:{i}.000000Z"), &format!("n{i}")));
        let drawn = draw(&Seen::Yes(events.collect()), now());
        assert!(drawn.starts_with("\nEvents (5 older ones left out)\n"), "{drawn}");
        assert!(!drawn.contains("n14") && drawn.contains("n15"), "{drawn}");
    }

    #[test]
    fn events_that_may_not_be_seen_are_said_to_be_hidden() {
        assert_eq!(draw(&Seen::Hidden("you may not.".into()), now()), "\nEvents: not shown, you may not.\n");
        assert!(is_about(&event("orders", "2026-03-01T12:00:00.000000Z", ""), "Stream", "orders"));
        assert!(!is_about(&event("orders", "2026-03-01T12:00:00.000000Z", ""), "Broker", "orders"));
    }
}
