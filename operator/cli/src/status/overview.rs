//! All Brokers and Streams at a glance. Pure.

use kube::ResourceExt;
use millrace_crds::{Broker, Stream};

use super::table::table;
use super::verdict::Said;

/// Draws them; with their namespaces where there may be several.
pub(super) fn draw(brokers: &[Broker], streams: &[Stream], namespace: Option<&str>) -> String {
    if brokers.is_empty() && streams.is_empty() {
        return match namespace {
            Some(namespace) => {
                format!("There are no Brokers and no Streams in namespace {namespace}; -A looks into all.\n")
            }
            None => "There are no Brokers and no Streams.\n".to_owned(),
        };
    }
    let all = namespace.is_none();
    let mut drawn = namespace.map(|namespace| format!("Namespace {namespace}\n")).unwrap_or_default();
    drawn += &section(
        "Brokers",
        &["NAME", "BROKERS", "LOG SERVERS", "STORAGE", "DURABILITY", "STATE", "ENDPOINT", "MESSAGE"],
        brokers.iter().map(|broker| (broker.namespace(), of_broker(broker))).collect(),
        all,
    );
    drawn += &section(
        "Streams",
        &["NAME", "BROKER", "MODE", "SHARDS", "RESHARDS", "STATE", "MESSAGE"],
        streams.iter().map(|stream| (stream.namespace(), of_stream(stream))).collect(),
        all,
    );
    drawn
}

fn section(title: &str, headings: &[&str], rows: Vec<(Option<String>, Vec<String>)>, all: bool) -> String {
    if rows.is_empty() {
        return format!("\n{title}: none\n");
    }
    let place = all.then_some("NAMESPACE");
    let headings: Vec<&str> = place.into_iter().chain(headings.iter().copied()).collect();
    let rows = rows.into_iter().map(|(namespace, row)| {
        let place = all.then(|| namespace.unwrap_or_default());
        place.into_iter().chain(row).collect()
    });
    format!("\n{title}\n{}", table(&headings, rows.collect()))
}

fn of_broker(broker: &Broker) -> Vec<String> {
    let (spec, status) = (&broker.spec, broker.status.clone().unwrap_or_default());
    let said = Said::from(broker);
    vec![
        broker.name_any(),
        format!("{}/{}", status.ready_brokers.unwrap_or(0), spec.replicas),
        format!("{}/{}", status.ready_log_servers.unwrap_or(0), spec.log.servers),
        spec.log.storage.size.to_string(),
        format!("{:?}", status.durability.unwrap_or(spec.durability)),
        said.word().to_owned(),
        status.endpoint.unwrap_or_else(|| "-".to_owned()),
        said.message(),
    ]
}

fn of_stream(stream: &Stream) -> Vec<String> {
    let status = stream.status.clone().unwrap_or_default();
    let said = Said::from(stream);
    vec![
        title(stream),
        stream.spec.broker_ref.name.clone(),
        format!("{:?}", stream.spec.capacity.mode),
        status.open_shards.map_or_else(|| "-".to_owned(), |count| count.to_string()),
        status.reshards.unwrap_or(0).to_string(),
        said.word().to_owned(),
        said.message(),
    ]
}

/// The object's name, and what clients call the stream where that is something else.
pub(super) fn title(stream: &Stream) -> String {
    match (stream.name_any(), stream.stream_name()) {
        (object, called) if object == called => object,
        (object, called) => format!("{object} ({called})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn broker() -> Broker {
        serde_json::from_value(json!({
            "metadata": { "name": "default", "namespace": "demo", "generation": 1 }, "spec": {},
            "status": {
                "observedGeneration": 1, "readyBrokers": 2, "readyLogServers": 3, "durability": "Synced",
                "endpoint": "http://default-api.demo.svc:4566",
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Serving", "message": "It serves.",
                    "lastTransitionTime": "2026-03-01T12:00:00Z",
                }],
            },
        }))
        .unwrap()
    }

    fn stream(name: &str, called: Option<&str>) -> Stream {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "demo", "generation": 1 }, "spec": { "streamName": called },
        }))
        .unwrap()
    }

    #[test]
    fn brokers_and_streams_stand_in_tables_of_their_own() {
        let drawn = draw(&[broker()], &[stream("orders", None), stream("raw", Some("Raw.v1"))], Some("demo"));
        let expected = "\
Namespace demo

Brokers
  NAME      BROKERS   LOG SERVERS   STORAGE   DURABILITY   STATE   ENDPOINT                           MESSAGE
  default   2/2       3/3           20Gi      Synced       Ready   http://default-api.demo.svc:4566   It serves.

Streams
  NAME           BROKER    MODE       SHARDS   RESHARDS   STATE    MESSAGE
  orders         default   OnDemand   -        0          Unseen
  raw (Raw.v1)   default   OnDemand   -        0          Unseen
";
        assert_eq!(drawn, expected, "{drawn}");
    }

    #[test]
    fn over_all_namespaces_each_row_tells_its_own() {
        let drawn = draw(&[], &[stream("orders", None)], None);
        let expected = "
Brokers: none

Streams
  NAMESPACE   NAME     BROKER    MODE       SHARDS   RESHARDS   STATE    MESSAGE
  demo        orders   default   OnDemand   -        0          Unseen
";
        assert_eq!(drawn, expected, "{drawn}");
    }

    #[test]
    fn an_empty_namespace_is_told_with_the_way_to_look_further() {
        assert_eq!(
            draw(&[], &[], Some("demo")),
            "There are no Brokers and no Streams in namespace demo; -A looks into all.\n"
        );
    }
}
