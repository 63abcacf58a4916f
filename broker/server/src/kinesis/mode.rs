//! What a stream is made for: `UpdateStreamMode`, `UpdateMaxRecordSize`, `UpdateStreamWarmThroughput`,
//! `UpdateStreamRecordDistributionStrategy`.

use millrace_core::attributes::Distribution;
use millrace_core::{Autoscaling, CapacityMode, Limits, RecordSize, StreamConfig};
use serde::{Deserialize, Serialize};

use super::Call;
use super::check::Checks;
use super::describe::open_shards;
use super::error::ApiError;
use super::input::{Text, as_str};
use super::streams::ModeInput;
use crate::broker::Stream;

/// The most warm throughput of a stream, in MiB a second (Kinesis API, `UpdateStreamWarmThroughput`).
const MAX_WARM_MIB_PER_S: i64 = 10_240;
pub(super) const STRATEGIES: [&str; 2] = ["AUTO", "USER_PARTITION_KEY"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeChangeInput<'a> {
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<i64>,
    #[serde(borrow)]
    record_distribution_strategy: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_mode_details: Option<ModeInput<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(rename = "WarmThroughputMiBps")]
    warm_throughput: Option<i64>,
}

/// The strategy of this name, which was checked.
pub(super) fn distribution(strategy: &str) -> Distribution {
    match strategy {
        "AUTO" => Distribution::Even,
        _ => Distribution::PartitionKey,
    }
}

/// The strategy's name.
pub(super) fn strategy(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::Even => "AUTO",
        Distribution::PartitionKey => "USER_PARTITION_KEY",
    }
}

/// The size of a record that is given in KiB and was checked.
pub(super) fn record_size(kib: i64) -> RecordSize {
    let bytes = kib.saturating_mul(1_024).clamp(i64::from(RecordSize::MIN.0), i64::from(RecordSize::MAX.0));
    RecordSize(bytes as u32)
}

/// Whether warm throughput of this much can be had.
pub(super) async fn warm_throughput(call: &Call<'_>, mib_per_s: i64) -> Result<u32, ApiError> {
    if mib_per_s > MAX_WARM_MIB_PER_S {
        return Err(ApiError::limit_exceeded(format!(
            "WarmThroughputMiBps {mib_per_s} is above {MAX_WARM_MIB_PER_S}, the most that a stream can have."
        )));
    }
    if !call.account_settings().await?.is_committed(call.now_ms) {
        return Err(ApiError::invalid_argument(format!(
            "Warm throughput is for accounts with MinimumThroughputBillingCommitment, and account {} has not enabled \
             it.",
            call.account
        )));
    }
    Ok(u32::try_from(mib_per_s).unwrap_or(0))
}

