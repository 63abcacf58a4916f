//! `EnableEnhancedMonitoring`, `DisableEnhancedMonitoring`: which metrics are asked for by shard. They are kept and
//! told; a broker's figures are those of `GET /metrics`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Call;
use super::check::Checks;
use super::error::ApiError;
use super::input::{Text, as_str};

/// All metrics that there are by shard.
const METRICS: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "OutgoingBytes",
    "OutgoingRecords",
    "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded",
    "IteratorAgeMilliseconds",
];
/// Stands for all of them.
const ALL: &str = "ALL";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MonitoringInput<'a> {
    #[serde(borrow)]
    shard_level_metrics: Option<Vec<Text<'a>>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

impl MonitoringInput<'_> {
    /// The metrics that are meant.
    fn metrics(&self) -> Result<BTreeSet<String>, ApiError> {
        let mut checks = Checks::default();
        checks.required("shardLevelMetrics", self.shard_level_metrics.as_ref());
        let named: Vec<&str> =
            self.shard_level_metrics.iter().flatten().take(METRICS.len() + 1).map(Text::as_str).collect();
        if let Some(metrics) = &self.shard_level_metrics {
            let quoted = format!("[{}]", named.join(", "));
            checks.length("shardLevelMetrics", &quoted, metrics.len(), 1, METRICS.len());
            if named.iter().any(|name| *name != ALL && !METRICS.contains(name)) {
                let constraint = format!(
                    "Member must satisfy constraint: [Member must satisfy enum value set: [{}, {ALL}]]",
                    METRICS.join(", ")
                );
                checks.violated("shardLevelMetrics", Some(&quoted), constraint);
            }
        }
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        checks.finish()?;
        let meant = if named.contains(&ALL) { METRICS.to_vec() } else { named };
        Ok(meant.into_iter().map(str::to_owned).collect())
    }
}

pub(super) async fn enable(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    change(call, body, |monitored, metrics| monitored.extend(metrics.iter().cloned())).await
}

pub(super) async fn disable(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    change(call, body, |monitored, metrics| monitored.retain(|metric| !metrics.contains(metric))).await
}

async fn change(
    call: &Call<'_>,
    body: &[u8],
    apply: impl Fn(&mut BTreeSet<String>, &BTreeSet<String>) + Send + Sync,
) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        current_shard_level_metrics: BTreeSet<String>,
        desired_shard_level_metrics: BTreeSet<String>,
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        stream_name: &'a str,
    }
    let input: MonitoringInput<'_> = call.format.read(body)?;
    let metrics = input.metrics()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let (current, desired) = call
        .change_attributes(&stream, |kept| {
            let current = kept.monitored.clone();
            apply(&mut kept.monitored, &metrics);
            Ok((current, kept.monitored.clone()))
        })
        .await?;
    call.format.write(&Output {
        current_shard_level_metrics: current,
        desired_shard_level_metrics: desired,
        stream_arn: call.stream_arn(&stream.name),
        stream_name: &stream.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;

    fn metrics(body: &str) -> Result<BTreeSet<String>, ApiError> {
        Format::Json.read::<MonitoringInput<'_>>(body.as_bytes())?.metrics()
    }

    #[test]
    fn all_stands_for_each_metric_and_none_other_is_known() {
        let all = metrics(r#"{"StreamName":"s","ShardLevelMetrics":["ALL","IncomingBytes"]}"#).unwrap();
        assert_eq!(all.len(), METRICS.len());
        let one = metrics(r#"{"StreamName":"s","ShardLevelMetrics":["IncomingBytes"]}"#).unwrap();
        assert_eq!(one, BTreeSet::from(["IncomingBytes".to_owned()]));
        for bad in ["{}", r#"{"ShardLevelMetrics":[]}"#, r#"{"ShardLevelMetrics":["Other"]}"#] {
            assert_eq!(metrics(bad).unwrap_err().name, "ValidationException", "{bad}");
        }
    }
}
