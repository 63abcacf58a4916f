//! No reference leads into another namespace.

use serde_json::json;

use super::schema::{Step as Path, fields};
use super::walk::verdict;
use super::world::{NAMESPACE, Step, World, object, run};

/// A Broker of another namespace, beside which a Stream names a Broker in some way.
async fn with_a_broker_elsewhere() -> World {
    let mut world = World::new();
    let mut elsewhere = object("Broker", "far", json!({"log": {"servers": 1, "replicas": 1}}));
    elsewhere["metadata"]["namespace"] = json!("elsewhere");
    world.act(&Step::Apply(elsewhere)).await.expect("it is in order");
    world.settle().await;
    world
}

#[test]
fn no_field_names_a_namespace_but_terms_that_say_near_which_pods_pods_run() {
    // These pick nodes by the pods there, as any pod's do: nothing is read there, and nothing made.
    let terms = ["podAffinity", "podAntiAffinity"];
    for kind in ["Broker", "Stream"] {
        for field in fields(kind) {
            let Some(Path::Name(name)) = field.path.last() else { continue };
            let is_term = terms.iter().any(|term| field.is_within(term));
            assert!(is_term || !name.to_lowercase().contains("namespace"), "{}", field.text());
        }
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    run(async {
        let mut world = with_a_broker_elsewhere().await;
        for name in [
            "elsewhere/far",
            "far.elsewhere",
            "../far",
            "../../elsewhere/brokers/far",
            "far?x",
            "far#x",
            "%2e",
        ] {
            let stream = object("Stream", "orders", json!({"brokerRef": {"name": name}}));
            let refusal = world.act(&Step::Apply(stream)).await.expect_err(name);
            assert_eq!(refusal.code, 422, "{name}");
            let why = "write the name of a Broker of this namespace";
            assert!(refusal.message.contains(why), "{name}: {}", refusal.message);
        }
    });
}

#[test]
fn a_broker_of_another_namespace_is_never_used() {
    run(async {
        let mut world = with_a_broker_elsewhere().await;
        let before = world.kube.request_count();
        // The namespace is no field: a client that is strict is told so, and for others it is dropped.
        let spec =
            json!({"brokerRef": {"name": "far", "namespace": "elsewhere"}, "deletionPolicy": "Delete"});
        world
            .act(&Step::Apply(object("Stream", "orders", spec)))
            .await
            .expect("what is not known is dropped");
        world.settle().await;
        let said = format!("{:?}", verdict(&world, "Stream", "a Broker elsewhere").await);
        assert!(said.contains("There is no Broker far in this namespace: create it"), "{said}");
        world.act(&Step::Delete("Stream", "orders")).await.expect("it is there");
        world.settle().await;
        assert!(world.end().1.is_empty(), "nothing is stored anywhere: {:?}", world.end().1);
        let streams = |uri: &str| uri.contains(&format!("/namespaces/{NAMESPACE}/"));
        let asked = world.kube.requests().into_iter().filter(|request| request.number > before);
        let asked: Vec<String> =
            asked.filter(|request| streams(&request.uri)).map(|request| request.uri).collect();
        assert!(asked.iter().any(|uri| uri.contains("/brokers/far")), "it was looked for here: {asked:?}");
    });
}