pub(super) async fn update_stream_mode(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ModeChangeInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("streamARN", input.stream_arn.as_ref());
    checks.stream(None, as_str(&input.stream_arn));
    checks.required("streamModeDetails", input.stream_mode_details.as_ref());
    if let Some(details) = &input.stream_mode_details {
        details.check(&mut checks);
    }
    checks.number("warmThroughputMiBps", input.warm_throughput, 0, i64::MAX);
    checks.finish()?;
    let stream = call.active_stream(None, as_str(&input.stream_arn))?;
    let mode = input.stream_mode_details.as_ref().map_or(CapacityMode::Provisioned, ModeInput::mode);
    let warm = match (mode, input.warm_throughput) {
        (_, None) => None,
        (CapacityMode::OnDemand, Some(mib_per_s)) => Some(warm_throughput(call, mib_per_s).await?),
        (CapacityMode::Provisioned, Some(_)) => {
            return Err(ApiError::invalid_argument(
                "WarmThroughputMiBps is valid only when the stream's mode is updated to ON_DEMAND.",
            ));
        }
    };
    let config = &stream.entry.config;
    if mode == CapacityMode::Provisioned && !config.floor.is_empty() {
        return Err(ApiError::invalid_argument(format!(
            "Stream {} under account {} has a floor (spec.capacity.floor of its Stream resource), which is for streams \
             in ON_DEMAND mode only: take it away first.",
            stream.name, call.account
        )));
    }
    let counted = mode != config.mode && config.limits == Limits::Kinesis;
    if counted && !call.kinesis.modes.admit(&stream.entry.data, call.now_ms) {
        return Err(ApiError::limit_exceeded(format!(
            "The capacity mode of a stream can be switched twice in 24 hours: stream {} under account {}.",
            stream.name, call.account
        )));
    }
    let open = u32::try_from(open_shards(&stream)).unwrap_or(u32::MAX);
    call.configure(&stream, move |config| switch(config, mode, open)).await?;
    call.change_attributes(&stream, |kept| {
        match mode {
            CapacityMode::OnDemand => kept.warm_mib_per_s = warm.or(kept.warm_mib_per_s),
            // These are for streams whose shards follow their load.
            CapacityMode::Provisioned => {
                kept.warm_mib_per_s = None;
                kept.distribution = Distribution::PartitionKey;
            }
        }
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

/// Hands the count of shards over to the other one who decides it, and leaves it as it is: `open` shards.
fn switch(config: &mut StreamConfig, mode: CapacityMode, open: u32) {
    if config.mode == mode {
        return;
    }
    config.mode = mode;
    config.shards = open.max(1);
    config.rescale = false;
    config.autoscaling = match mode {
        CapacityMode::Provisioned => Autoscaling::Disabled,
        CapacityMode::OnDemand => {
            config.min_shards = config.min_shards.min(config.shards);
            config.max_shards = config.max_shards.max(config.shards);
            Autoscaling::Apply
        }
    };
}

pub(super) async fn update_max_record_size(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ModeChangeInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("maxRecordSizeInKiB", input.max_record_size_in_kib);
    checks.record_size(input.max_record_size_in_kib);
    checks.stream(None, as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.active_stream(None, as_str(&input.stream_arn))?;
    let size = record_size(input.max_record_size_in_kib.unwrap_or_default());
    call.configure(&stream, move |config| config.max_record = size).await?;
    Ok(Vec::new())
}

/// Warm throughput as it is told: what is asked for is there at once.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughput {
    #[serde(rename = "TargetMiBps")]
    target: u32,
    #[serde(rename = "CurrentMiBps")]
    current: u32,
}

impl WarmThroughput {
    pub(super) fn of(stream: &Stream) -> Option<WarmThroughput> {
        stream.attributes.warm_mib_per_s.map(WarmThroughput::from)
    }
}

impl From<u32> for WarmThroughput {
    fn from(mib_per_s: u32) -> WarmThroughput {
        WarmThroughput { target: mib_per_s, current: mib_per_s }
    }
}

pub(super) async fn update_warm_throughput(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        #[serde(rename = "StreamARN")]
        stream_arn: String,
        stream_name: &'a str,
        warm_throughput: WarmThroughput,
    }
    let input: ModeChangeInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.required("warmThroughputMiBps", input.warm_throughput);
    checks.number("warmThroughputMiBps", input.warm_throughput, 0, i64::MAX);
    checks.finish()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    if stream.entry.config.mode == CapacityMode::Provisioned {
        return Err(ApiError::validation(format!(
            "Request is invalid. Stream {} under account {} is in Provisioned mode.",
            stream.name, call.account
        )));
    }
    let mib_per_s = warm_throughput(call, input.warm_throughput.unwrap_or_default()).await?;
    call.change_attributes(&stream, |kept| {
        kept.warm_mib_per_s = Some(mib_per_s);
        Ok(())
    })
    .await?;
    call.format.write(&Output {
        stream_arn: call.stream_arn(&stream.name),
        stream_name: &stream.name,
        warm_throughput: mib_per_s.into(),
    })
}

pub(super) async fn update_distribution(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ModeChangeInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    let strategy = as_str(&input.record_distribution_strategy);
    checks.required("recordDistributionStrategy", strategy);
    checks.one_of("recordDistributionStrategy", strategy, &STRATEGIES);
    checks.required("streamARN", input.stream_arn.as_ref());
    checks.stream(None, as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.active_stream(None, as_str(&input.stream_arn))?;
    let wanted = distribution(strategy.unwrap_or_default());
    if wanted == Distribution::Even && stream.entry.config.mode == CapacityMode::Provisioned {
        return Err(ApiError::invalid_argument(format!(
            "RecordDistributionStrategy AUTO is for streams in ON_DEMAND mode only, and stream {} under account {} is \
             in PROVISIONED mode.",
            stream.name, call.account
        )));
    }
    call.change_attributes(&stream, |kept| {
        kept.distribution = wanted;
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_changes_its_mode_keeps_the_shards_that_it_has() {
        let mut config = StreamConfig { min_shards: 4, max_shards: 8, ..StreamConfig::default() };
        switch(&mut config, CapacityMode::Provisioned, 11);
        assert_eq!((config.shards, config.rescale, config.autoscaling), (11, false, Autoscaling::Disabled));
        switch(&mut config, CapacityMode::OnDemand, 2);
        assert_eq!((config.shards, config.min_shards, config.max_shards), (2, 2, 8));
        assert_eq!(config.autoscaling, Autoscaling::Apply);
        let before = config.clone();
        switch(&mut config, CapacityMode::OnDemand, 5);
        assert_eq!(config, before);
    }

    #[test]
    fn a_record_size_is_kept_in_bytes() {
        assert_eq!((record_size(1_024), record_size(10_240)), (RecordSize::MIN, RecordSize::MAX));
        assert_eq!(record_size(1_500).kib(), 1_500);
    }
}
