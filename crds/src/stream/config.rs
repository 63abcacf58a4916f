//! From a Stream's spec to the configuration that brokers keep in the log.

use millrace_core::floor::InvalidTime;
use millrace_core::{
    Autoscaling as CoreAutoscaling, CapacityMode, Floor, Limits as CoreLimits, RecordSize, StreamConfig,
};

use super::{Autoscaling, Limits, Mode, StreamSpec};
use crate::quantity::InvalidQuantity;
use crate::retention::InvalidRetention;

/// Why a spec is no configuration. The API server's rules refuse all of these; a spec that got past them
/// (an older definition, a file) is refused here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number of shards is none that a stream can have.
    #[error("spec.capacity.{field}: {value} is no number of shards: write 1 to {max}", max = millrace_core::map::MAX_OPEN_SHARDS)]
    Shards {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        value: i32,
    },
    /// A rate is not above zero.
    #[error("spec.capacity.targetPerShard.{field}: {value} is no rate: write a number above zero")]
    Rate {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        value: i64,
    },
    /// `minShards` and `maxShards` contradict each other.
    #[error("spec.capacity.minShards: {min} is above maxShards, {max}: lower the one or raise the other")]
    Order {
        /// What stands in `minShards`.
        min: i32,
        /// What stands in `maxShards`.
        max: i32,
    },
    /// A window of the floor begins or ends at no time of day.
    #[error("spec.capacity.floor[{index}].{field}: {source}")]
    FloorTime {
        /// Its place in the list.
        index: usize,
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidTime,
    },
    /// A window of the floor asks for a number of shards that there can't be.
    #[error(
        "spec.capacity.floor[{index}].shards: {value} is no number of shards here: write 1 to {max_shards}, or raise \
         maxShards"
    )]
    FloorShards {
        /// Its place in the list.
        index: usize,
        /// What stands there.
        value: i32,
        /// The most shards of the stream.
        max_shards: u32,
    },
    /// A window of the floor is in a time zone that is not known. No rule can find that.
    #[error(
        "spec.capacity.floor[{index}].timeZone: the window {window} has no time zone that is known: {remedy}"
    )]
    FloorZone {
        /// Its place in the list.
        index: usize,
        /// The window, with its zone.
        window: String,
        /// What to do.
        remedy: String,
    },
    /// An amount of bytes can't be read.
    #[error("spec.{field}: {source}")]
    Quantity {
        /// The field's path below `spec`.
        field: &'static str,
        /// What is wrong with it.
        source: InvalidQuantity,
    },
    /// The size of a record is none that may be had.
    #[error("spec.maxRecordSize: {0} bytes is no size of a record: write 1Mi to 10Mi")]
    RecordSize(u64),
    /// The retention can't be read.
    #[error("spec.retention: {0}")]
    Retention(#[from] InvalidRetention),
}

impl StreamSpec {
    /// The configuration that this spec asks for.
    ///
    /// # Errors
    /// The first field that can't be, in a sentence that names it.
    pub fn config(&self) -> Result<StreamConfig, ConfigError> {
        let capacity = &self.capacity;
        let target = &capacity.target_per_shard;
        let (min, max) = (capacity.min_shards, capacity.max_shards);
        if min > max {
            return Err(ConfigError::Order { min, max });
        }
        let max_shards = shards("maxShards", max)?;
        let windows = capacity.floor.iter().enumerate();
        Ok(StreamConfig {
            mode: match capacity.mode {
                Mode::OnDemand => CapacityMode::OnDemand,
                Mode::Provisioned => CapacityMode::Provisioned,
            },
            shards: shards("shards", capacity.shards)?,
            min_shards: shards("minShards", min)?,
            max_shards,
            target_bytes_per_s: target
                .bytes_per_second
                .bytes()
                .map_err(|source| ConfigError::Quantity {
                    field: "capacity.targetPerShard.bytesPerSecond",
                    source,
                })
                .and_then(|bytes| match bytes {
                    0 => Err(ConfigError::Rate { field: "bytesPerSecond", value: 0 }),
                    _ => Ok(bytes),
                })?,
            target_records_per_s: u64::try_from(target.records_per_second)
                .ok()
                .filter(|rate| *rate > 0)
                .ok_or(ConfigError::Rate { field: "recordsPerSecond", value: target.records_per_second })?,
            retention_s: self.retention.seconds()?,
            quota_bytes: self
                .quota
                .bytes()
                .map_err(|source| ConfigError::Quantity { field: "quota", source })?,
            limits: match self.limits {
                Limits::Kinesis => CoreLimits::Kinesis,
                Limits::None => CoreLimits::None,
            },
            merge_after_s: u32::try_from(capacity.merge_after_seconds).unwrap_or(0),
            autoscaling: match capacity.autoscaling() {
                Autoscaling::Apply => CoreAutoscaling::Apply,
                Autoscaling::Recommend => CoreAutoscaling::Recommend,
                Autoscaling::Disabled => CoreAutoscaling::Disabled,
            },
            rescale: false,
            max_record: self
                .max_record_size
                .bytes()
                .map_err(|source| ConfigError::Quantity { field: "maxRecordSize", source })
                .and_then(record_size)?,
            floor: Floor(
                windows.map(|(index, window)| window.config(index, max_shards)).collect::<Result<_, _>>()?,
            ),
        })
    }
}

fn record_size(bytes: u64) -> Result<RecordSize, ConfigError> {
    u32::try_from(bytes)
        .ok()
        .map(RecordSize)
        .filter(|size| (RecordSize::MIN..=RecordSize::MAX).contains(size))
        .ok_or(ConfigError::RecordSize(bytes))
}

fn shards(field: &'static str, value: i32) -> Result<u32, ConfigError> {
    u32::try_from(value)
        .ok()
        .filter(|count| (1..=millrace_core::map::MAX_OPEN_SHARDS as u32).contains(count))
        .ok_or(ConfigError::Shards { field, value })
}
