//! Creating, changing, deleting, listing.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::refusal;

pub(crate) fn map(name: &str, value: &str) -> ConfigMap {
    from(json!({ "metadata": { "name": name }, "data": { "value": value } }))
}

fn from(object: Value) -> ConfigMap {
    serde_json::from_value(object).expect("a ConfigMap")
}

fn post() -> PostParams {
    PostParams { field_manager: Some("tests".to_owned()), ..Default::default() }
}

pub(crate) async fn creating_twice_is_refused_with_already_exists(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let made = api.create(&post(), &map("a", "1")).await?;
    ensure!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());
    let status = refusal(api.create(&post(), &map("a", "1")).await, 409, "AlreadyExists")?;
    ensure!(status.message == "configmaps \"a\" already exists", "{}", status.message);
    Ok(())
}

pub(crate) async fn an_absent_object_is_answered_with_not_found(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let status = refusal(api.get("none").await, 404, "NotFound")?;
    ensure!(status.message == "configmaps \"none\" not found", "{}", status.message);
    ensure!(api.get_opt("none").await?.is_none());
    refusal(api.replace("none", &post(), &map("none", "1")).await, 404, "NotFound")?;
    let patch = Patch::Merge(json!({ "data": {} }));
    refusal(api.patch("none", &PatchParams::default(), &patch).await, 404, "NotFound")?;
    refusal(api.delete("none", &DeleteParams::default()).await, 404, "NotFound")?;
    Ok(())
}

pub(crate) async fn a_generated_name_begins_with_its_prefix(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let wanted = from(json!({ "metadata": { "generateName": "some-" } }));
    let (one, two) = (api.create(&post(), &wanted).await?, api.create(&post(), &wanted).await?);
    ensure!(one.name_any().starts_with("some-") && one.name_any() != two.name_any());
    Ok(())
}

pub(crate) async fn an_update_of_a_stale_version_is_a_conflict(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let first = api.create(&post(), &map("a", "1")).await?;
    let mut second = first.clone();
    second.data = map("a", "2").data;
    let stored = api.replace("a", &post(), &second).await?;
    ensure!(stored.resource_version() != first.resource_version());
    let mut third = first;
    third.data = map("a", "3").data;
    let status = refusal(api.replace("a", &post(), &third).await, 409, "Conflict")?;
    let wanted = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your \
        changes to the latest version and try again";
    ensure!(status.message == wanted, "{}", status.message);
    Ok(())
}

pub(crate) async fn an_update_without_a_version_replaces_a_config_map(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let first = api.create(&post(), &map("a", "1")).await?;
    let second = api.replace("a", &post(), &map("a", "2")).await?;
    ensure!(second.uid() == first.uid() && second.data == map("a", "2").data);
    Ok(())
}

pub(crate) async fn a_write_without_change_keeps_the_version(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let first = api.create(&post(), &map("a", "1")).await?;
    let same = api.replace("a", &post(), &first).await?;
    ensure!(same.resource_version() == first.resource_version(), "an update without change made a version");
    let patch = Patch::Merge(json!({ "data": { "value": "1" } }));
    let same = api.patch("a", &PatchParams::default(), &patch).await?;
    ensure!(same.resource_version() == first.resource_version(), "a patch without change made a version");
    Ok(())
}

pub(crate) async fn a_finalizer_holds_a_deleted_object_until_it_is_taken_off(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let held = from(json!({ "metadata": { "name": "a", "finalizers": ["millrace.dev/test"] } }));
    let first = api.create(&post(), &held).await?;
    let answer = api.delete("a", &DeleteParams::default()).await?;
    ensure!(answer.left().is_some_and(|object| object.metadata.deletion_timestamp.is_some()));
    let marked = api.get("a").await?;
    ensure!(marked.resource_version() != first.resource_version());
    api.delete("a", &DeleteParams::default()).await?;
    let again = api.get("a").await?;
    ensure!(again.resource_version() == marked.resource_version(), "a second delete changed the object");
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("a", &PatchParams::default(), &patch).await?;
    ensure!(api.get_opt("a").await?.is_none(), "still there without its finalizer");
    Ok(())
}

pub(crate) async fn a_delete_with_another_uid_is_a_conflict(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let made = api.create(&post(), &map("a", "1")).await?;
    let of = |uid: Option<String>| DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..Default::default()
    };
    let other = of(Some("11111111-2222-3333-4444-555555555555".to_owned()));
    refusal(api.delete("a", &other).await, 409, "Conflict")?;
    api.delete("a", &of(made.uid())).await?;
    ensure!(api.get_opt("a").await?.is_none());
    Ok(())
}

pub(crate) async fn a_merge_patch_removes_what_is_null(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    api.create(&post(), &map("a", "1")).await?;
    let patch = Patch::Merge(json!({ "data": { "value": null, "other": "2" } }));
    let stored = api.patch("a", &PatchParams::default(), &patch).await?;
    let data = stored.data.unwrap_or_default();
    ensure!(data.len() == 1 && data["other"] == "2", "{data:?}");
    Ok(())
}

pub(crate) async fn lists_select_by_label_and_continue_in_order(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    for (name, colour) in [("c", "red"), ("a", "red"), ("b", "blue"), ("d", "red")] {
        let object = from(json!({ "metadata": { "name": name, "labels": { "colour": colour } } }));
        api.create(&post(), &object).await?;
    }
    let names = |list: &kube::core::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.iter().map(ResourceExt::name_any).collect()
    };
    let red = ListParams::default().labels("colour=red");
    ensure!(names(&api.list(&red).await?) == ["a", "c", "d"]);
    ensure!(names(&api.list(&ListParams::default().labels("colour in (blue, green)")).await?) == ["b"]);
    ensure!(names(&api.list(&ListParams::default().labels("!colour")).await?).is_empty());
    ensure!(names(&api.list(&ListParams::default().fields("metadata.name=c")).await?) == ["c"]);
    let first = api.list(&red.clone().limit(2)).await?;
    ensure!(names(&first) == ["a", "c"]);
    let token = first.metadata.continue_.unwrap_or_default();
    ensure!(!token.is_empty(), "no token to continue with");
    let second = api.list(&red.limit(2).continue_token(&token)).await?;
    ensure!(names(&second) == ["d"] && second.metadata.continue_.is_none_or(|token| token.is_empty()));
    Ok(())
}
