use super::*;
use crate::kubernetes::recorded::{Answers, cluster};
use answer::{Answer, Known};
use millrace_core::Floor;
use millrace_core::floor::FloorWindow;
use millrace_core::{Autoscaling, CapacityMode, StreamConfig};
use millrace_crds::stream::AutoscalerStatus;
use serde_json::{Value, json};
use steps::Place;

const STREAMS: &str = "/apis/millrace.dev/v1alpha1/namespaces/demo/streams";

fn now() -> Timestamp {
    "2026-03-01T12:10:00Z".parse().unwrap()
}

fn autoscaler(standing: &str) -> Value {
    json!({
        "standing": standing, "message": "It waits.", "since": "2026-03-01T12:03:00Z",
        "observedAt": "2026-03-01T12:09:20Z", "busiestPercent": 35, "mergeAt": "2026-03-01T12:13:20Z",
        "decisions": [
            { "time": "2026-03-01T12:02:57Z", "reason": "Split", "message": "shardId-000000000000 was hot.", "applied": true },
            { "time": "2026-03-01T11:00:00Z", "reason": "AtMaxShards", "message": "There was no room.", "applied": false },
        ],
    })
}

fn stream(autoscaler: Option<Value>) -> Value {
    json!({
        "metadata": { "name": "raw", "namespace": "demo", "generation": 2 },
        "spec": { "streamName": "Raw.v1", "capacity": { "maxShards": 16 }, "brokerRef": { "name": "main" } },
        "status": { "observedGeneration": 2, "openShards": 5, "reshards": 0, "autoscaler": autoscaler },
    })
}

async fn asked(autoscaler: Option<Value>, name: &str) -> anyhow::Result<Answer> {
    find::on_cluster(&cluster(Answers::default().list(STREAMS, &[stream(autoscaler)])), name).await
}

#[tokio::test]
async fn a_stream_is_told_with_its_standing_first_and_its_decisions_from_the_newest() {
    let answer = asked(Some(autoscaler("CoolingDown")), "Raw.v1").await.unwrap();
    let drawn = draw::draw(&answer, now());
    let expected = "\
CoolingDown for 7m: It waits.
  Stream    Raw.v1 in namespace demo
  Shards    5 open
  Busiest   35 % of its target
  Merge     in 3m20s, if load stays as it is (2026-03-01T12:13:20Z)
  Seen      40s ago, and little has changed since

What would make it act
  ACTION   WHEN
  Split    a shard is above its target (1 MiB/s or 1000 records/s) for 2 s, or refuses records near it; up to 16 shards
  Merge    two neighbours together stay below 65 % of one target for 300 s, or for up to 12 times as long, by how soon \
load has come back before; down to 1 shard

Last decisions, the newest first
  AGE    DECISION      DONE   WHY
  7m3s   Split         yes    shardId-000000000000 was hot.
  70m    AtMaxShards   no     There was no room.
";
    assert_eq!(drawn, expected, "{drawn}");
}

