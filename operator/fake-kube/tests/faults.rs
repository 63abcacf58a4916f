//! The fake's own: faults, watches that break, the log, garbage, workloads, snapshots.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use millrace_fake_kube::{FakeKube, Fault, WatchFault};
use serde_json::{Value, json};

fn maps(kube: &FakeKube) -> Api<ConfigMap> {
    Api::default_namespaced(kube.client("default"))
}

fn map(object: Value) -> ConfigMap {
    serde_json::from_value(object).expect("a ConfigMap")
}

fn named(name: &str) -> ConfigMap {
    map(json!({ "metadata": { "name": name } }))
}

async fn create(api: &Api<ConfigMap>, name: &str) -> kube::Result<ConfigMap> {
    api.create(&PostParams::default(), &named(name)).await
}

#[tokio::test]
async fn a_refused_request_has_no_effect_and_the_next_one_has() {
    let kube = FakeKube::new();
    kube.fail_at(1, Fault::Status(503));
    let refused = create(&maps(&kube), "a").await.expect_err("the first request fails");
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 503));
    assert!(kube.snapshot().is_empty());
    create(&maps(&kube), "a").await.expect("the second request is served");
}

#[tokio::test]
async fn a_lost_answer_belongs_to_a_request_that_took_effect() {
    let kube = FakeKube::new();
    kube.fail_next(1, Fault::Lost);
    let lost = create(&maps(&kube), "a").await.expect_err("nobody answers");
    assert!(!matches!(lost, kube::Error::Api(_)), "{lost:?}");
    assert!(kube.snapshot().contains_key("configmaps/default/a"));
    let again = create(&maps(&kube), "a").await.expect_err("it is there");
    assert!(matches!(again, kube::Error::Api(status) if status.is_already_exists()));
}

#[tokio::test]
async fn after_a_crash_nothing_works_until_the_restart_and_old_clients_stay_dead() {
    let kube = FakeKube::new();
    let before = maps(&kube);
    kube.fail_at(2, Fault::Crash);
    create(&before, "a").await.expect("the first request is served");
    for name in ["b", "c"] {
        create(&before, name).await.expect_err("the client is dead");
    }
    assert!(kube.crashed());
    kube.restart();
    create(&before, "b").await.expect_err("a client from before the restart");
    create(&maps(&kube), "d").await.expect("a client from after it");
    let kept: Vec<String> = kube.snapshot().into_keys().collect();
    assert_eq!(kept, ["configmaps/default/a", "configmaps/default/d"]);
}

#[tokio::test]
async fn a_crash_after_the_effect_leaves_the_effect() {
    let kube = FakeKube::new();
    kube.fail_at(1, Fault::CrashAfter);
    create(&maps(&kube), "a").await.expect_err("dead before the answer");
    assert!(kube.crashed() && kube.snapshot().contains_key("configmaps/default/a"));
}

#[tokio::test]
async fn requests_are_counted_and_writes_that_changed_nothing_apart() {
    let kube = FakeKube::new();
    let api = maps(&kube);
    create(&api, "a").await.expect("served");
    let patch = Patch::Apply(
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "b" }, "data": { "x": "1" } }),
    );
    for _ in 0..3 {
        api.patch("b", &PatchParams::apply("test"), &patch).await.expect("served");
    }
    api.get("a").await.expect("served");
    assert_eq!((kube.request_count(), kube.writes_sent(), kube.writes_effective()), (5, 4, 2));
    let last = kube.requests().pop().expect("five requests");
    assert_eq!((last.number, last.method.as_str(), last.status, last.changed), (5, "GET", 200, false));
    assert!(last.uri.ends_with("/api/v1/namespaces/default/configmaps/a"), "{}", last.uri);
}

#[tokio::test]
async fn a_broken_watch_ends_in_an_error_and_can_be_taken_up_again() {
    let kube = FakeKube::new();
    let api = maps(&kube);
    let version = api.list(&ListParams::default()).await.expect("served").metadata.resource_version;
    let version = version.expect("lists have a version");
    let mut watch = api.watch(&WatchParams::default(), &version).await.expect("opened").boxed();
    create(&api, "a").await.expect("served");
    assert!(
        matches!(watch.try_next().await, Ok(Some(WatchEvent::Added(object))) if object.name_any() == "a")
    );
    kube.break_watches(WatchFault::Break);
    assert!(watch.try_next().await.is_err());
    let mut again = api.watch(&WatchParams::default(), &version).await.expect("opened").boxed();
    assert!(matches!(again.try_next().await, Ok(Some(WatchEvent::Added(_)))));
}

#[tokio::test]
async fn a_watch_that_is_too_old_is_told_410() {
    let kube = FakeKube::new();
    let api = maps(&kube);
    let mut open = api.watch(&WatchParams::default(), "100").await.expect("opened").boxed();
    kube.break_watches(WatchFault::Gone);
    assert!(matches!(open.try_next().await, Ok(Some(WatchEvent::Error(status))) if status.code == 410));
    create(&api, "a").await.expect("served");
    kube.compact();
    let mut old = api.watch(&WatchParams::default(), "100").await.expect("opened").boxed();
    assert!(matches!(old.try_next().await, Ok(Some(WatchEvent::Error(status))) if status.code == 410));
}

