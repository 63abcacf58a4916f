//! Registered consumers: one name, one registration, known to every broker.

use millrace_core::{CapacityMode, Limits, StreamConfig};
use serde_json::{Value, json};

use crate::api::Api;

async fn register(api: &Api, name: &str) -> Value {
    let input = json!({"StreamARN": api.arn("team-a", "orders"), "ConsumerName": name});
    api.ok("RegisterStreamConsumer", input).await["Consumer"].clone()
}

async fn names(api: &Api) -> Vec<Value> {
    let listed = api.ok("ListStreamConsumers", json!({"StreamARN": api.arn("team-a", "orders")})).await;
    listed["Consumers"].as_array().unwrap().iter().map(|found| found["ConsumerName"].clone()).collect()
}

#[tokio::test]
async fn a_consumer_is_registered_once_and_known_by_name_and_arn_to_every_broker() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let stream_arn = api.arn("team-a", "orders");
    let made = register(&api, "c").await;
    let (arn, created) = (made["ConsumerARN"].clone(), made["ConsumerCreationTimestamp"].as_f64().unwrap());
    assert_eq!(arn, format!("{stream_arn}/consumer/c:{}", created as i64));
    assert_eq!(made["ConsumerStatus"], "CREATING");
    let again =
        api.call("RegisterStreamConsumer", json!({"StreamARN": stream_arn, "ConsumerName": "c"})).await;
    assert_eq!(again.error(), ("ResourceInUseException".into(), 400));

    let other = api.another().await;
    for input in [json!({"ConsumerARN": arn}), json!({"StreamARN": stream_arn, "ConsumerName": "c"})] {
        let described = &other.ok("DescribeStreamConsumer", input).await["ConsumerDescription"];
        assert_eq!((&described["ConsumerARN"], &described["ConsumerStatus"]), (&arn, &json!("ACTIVE")));
        assert_eq!(described["StreamARN"], stream_arn);
    }
    // From then on also that broker's copy has it, which subscriptions go by.
    let known = other.broker.stream("team-a", "orders").unwrap();
    assert!(known.attributes.consumer("c").is_some());
    let summary = api.ok("DescribeStreamSummary", json!({"StreamName": "orders"})).await;
    assert_eq!(summary["StreamDescriptionSummary"]["ConsumerCount"], 1);

    other.ok("DeregisterStreamConsumer", json!({"ConsumerARN": arn})).await;
    let gone = api.call("DescribeStreamConsumer", json!({"ConsumerARN": arn})).await;
    assert_eq!(gone.error(), ("ResourceNotFoundException".into(), 400));
    // One of the same name is another one.
    api.clock.put_on(2_000);
    assert_ne!(register(&api, "c").await["ConsumerARN"], arn);
    let old = api.call("DescribeStreamConsumer", json!({"ConsumerARN": arn})).await;
    assert_eq!(old.error(), ("ResourceNotFoundException".into(), 400));
}

#[tokio::test]
async fn a_stream_has_at_most_twenty_consumers_and_they_are_listed_page_by_page() {
    let api = Api::start().await;
    let config = StreamConfig { mode: CapacityMode::Provisioned, shards: 1, ..StreamConfig::default() };
    assert_eq!(config.limits, Limits::Kinesis);
    api.make_stream_with("team-a", "orders", config).await;
    for number in 0..20 {
        register(&api, &format!("c{number:02}")).await;
    }
    let arn = api.arn("team-a", "orders");
    let one_more = api.call("RegisterStreamConsumer", json!({"StreamARN": arn, "ConsumerName": "x"})).await;
    assert_eq!(one_more.error(), ("LimitExceededException".into(), 400));
    assert_eq!(names(&api).await.len(), 20);
    let mut page = api.ok("ListStreamConsumers", json!({"StreamARN": arn, "MaxResults": 8})).await;
    let token = page["NextToken"].clone();
    let mut listed = Vec::new();
    loop {
        listed
            .extend(page["Consumers"].as_array().unwrap().iter().map(|found| found["ConsumerName"].clone()));
        let Some(token) = page["NextToken"].as_str() else { break };
        let next = json!({"StreamARN": arn, "MaxResults": 8, "NextToken": token});
        page = api.ok("ListStreamConsumers", next).await;
    }
    assert_eq!(listed, names(&api).await);
    api.make_stream("team-a", "bills", 1).await;
    let foreign = json!({"StreamARN": api.arn("team-a", "bills"), "NextToken": token});
    let foreign = api.call("ListStreamConsumers", foreign).await;
    assert_eq!(foreign.error(), ("InvalidArgumentException".into(), 400));
    api.clock.put_on(301_000);
    let late = api.call("ListStreamConsumers", json!({"StreamARN": arn, "NextToken": token})).await;
    assert_eq!(late.error(), ("ExpiredNextTokenException".into(), 400));
}

#[tokio::test]
async fn a_stream_with_consumers_is_deleted_only_when_that_is_said() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    register(&api, "c").await;
    let refused = api.call("DeleteStream", json!({"StreamName": "orders"})).await;
    assert_eq!(refused.error(), ("ResourceInUseException".into(), 400));
    let refused =
        api.call("DeleteStream", json!({"StreamName": "orders", "EnforceConsumerDeletion": false})).await;
    assert_eq!(refused.error(), ("ResourceInUseException".into(), 400));
    api.ok("DeleteStream", json!({"StreamName": "orders", "EnforceConsumerDeletion": true})).await;
}
