//! Watches.

use anyhow::{Context, Result, ensure};
use futures::{Stream, StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::lifecycle::map;

/// The next `count` events but bookmarks, as `type name`.
async fn events(
    stream: impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>>,
    count: usize,
) -> Result<Vec<String>> {
    pin_mut!(stream);
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = stream.try_next().await?.context("the watch ended")?;
        seen.push(match event {
            WatchEvent::Added(object) => format!("added {}", object.name_any()),
            WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
            WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => format!("error {}", status.code),
        });
    }
    Ok(seen)
}

pub(crate) async fn a_watch_tells_additions_changes_and_deletions_in_order(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let revision = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    api.create(&PostParams::default(), &map("b", "1")).await?;
    api.create(&PostParams::default(), &map("a", "1")).await?;
    let patch = Patch::Merge(json!({ "data": { "value": "2" } }));
    api.patch("b", &PatchParams::default(), &patch).await?;
    api.delete("a", &DeleteParams::default()).await?;
    let seen = events(api.watch(&WatchParams::default(), &revision).await?, 4).await?;
    ensure!(seen == ["added b", "added a", "modified b", "deleted a"], "{seen:?}");
    Ok(())
}

pub(crate) async fn a_watch_with_a_selector_sees_objects_come_and_go(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    api.create(&PostParams::default(), &map("a", "1")).await?;
    let revision = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    for label in [json!("red"), json!(null)] {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "colour": label } } }));
        api.patch("a", &PatchParams::default(), &patch).await?;
    }
    let red = WatchParams::default().labels("colour=red");
    let seen = events(api.watch(&red, &revision).await?, 2).await?;
    ensure!(seen == ["added a", "deleted a"], "{seen:?}");
    Ok(())
}

pub(crate) async fn a_watch_of_one_name_sees_only_that(client: Client, ns: String) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    let revision = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    api.create(&PostParams::default(), &map("a", "1")).await?;
    api.create(&PostParams::default(), &map("b", "1")).await?;
    let wanted = WatchParams::default().fields("metadata.name=b");
    let seen = events(api.watch(&wanted, &revision).await?, 1).await?;
    ensure!(seen == ["added b"], "{seen:?}");
    Ok(())
}

pub(crate) async fn the_watcher_of_the_client_library_begins_with_what_there_is(
    client: Client,
    ns: String,
) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &ns);
    for name in ["b", "a"] {
        api.create(&PostParams::default(), &map(name, "1")).await?;
    }
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let only = config.fields("metadata.name!=kube-root-ca.crt");
        let seen: Vec<String> = watcher(api.clone(), only)
            .try_filter_map(async |event| {
                Ok(match event {
                    watcher::Event::Init => Some("init".to_owned()),
                    watcher::Event::InitApply(object) => Some(object.name_any()),
                    watcher::Event::InitDone => Some("done".to_owned()),
                    watcher::Event::Apply(_) | watcher::Event::Delete(_) => None,
                })
            })
            .take(4)
            .try_collect()
            .await?;
        ensure!(seen == ["init", "a", "b", "done"], "{seen:?}");
    }
    Ok(())
}

pub(crate) async fn a_watch_from_a_version_that_is_no_longer_kept_is_told_410(
    client: Client,
    ns: String,
) -> Result<()> {
    // A real server keeps a resource's versions from when it first served it: for ours that is later than 1.
    let api: Api<millrace_crds::Stream> = Api::namespaced(client, &ns);
    let mut watch = api.watch(&WatchParams::default(), "1").await?.boxed();
    let first = watch.try_next().await?;
    ensure!(matches!(&first, Some(WatchEvent::Error(status)) if status.code == 410), "{first:?}");
    Ok(())
}