#[tokio::test]
async fn what_lost_its_owner_is_collected_unless_the_deletion_orphans_it() {
    for (params, kept) in
        [(DeleteParams::background(), 0), (DeleteParams::foreground(), 0), (DeleteParams::orphan(), 1)]
    {
        let kube = FakeKube::new();
        let api = maps(&kube);
        let owner = create(&api, "owner").await.expect("served");
        let child = map(json!({ "metadata": { "name": "child", "ownerReferences": [{ "apiVersion": "v1",
            "kind": "ConfigMap", "name": "owner", "uid": owner.uid(), "blockOwnerDeletion": true }] } }));
        api.create(&PostParams::default(), &child).await.expect("served");
        api.delete("owner", &params).await.expect("served");
        assert_eq!(kube.snapshot().len(), kept, "{params:?}");
    }
}

fn set(image: &str) -> Patch<Value> {
    Patch::Apply(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "log" },
        "spec": {
            "replicas": 2, "serviceName": "log", "selector": { "matchLabels": { "app": "log" } },
            "updateStrategy": { "type": "OnDelete" },
            "template": { "metadata": { "labels": { "app": "log" } },
                "spec": { "containers": [{ "name": "nats-server", "image": image }] } },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" },
                "spec": { "resources": { "requests": { "storage": "1Gi" } } } }],
        },
    }))
}

#[tokio::test]
async fn a_deleted_pod_comes_back_with_the_newest_template_and_the_others_stay() {
    let kube = FakeKube::new();
    let client = kube.client("default");
    let sets: Api<StatefulSet> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::default_namespaced(client);
    let by = PatchParams::apply("test");
    sets.patch("log", &by, &set("one")).await.expect("served");
    kube.run_workloads();
    let status = async || sets.get("log").await.expect("served").status.expect("a status");
    assert_eq!((status().await.ready_replicas, status().await.updated_replicas), (Some(2), Some(2)));
    assert_eq!(claims.list(&ListParams::default()).await.expect("served").items.len(), 2);
    sets.patch("log", &by, &set("two")).await.expect("served");
    kube.run_workloads();
    let now = status().await;
    assert!(now.updated_replicas == Some(0) && now.current_revision != now.update_revision, "{now:?}");
    pods.delete("log-0", &DeleteParams::default()).await.expect("served");
    kube.run_workloads();
    assert_eq!(status().await.updated_replicas, Some(1));
    let revision = |pod: &Pod| pod.labels()["controller-revision-hash"].clone();
    assert_eq!(Some(revision(&pods.get("log-0").await.expect("served"))), now.update_revision);
    assert_eq!(Some(revision(&pods.get("log-1").await.expect("served"))), now.current_revision);
}

#[tokio::test]
async fn a_pod_has_the_status_that_the_test_gives_it() {
    let kube = FakeKube::new();
    let sets: Api<StatefulSet> = Api::default_namespaced(kube.client("default"));
    sets.patch("log", &PatchParams::apply("test"), &set("one")).await.expect("served");
    let waiting = json!({ "phase": "Pending", "containerStatuses": [{ "name": "nats-server", "image": "one",
        "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": { "reason": "ImagePullBackOff" } } }] });
    kube.set_pod_status("default", "log-1", Some(waiting.clone()));
    kube.run_workloads();
    assert_eq!(kube.snapshot()["pods/default/log-1"]["status"], waiting);
    let ready =
        async || sets.get("log").await.expect("served").status.and_then(|status| status.ready_replicas);
    assert_eq!(ready().await, Some(1));
    kube.set_pod_status("default", "log-1", None);
    kube.run_workloads();
    assert_eq!(ready().await, Some(2));
    let versions = kube.snapshot();
    kube.run_workloads();
    assert_eq!(kube.snapshot(), versions);
}

#[tokio::test]
async fn snapshots_of_two_runs_are_equal_though_their_uids_and_times_are_not() {
    let (one, two) = (FakeKube::new(), FakeKube::new());
    two.set_now("2026-11-24T00:00:00Z".parse().expect("a time"));
    create(&maps(&two), "other").await.expect("served");
    maps(&two).delete("other", &DeleteParams::default()).await.expect("served");
    for kube in [&one, &two] {
        create(&maps(kube), "a").await.expect("served");
    }
    assert_eq!(one.snapshot(), two.snapshot());
    let secret = map(json!({ "metadata": { "name": "b" }, "data": { "key": "random", "kept": "x" } }));
    maps(&one).create(&PostParams::default(), &secret).await.expect("served");
    assert_eq!(one.snapshot_without(&["key"])["configmaps/default/b"]["data"], json!({ "kept": "x" }));
}

#[tokio::test]
async fn an_unknown_resource_is_not_found() {
    let kube = FakeKube::new();
    let kind = GroupVersionKind::gvk("example.org", "v1", "Thing");
    let resource = kube::core::ApiResource::from_gvk(&kind);
    let api: Api<kube::core::DynamicObject> = Api::default_namespaced_with(kube.client("default"), &resource);
    let refused = api.list(&ListParams::default()).await.expect_err("nobody registered it");
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 404));
}
