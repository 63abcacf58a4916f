//! Server-side apply.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use millrace_crds::Stream;
use serde_json::{Value, json};

use crate::refusal;

fn map(data: Value) -> Patch<Value> {
    Patch::Apply(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": data }),
    )
}

fn by(manager: &str) -> PatchParams {
    PatchParams::apply(manager)
}

pub(crate) async fn applying_creates_and_applying_again_changes_nothing(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let first = api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await?;
    let again = api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await?;
    ensure!(first.resource_version() == again.resource_version());
    ensure!(first.metadata.managed_fields == again.metadata.managed_fields);
    Ok(())
}

pub(crate) async fn a_field_left_out_of_the_next_apply_is_removed(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    api.patch("a", &by("one"), &map(json!({ "x": "1", "y": "2" }))).await?;
    let merge = Patch::Merge(json!({ "data": { "z": "3" } }));
    api.patch("a", &PatchParams::default(), &merge).await?;
    let stored = api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await?;
    let data = stored.data.unwrap_or_default();
    ensure!(data.keys().eq(["x", "z"]), "{data:?}");
    Ok(())
}

pub(crate) async fn a_field_of_another_manager_is_a_conflict_unless_forced(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await?;
    let status = refusal(api.patch("a", &by("two"), &map(json!({ "x": "2" }))).await, 409, "Conflict")?;
    ensure!(
        status.message == "Apply failed with 1 conflict: conflict with \"one\": .data.x",
        "{}",
        status.message
    );
    let stored = api.patch("a", &by("two").force(), &map(json!({ "x": "2" }))).await?;
    ensure!(stored.data.unwrap_or_default()["x"] == "2");
    refusal(api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await, 409, "Conflict")?;
    Ok(())
}

pub(crate) async fn a_field_that_two_managers_own_outlives_one_of_them(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    api.patch("a", &by("one"), &map(json!({ "x": "1" }))).await?;
    api.patch("a", &by("two"), &map(json!({ "x": "1", "y": "2" }))).await?;
    let stored = api.patch("a", &by("one"), &map(json!({}))).await?;
    ensure!(stored.data.unwrap_or_default().keys().eq(["x", "y"]));
    let stored = api.patch("a", &by("two"), &map(json!({ "y": "2" }))).await?;
    ensure!(stored.data.unwrap_or_default().keys().eq(["y"]));
    Ok(())
}

pub(crate) async fn a_container_left_out_is_removed_and_the_other_stays(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client, &ns);
    let with = |containers: Value| {
        Patch::Apply(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a" },
            "spec": {
                "selector": { "matchLabels": { "app": "a" } },
                "template": { "metadata": { "labels": { "app": "a" } }, "spec": { "containers": containers } },
            },
        }))
    };
    let container =
        |name: &str| json!({ "name": name, "image": "i", "env": [{ "name": "A", "value": "1" }] });
    let first = api.patch("a", &by("one"), &with(json!([container("x"), container("y")]))).await?;
    ensure!(first.metadata.generation == Some(1));
    let second = api.patch("a", &by("one"), &with(json!([container("x")]))).await?;
    ensure!(second.metadata.generation == Some(2));
    let pod = second.spec.and_then(|spec| spec.template.spec).unwrap_or_default();
    let names: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    ensure!(names == ["x"], "{names:?}");
    let third = api.patch("a", &by("one"), &with(json!([container("x")]))).await?;
    ensure!(third.resource_version() == second.metadata.resource_version);
    Ok(())
}

pub(crate) async fn a_status_applied_by_another_manager_leaves_the_spec_alone(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<Stream> = Api::namespaced(client, &ns);
    let made: Stream = serde_json::from_value(crate::custom::stream("a"))?;
    let first = api.create(&Default::default(), &made).await?;
    let status = Patch::Apply(json!({
        "apiVersion": "millrace.dev/v1alpha1", "kind": "Stream", "metadata": { "name": "a" },
        "status": { "observedGeneration": 1, "conditions": [{ "type": "Ready", "status": "True", "reason": "Up",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" }] },
    }));
    let second = api.patch_status("a", &by("one").force(), &status).await?;
    ensure!(second.metadata.generation == first.metadata.generation);
    let third = api.patch_status("a", &by("one").force(), &status).await?;
    ensure!(third.resource_version() == second.resource_version());
    ensure!(third.status.is_some_and(|status| status.observed_generation == Some(1)));
    Ok(())
}
