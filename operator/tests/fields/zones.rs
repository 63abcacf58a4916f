//! A time zone that is not known, which no rule can find.

use serde_json::json;

use super::walk::verdict;
use super::world::{Step, World, object, run};

#[test]
fn a_time_zone_that_is_not_known_is_named_and_the_stream_goes_on_as_it_was() {
    run(async {
        let mut world = World::new();
        let log = json!({"servers": 1, "replicas": 1, "storage": {"size": "10Gi"}});
        let broker = object("Broker", "default", json!({"log": log, "replicas": 1}));
        world.act(&Step::Apply(broker)).await.expect("it is in order");
        let stream = |zone: &str, shards: u32| {
            let window = json!({"start": "08:00", "end": "18:00", "timeZone": zone, "shards": shards});
            Step::Apply(object("Stream", "orders", json!({"capacity": {"floor": [window]}})))
        };
        let kept = |world: &World| world.end().1.into_values().map(|kept| kept.entry).collect::<String>();
        world.act(&stream("Europe/Berlin", 20)).await.expect("it is in order");
        world.settle().await;
        let before = kept(&world);
        assert!(before.contains("Europe/Berlin") && before.contains("shards: 20"), "{before}");

        world.act(&stream("Europe/Berln", 30)).await.expect("the API server knows no zones");
        world.settle().await;
        let said = format!("{:?}", verdict(&world, "Stream", "an unknown zone").await);
        assert!(said.contains("InvalidSpec") && said.contains("did you mean Europe/Berlin?"), "{said}");
        assert!(said.contains("the window 08:00-18:00 Europe/Berln"), "{said}");
        let (objects, _) = world.end();
        let status =
            objects.iter().find(|(key, _)| key.starts_with("streams.")).expect("the Stream").1["status"]
                .clone();
        let conditions = status["conditions"].as_array().expect("conditions");
        assert!(
            conditions.iter().any(|each| each["type"] == "Stalled" && each["status"] == "True"),
            "{status}"
        );
        assert_eq!(kept(&world), before);

        world.act(&stream("Europe/Berlin", 30)).await.expect("it is in order");
        world.settle().await;
        let said = format!("{:?}", verdict(&world, "Stream", "a known zone again").await);
        assert!(said.contains("ready: true"), "{said}");
        assert!(kept(&world).contains("shards: 30"));
    });
}
