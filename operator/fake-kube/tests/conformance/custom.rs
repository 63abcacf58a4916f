//! Millrace's own resources: defaults, rules, generation and the two halves of an object.

use anyhow::{Result, ensure};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use millrace_crds::Stream;
use serde_json::{Value, json};

use crate::refusal;

pub(crate) fn stream(name: &str) -> Value {
    json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "Stream", "metadata": { "name": name },
        "spec": { "brokerRef": { "name": "main" } },
    })
}

fn api(client: Client, ns: &str) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<Stream>(&());
    debug_assert_eq!(resource.kind, Stream::kind(&()));
    Api::namespaced_with(client, ns, &resource)
}

async fn made(api: &Api<DynamicObject>, object: Value) -> Result<DynamicObject> {
    Ok(api.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

pub(crate) async fn defaults_are_filled_in(client: Client, ns: String) -> Result<()> {
    let stored = made(&api(client, &ns), stream("a")).await?;
    ensure!(stored.data["spec"].as_object().is_some_and(|spec| spec.len() > 1), "{}", stored.data);
    ensure!(stored.data["status"] == json!({ "observedGeneration": -1 }), "{}", stored.data);
    Ok(())
}

pub(crate) async fn the_generation_counts_changes_of_spec_alone(client: Client, ns: String) -> Result<()> {
    let api = api(client, &ns);
    ensure!(made(&api, stream("a")).await?.metadata.generation == Some(1));
    let labels = Patch::Merge(json!({ "metadata": { "labels": { "x": "y" } } }));
    let stored = api.patch("a", &PatchParams::default(), &labels).await?;
    ensure!(stored.metadata.generation == Some(1));
    let spec = Patch::Merge(json!({ "spec": { "retention": "48h" } }));
    let stored = api.patch("a", &PatchParams::default(), &spec).await?;
    ensure!(stored.metadata.generation == Some(2));
    Ok(())
}

pub(crate) async fn the_status_endpoint_ignores_the_spec_and_the_other_way_round(
    client: Client,
    ns: String,
) -> Result<()> {
    let api = api(client, &ns);
    let first = made(&api, stream("a")).await?;
    let both = Patch::Merge(json!({ "spec": { "retention": "48h" }, "status": { "observedGeneration": 7 } }));
    let stored = api.patch_status("a", &PatchParams::default(), &both).await?;
    ensure!(stored.data["spec"] == first.data["spec"], "the status endpoint changed the spec");
    ensure!(stored.data["status"]["observedGeneration"] == 7 && stored.metadata.generation == Some(1));
    let both = Patch::Merge(json!({ "spec": { "retention": "48h" }, "status": { "observedGeneration": 9 } }));
    let stored = api.patch("a", &PatchParams::default(), &both).await?;
    ensure!(stored.data["spec"]["retention"] == "48h");
    ensure!(stored.data["status"]["observedGeneration"] == 7, "the object's endpoint changed the status");
    Ok(())
}

pub(crate) async fn an_update_needs_a_version(client: Client, ns: String) -> Result<()> {
    let api = api(client, &ns);
    let mut object = made(&api, stream("a")).await?;
    object.metadata.resource_version = None;
    object.metadata.managed_fields = None;
    let status = refusal(api.replace("a", &PostParams::default(), &object).await, 422, "Invalid")?;
    ensure!(status.message.contains("metadata.resourceVersion"), "{}", status.message);
    let stored = api.get("a").await?;
    ensure!(stored.resource_version().is_some());
    Ok(())
}

pub(crate) async fn a_fixed_field_is_refused_with_the_rules_message(
    client: Client,
    ns: String,
) -> Result<()> {
    let api = api(client, &ns);
    let mut object = stream("a");
    object["spec"]["streamName"] = json!("one");
    made(&api, object).await?;
    let name = Patch::Merge(json!({ "spec": { "streamName": "two" } }));
    let status = refusal(api.patch("a", &PatchParams::default(), &name).await, 422, "Invalid")?;
    let sentence = "a stream's name stays: make another Stream, and let its writers and readers move there";
    let wanted =
        format!("Stream.millrace.dev \"a\" is invalid: <nil>: Invalid value: \"object\": {sentence}");
    ensure!(status.message == wanted, "{}", status.message);
    let broker = Patch::Merge(json!({ "spec": { "brokerRef": { "name": "other" } } }));
    let status = refusal(api.patch("a", &PatchParams::default(), &broker).await, 422, "Invalid")?;
    ensure!(status.message.contains("spec.brokerRef: Invalid value"), "{}", status.message);
    Ok(())
}

pub(crate) async fn what_the_schema_or_a_rule_forbids_is_refused_by_field(
    client: Client,
    ns: String,
) -> Result<()> {
    let api = api(client, &ns);
    let refused = [
        (json!({ "capacity": { "mode": "Sometimes" } }), "spec.capacity.mode", ""),
        (json!({ "capacity": { "minShards": 0 } }), "spec.capacity.minShards", ""),
        (json!({ "capacity": { "shards": "four" } }), "spec.capacity.shards", ""),
        (json!({ "streamName": "a b" }), "spec.streamName", ""),
        (json!({ "brokerRef": { "name": "" } }), "spec.brokerRef.name", ""),
        (json!({ "brokerRef": {} }), "spec.brokerRef.name", ""),
        (json!({ "retention": "90s" }), "spec.retention", millrace_crds::retention::RANGE_MESSAGE),
        (json!({ "quota": "1Mi" }), "spec.quota", "write a quota of whole bytes, 64Mi to 1Pi, such as 10Gi"),
        // Rules see the defaults: maxShards is 1000 here.
        (
            json!({ "capacity": { "minShards": 2000, "shards": 2000 } }),
            "spec.capacity.minShards",
            "minShards is above maxShards: lower the one or raise the other",
        ),
    ];
    for (spec, field, sentence) in refused {
        let object = json!({ "apiVersion": "millrace.dev/v1alpha1", "kind": "Stream",
            "metadata": { "name": "a" }, "spec": spec });
        let object = serde_json::from_value(object)?;
        let status = refusal(api.create(&PostParams::default(), &object).await, 422, "Invalid")?;
        let causes = status.details.map(|details| details.causes).unwrap_or_default();
        let told = causes.iter().any(|cause| cause.field == field && cause.message.ends_with(sentence));
        ensure!(told, "of {field}: {causes:?}");
    }
    Ok(())
}

pub(crate) async fn an_unknown_field_is_dropped(client: Client, ns: String) -> Result<()> {
    let api = api(client, &ns);
    let mut object = stream("a");
    object["spec"]["nonsense"] = json!(1);
    let stored = made(&api, object).await?;
    ensure!(stored.data["spec"].get("nonsense").is_none(), "{}", stored.data);
    Ok(())
}

pub(crate) async fn the_scale_endpoint_reads_and_writes_the_shards(client: Client, ns: String) -> Result<()> {
    let api: Api<Stream> = Api::namespaced(client, &ns);
    let object: Stream = serde_json::from_value(stream("a"))?;
    let first = api.create(&PostParams::default(), &object).await?;
    let scale = api.get_scale("a").await?;
    ensure!(
        scale.spec.and_then(|spec| spec.replicas) == Some(first.spec.capacity.shards),
        "{:?}",
        scale.status
    );
    let patch = Patch::Merge(json!({ "spec": { "replicas": 9 } }));
    api.patch_scale("a", &PatchParams::default(), &patch).await?;
    let stored = api.get("a").await?;
    ensure!(stored.spec.capacity.shards == 9 && stored.metadata.generation == Some(2));
    Ok(())
}