#[tokio::test]
async fn programs_get_the_same_under_names_that_stay_with_null_for_what_is_not_there() {
    let answer = serde_json::to_value(asked(Some(autoscaler("AtMax")), "raw").await.unwrap()).unwrap();
    let names: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "acts",
            "busiestPercent",
            "decisions",
            "hotKeys",
            "mergeAt",
            "message",
            "namespace",
            "next",
            "observedAt",
            "openShards",
            "reshards",
            "since",
            "standing",
            "stream"
        ]
    );
    assert_eq!(answer["decisions"][0]["reason"], "Split");
    assert_eq!(answer["hotKeys"], json!([]));
    let unseen = serde_json::to_value(asked(None, "raw").await.unwrap()).unwrap();
    assert_eq!((&unseen["standing"], &unseen["decisions"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn what_nobody_has_looked_at_is_said_to_be_unknown() {
    let drawn = draw::draw(&asked(None, "raw").await.unwrap(), now());
    assert!(drawn.starts_with("Unknown: nobody has said anything"), "{drawn}");
    assert!(drawn.ends_with("See how it is: `kubectl millrace status stream/raw -n demo`.\n"), "{drawn}");
}

#[tokio::test]
async fn a_name_that_is_missing_is_told_with_those_there_are() {
    let said = asked(None, "rwa").await.unwrap_err().to_string();
    assert_eq!(said, "there is no Stream rwa in namespace demo; there are: Raw.v1");
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let cluster = cluster(Answers::default().refuse(STREAMS, 403));
    let said = find::on_cluster(&cluster, "raw").await.unwrap_err().to_string();
    assert!(said.starts_with("you may not list streams.millrace.dev in namespace demo: ask"), "{said}");
}

fn next(standing: &str, config: &StreamConfig, place: &Place) -> Vec<String> {
    let seen: AutoscalerStatus = serde_json::from_value(autoscaler(standing)).unwrap();
    let known = Known {
        stream: "Raw.v1",
        namespace: "demo",
        config: Some(config),
        open_shards: None,
        reshards: None,
        autoscaler: Some(&seen),
    };
    Answer::of(&known, place).next
}

#[test]
fn each_standing_that_a_person_can_change_has_its_command() {
    let config = StreamConfig { max_shards: 16, shards: 4, ..StreamConfig::default() };
    let cluster = Place::Cluster { object: "raw".to_owned(), broker: "main".to_owned() };
    let first = |standing| next(standing, &config, &cluster).into_iter().next().unwrap_or_default();
    assert_eq!(
        first("AtMax"),
        "Let it have more shards: `kubectl patch stream raw -n demo --type merge -p \
         '{\"spec\":{\"capacity\":{\"maxShards\":32}}}'`."
    );
    for (standing, part) in [
        ("AtMin", r#""minShards":1"#),
        ("Recommends", r#""autoscaling":"Apply""#),
        ("Off", r#""autoscaling":"Apply""#),
        ("Provisioned", r#""shards":8"#),
        ("Unheard", "kubectl millrace status broker/main -n demo"),
        ("Untended", "kubectl millrace status stream/raw -n demo"),
        ("Resharding", "kubectl millrace shards raw -n demo --watch"),
    ] {
        assert!(first(standing).contains(part), "{standing}: {}", first(standing));
    }
    for calm in ["Steady", "CoolingDown", "Watching"] {
        assert_eq!(first(calm), "", "{calm}");
    }
}

#[test]
fn in_dev_it_is_the_file_that_is_changed() {
    let config = StreamConfig { max_shards: 16, ..StreamConfig::default() };
    assert_eq!(
        next("AtMax", &config, &Place::Dev),
        ["Let it have more shards: write `maxShards: 32` below spec.capacity of its file."]
    );
    assert_eq!(
        next("Off", &config, &Place::Dev),
        ["Let load decide: write `autoscaling: Apply` below spec.capacity of its file."]
    );
}

#[test]
fn a_hot_key_has_a_step_whatever_else_there_is() {
    let mut seen: AutoscalerStatus = serde_json::from_value(autoscaler("Steady")).unwrap();
    seen.hot_keys =
        serde_json::from_value(json!([{ "hashKey": "77", "shard": "shardId-000000000003", "percent": 150 }]))
            .unwrap();
    let known = Known {
        stream: "raw",
        namespace: "demo",
        config: None,
        open_shards: None,
        reshards: None,
        autoscaler: Some(&seen),
    };
    let next = Answer::of(&known, &Place::Dev).next;
    assert!(next[0].starts_with("Find the writers of the partition key whose MD5 is 77"), "{next:?}");
}

#[test]
fn what_would_make_it_act_follows_from_what_was_asked() {
    let words = |config: &StreamConfig| -> Vec<String> {
        steps::acts(config).into_iter().map(|act| act.action).collect()
    };
    let config = StreamConfig::default();
    assert_eq!(words(&config), ["Split", "Merge"]);
    let floor = StreamConfig { floor: Floor(vec![window()]), ..config.clone() };
    let told = steps::acts(&floor).pop().expect("three").when;
    assert_eq!(told, "60 s before Mon-Fri 08:00-18:00 Europe/Berlin begins, and until it ends: to 20 shards");
    assert_eq!(words(&StreamConfig { autoscaling: Autoscaling::Disabled, ..config.clone() }), [""; 0]);
    assert_eq!(words(&StreamConfig { mode: CapacityMode::Provisioned, ..config }), ["Resize"]);
}

fn window() -> FloorWindow {
    FloorWindow {
        start: "08:00".parse().expect("a time"),
        end: "18:00".parse().expect("a time"),
        days: "Mon-Fri".parse().expect("days"),
        time_zone: "Europe/Berlin".to_owned(),
        shards: 20,
    }
}
