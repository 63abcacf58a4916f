//! The same behaviour asked of the fake and of a real kube-apiserver.

mod apply;
mod built_in;
mod custom;
mod lifecycle;
mod real;
mod watching;

use anyhow::{Context, Result, bail};
use futures::future::LocalBoxFuture;
use kube::Client;
use kube::core::Status;

/// One behaviour: gets a client and a namespace of its own.
type Case = (&'static str, fn(Client, String) -> LocalBoxFuture<'static, Result<()>>);

/// Names functions as cases.
macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$({
            fn run(client: Client, namespace: String) -> LocalBoxFuture<'static, Result<()>> {
                Box::pin($module::$name(client, namespace))
            }
            (stringify!($name), run as fn(Client, String) -> LocalBoxFuture<'static, Result<()>>)
        }),*]
    };
}

fn all() -> Vec<Case> {
    cases![
        lifecycle::creating_twice_is_refused_with_already_exists,
        lifecycle::an_absent_object_is_answered_with_not_found,
        lifecycle::a_generated_name_begins_with_its_prefix,
        lifecycle::an_update_of_a_stale_version_is_a_conflict,
        lifecycle::an_update_without_a_version_replaces_a_config_map,
        lifecycle::a_write_without_change_keeps_the_version,
        lifecycle::a_finalizer_holds_a_deleted_object_until_it_is_taken_off,
        lifecycle::a_delete_with_another_uid_is_a_conflict,
        lifecycle::a_merge_patch_removes_what_is_null,
        lifecycle::lists_select_by_label_and_continue_in_order,
        apply::applying_creates_and_applying_again_changes_nothing,
        apply::a_field_left_out_of_the_next_apply_is_removed,
        apply::a_field_of_another_manager_is_a_conflict_unless_forced,
        apply::a_field_that_two_managers_own_outlives_one_of_them,
        apply::a_container_left_out_is_removed_and_the_other_stays,
        apply::a_status_applied_by_another_manager_leaves_the_spec_alone,
        custom::defaults_are_filled_in,
        custom::the_generation_counts_changes_of_spec_alone,
        custom::the_status_endpoint_ignores_the_spec_and_the_other_way_round,
        custom::an_update_needs_a_version,
        custom::a_fixed_field_is_refused_with_the_rules_message,
        custom::what_the_schema_or_a_rule_forbids_is_refused_by_field,
        custom::an_unknown_field_is_dropped,
        custom::the_scale_endpoint_reads_and_writes_the_shards,
        built_in::a_pod_that_can_not_be_is_refused_by_field,
        built_in::a_pod_that_can_be_is_taken,
        built_in::amounts_are_kept_in_a_form_of_their_own,
        built_in::an_amount_that_is_none_can_not_be_read,
        built_in::a_node_port_out_of_its_range_is_refused,
        built_in::an_annotation_of_no_name_is_refused,
        watching::a_watch_tells_additions_changes_and_deletions_in_order,
        watching::a_watch_with_a_selector_sees_objects_come_and_go,
        watching::a_watch_of_one_name_sees_only_that,
        watching::a_watch_from_a_version_that_is_no_longer_kept_is_told_410,
        watching::the_watcher_of_the_client_library_begins_with_what_there_is,
    ]
}

/// Runs every case; hands back the ones that failed, with why.
async fn failures(client: &Client, prefix: &str) -> Result<Vec<String>> {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::{Api, PostParams};
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut failed = Vec::new();
    for (number, (name, run)) in all().into_iter().enumerate() {
        let namespace = format!("{prefix}-{number}");
        let made = serde_json::from_value(serde_json::json!({ "metadata": { "name": namespace } }))?;
        namespaces.create(&PostParams::default(), &made).await.context("making the case's namespace")?;
        if let Err(error) = run(client.clone(), namespace).await {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    Ok(failed)
}

/// The API's refusal, where one is expected.
fn refusal<T: std::fmt::Debug>(outcome: kube::Result<T>, code: u16, reason: &str) -> Result<Box<Status>> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == code && status.reason == reason => Ok(status),
        other => bail!("{code} {reason} expected, not {other:?}"),
    }
}

#[tokio::test]
async fn the_fake_behaves_as_the_cases_say() -> Result<()> {
    let kube = millrace_fake_kube::FakeKube::new();
    let failed = failures(&kube.client("default"), "case").await?;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_real_api_server_behaves_as_the_cases_say() -> Result<()> {
    if std::env::var("MILLRACE_TEST").is_ok_and(|wanted| wanted == "fast") {
        return Ok(());
    }
    let server = real::start().await?;
    let failed = failures(&server.client, "case").await?;
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
