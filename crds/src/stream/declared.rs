//! From the configuration that brokers keep in the log to a Stream's spec: the way back of [`StreamSpec::config`].

use millrace_core::{Autoscaling as CoreAutoscaling, CapacityMode, Limits as CoreLimits, StreamConfig};

use super::{Autoscaling, Capacity, ConfigError, FloorWindow, Limits, Mode, ShardTarget, StreamSpec};
use crate::quantity::ByteQuantity;
use crate::retention::Retention;

impl StreamSpec {
    /// A spec that asks for this configuration; name, Broker and deletion policy are the defaults. `rescale` is
    /// left out: it is the log's own note. A Provisioned stream's shards are not scaled by themselves, whatever
    /// the configuration says of that.
    pub fn of(config: &StreamConfig) -> StreamSpec {
        let mode = match config.mode {
            CapacityMode::OnDemand => Mode::OnDemand,
            CapacityMode::Provisioned => Mode::Provisioned,
        };
        let autoscaling = match (mode, config.autoscaling) {
            (Mode::OnDemand, CoreAutoscaling::Apply)
            | (Mode::Provisioned, CoreAutoscaling::Apply | CoreAutoscaling::Disabled) => None,
            (_, CoreAutoscaling::Recommend) => Some(Autoscaling::Recommend),
            (Mode::OnDemand, CoreAutoscaling::Disabled) => Some(Autoscaling::Disabled),
        };
        StreamSpec {
            capacity: Capacity {
                mode,
                shards: number(config.shards),
                min_shards: number(config.min_shards),
                max_shards: number(config.max_shards),
                floor: config.floor.0.iter().map(FloorWindow::of).collect(),
                target_per_shard: ShardTarget {
                    bytes_per_second: ByteQuantity::of_bytes(config.target_bytes_per_s),
                    records_per_second: i64::try_from(config.target_records_per_s).unwrap_or(i64::MAX),
                },
                merge_after_seconds: number(config.merge_after_s),
                autoscaling,
            },
            retention: Retention::of_seconds(config.retention_s),
            quota: ByteQuantity::of_bytes(config.quota_bytes),
            max_record_size: ByteQuantity::of_bytes(u64::from(config.max_record.0)),
            limits: match config.limits {
                CoreLimits::Kinesis => Limits::Kinesis,
                CoreLimits::None => Limits::None,
            },
            ..StreamSpec::default()
        }
    }

    /// This spec with what `change` makes of its configuration. Fields that ask for the same as before stay as
    /// their user wrote them.
    ///
    /// # Errors
    /// When this spec is no configuration.
    pub fn changed(&self, change: impl FnOnce(&mut StreamConfig)) -> Result<StreamSpec, ConfigError> {
        let before = self.config()?;
        let mut after = before.clone();
        change(&mut after);
        let wanted = StreamSpec::of(&after);
        let mut spec = self.clone();
        let (capacity, to) = (&mut spec.capacity, wanted.capacity);
        replace(&mut capacity.mode, to.mode, before.mode == after.mode);
        replace(&mut capacity.shards, to.shards, before.shards == after.shards);
        replace(&mut capacity.min_shards, to.min_shards, before.min_shards == after.min_shards);
        replace(&mut capacity.max_shards, to.max_shards, before.max_shards == after.max_shards);
        replace(&mut capacity.floor, to.floor, before.floor == after.floor);
        let (target, to_target) = (&mut capacity.target_per_shard, to.target_per_shard);
        let same = before.target_bytes_per_s == after.target_bytes_per_s;
        replace(&mut target.bytes_per_second, to_target.bytes_per_second, same);
        let same = before.target_records_per_s == after.target_records_per_s;
        replace(&mut target.records_per_second, to_target.records_per_second, same);
        let same = before.merge_after_s == after.merge_after_s;
        replace(&mut capacity.merge_after_seconds, to.merge_after_seconds, same);
        let same = (before.mode, before.autoscaling) == (after.mode, after.autoscaling);
        replace(&mut capacity.autoscaling, to.autoscaling, same);
        replace(&mut spec.retention, wanted.retention, before.retention_s == after.retention_s);
        replace(&mut spec.quota, wanted.quota, before.quota_bytes == after.quota_bytes);
        replace(&mut spec.max_record_size, wanted.max_record_size, before.max_record == after.max_record);
        replace(&mut spec.limits, wanted.limits, before.limits == after.limits);
        Ok(spec)
    }
}

