//! What an account may have: `DescribeLimits`, `DescribeAccountSettings`, `UpdateAccountSettings`.

use millrace_core::{AccountSettings, CapacityMode};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::Checks;
use super::describe::open_shards;
use super::error::ApiError;
use super::input::{Text, Timestamp, as_str};

/// An account may have as many shards and streams as its log holds; the model can't name more than this.
const UNBOUNDED: usize = 1_000_000;

pub(super) fn describe_limits(call: &Call<'_>) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        on_demand_stream_count: usize,
        on_demand_stream_count_limit: usize,
        open_shard_count: usize,
        shard_limit: usize,
    }
    let streams = call.broker().streams(call.namespace());
    let on_demand = streams.iter().filter(|stream| stream.entry.config.mode == CapacityMode::OnDemand);
    call.format.write(&Output {
        on_demand_stream_count: on_demand.count().min(UNBOUNDED),
        on_demand_stream_count_limit: UNBOUNDED,
        open_shard_count: streams.iter().map(|stream| open_shards(stream)).sum::<usize>().min(UNBOUNDED),
        shard_limit: UNBOUNDED,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SettingsOutput {
    minimum_throughput_billing_commitment: Commitment,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Commitment {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_allowed_end_at: Option<Timestamp>,
}

/// An account's settings as they are told at a time.
fn shown(settings: &AccountSettings, now_ms: i64) -> SettingsOutput {
    let time = |ms: Option<i64>| ms.map(|ms| Timestamp { ms });
    let committed = settings.is_committed(now_ms);
    SettingsOutput {
        minimum_throughput_billing_commitment: Commitment {
            status: match (committed, settings.ends_ms) {
                (false, _) => "DISABLED",
                (true, None) => "ENABLED",
                (true, Some(_)) => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
            },
            started_at: time(settings.started_ms),
            ended_at: time(settings.ends_ms.filter(|_| !committed)),
            earliest_allowed_end_at: time(settings.earliest_end_ms().filter(|_| committed)),
        },
    }
}

pub(super) async fn describe_account_settings(call: &Call<'_>) -> Result<Vec<u8>, ApiError> {
    let settings = call.account_settings().await?;
    call.format.write(&shown(&settings, call.now_ms))
}

pub(super) async fn update_account_settings(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input<'a> {
        #[serde(borrow)]
        minimum_throughput_billing_commitment: Option<CommitmentInput<'a>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct CommitmentInput<'a> {
        #[serde(borrow)]
        status: Option<Text<'a>>,
    }
    let input: Input<'_> = call.format.read(body)?;
    let at = "minimumThroughputBillingCommitment";
    let commitment = input.minimum_throughput_billing_commitment.as_ref();
    let status = commitment.and_then(|commitment| as_str(&commitment.status));
    let mut checks = Checks::default();
    checks.required(at, commitment);
    if commitment.is_some() {
        checks.required(&format!("{at}.status"), status);
        checks.one_of(&format!("{at}.status"), status, &["ENABLED", "DISABLED"]);
    }
    checks.finish()?;
    let now_ms = call.now_ms;
    let change = |settings: &mut AccountSettings| match status {
        Some("ENABLED") => settings.commit(now_ms),
        _ => settings.release(now_ms),
    };
    let changed = call.broker().change_account_settings(call.namespace(), change).await;
    let settings = changed.map_err(|error| ApiError::of_control(&error, "", &call.account))?;
    call.format.write(&shown(&settings, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_commitment_is_told_with_the_times_that_matter() {
        let told = |settings: AccountSettings, now_ms: i64| {
            serde_json::to_value(shown(&settings, now_ms)).unwrap()["MinimumThroughputBillingCommitment"]
                .clone()
        };
        assert_eq!(told(AccountSettings::default(), 0), json!({"Status": "DISABLED"}));
        let mut settings = AccountSettings::default();
        settings.commit(1_000);
        let earliest = json!({"Status": "ENABLED", "StartedAt": 1.0, "EarliestAllowedEndAt": 86_401.0});
        assert_eq!(told(settings, 2_000), earliest);
        settings.release(2_000);
        assert_eq!(told(settings, 2_000)["Status"], "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
        let ended = json!({"Status": "DISABLED", "StartedAt": 1.0, "EndedAt": 86_401.0});
        assert_eq!(told(settings, 86_401_000), ended);
    }
}