fn replace<T>(field: &mut T, value: T, same: bool) {
    if !same {
        *field = value;
    }
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Day;
    use super::*;
    use millrace_core::Floor;
    use millrace_core::floor::{Days, TimeOfDay};
    use proptest::prelude::*;

    prop_compose! {
        fn windows(max_shards: u32)(
            times in (0u16..1_440, 0u16..1_440), days in prop::collection::vec(0usize..7, 1..8), utc in any::<bool>(),
            shards in 1..=max_shards
        ) -> millrace_core::FloorWindow {
            let [start, end] = [times.0, times.1].map(|minutes| TimeOfDay::of_minutes(minutes).expect("within a day"));
            let week: Vec<_> = Days::EVERY.iter().collect();
            let days = days.into_iter().map(|day| week[day]).collect();
            let time_zone = if utc { "UTC" } else { "Europe/Berlin" }.to_owned();
            millrace_core::FloorWindow { start, end, days, time_zone, shards }
        }
    }

    prop_compose! {
        fn configs()(config in configs_without_a_floor())(
            windows in prop::collection::vec(windows(config.max_shards), 0..4), config in Just(config)
        ) -> StreamConfig {
            StreamConfig { floor: Floor(windows), ..config }
        }
    }

    prop_compose! {
        fn configs_without_a_floor()(
            provisioned in any::<bool>(), shards in 1u32..=8_000, bounds in (1u32..=8_000, 1u32..=8_000),
            target_bytes_per_s in 1u64 << 10..=1 << 30, target_records_per_s in 1u64..=1_000_000,
            retention_s in 1u64..=8_760 * 3_600, quota_bytes in 64u64 << 20..1 << 62, limited in any::<bool>(),
            merge_after_s in 1u32..=86_400, autoscaling in 0..3, max_record in 1u32 << 20..=10 << 20
        ) -> StreamConfig {
            StreamConfig {
                mode: if provisioned { CapacityMode::Provisioned } else { CapacityMode::OnDemand },
                shards,
                min_shards: bounds.0.min(bounds.1),
                max_shards: bounds.0.max(bounds.1),
                target_bytes_per_s,
                target_records_per_s,
                retention_s,
                quota_bytes,
                limits: if limited { CoreLimits::Kinesis } else { CoreLimits::None },
                merge_after_s,
                autoscaling: match autoscaling {
                    0 if !provisioned => CoreAutoscaling::Apply,
                    1 => CoreAutoscaling::Recommend,
                    _ => CoreAutoscaling::Disabled,
                },
                rescale: false,
                max_record: millrace_core::RecordSize(max_record),
                floor: Floor::default(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_configuration_is_the_same_by_way_of_a_spec(config in configs()) {
            prop_assert_eq!(StreamSpec::of(&config).config(), Ok(config));
        }

        #[test]
        fn a_changed_spec_asks_for_the_changed_configuration(before in configs(), after in configs()) {
            let changed = StreamSpec::of(&before).changed(|config| *config = after.clone());
            prop_assert_eq!(changed.and_then(|spec| spec.config()), Ok(after));
        }
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let spec = StreamSpec {
            stream_name: Some("Orders".into()),
            retention: Retention::new("1440m"),
            quota: ByteQuantity::new("1024Mi"),
            ..StreamSpec::default()
        };
        let changed = spec.changed(|config| config.shards = 9).expect("a configuration");
        let capacity = Capacity { shards: 9, ..spec.capacity.clone() };
        assert_eq!(changed, StreamSpec { capacity, ..spec });
    }

    #[test]
    fn a_floor_is_written_as_it_was_read() {
        let window = |days: &[Day]| FloorWindow {
            start: "22:00".to_owned(),
            end: "06:00".to_owned(),
            days: days.to_vec(),
            time_zone: "Europe/Berlin".to_owned(),
            shards: 20,
        };
        let floor = vec![window(&[]), window(&[Day::Mon, Day::Sun])];
        let spec =
            StreamSpec { capacity: Capacity { floor, ..Capacity::default() }, ..StreamSpec::default() };
        let config = spec.config().expect("a configuration");
        assert_eq!(StreamSpec::of(&config).capacity, spec.capacity);
        assert_eq!(config.floor.0[1].to_string(), "Mon,Sun 22:00-06:00 Europe/Berlin");
        let longer = spec.changed(|config| config.retention_s *= 2).expect("a configuration");
        assert_eq!(longer.capacity, spec.capacity);
    }

    #[test]
    fn amounts_and_durations_are_written_as_a_person_would() {
        let spec = StreamSpec::of(&StreamConfig { retention_s: 48 * 3_600, ..StreamConfig::default() });
        assert_eq!((spec.quota.as_str(), spec.retention.as_str()), ("1Gi", "48h"));
        assert_eq!(ByteQuantity::of_bytes(1_500).as_str(), "1500");
        assert_eq!(Retention::of_seconds(86_461).as_str(), "24h1m1s");
    }
}
