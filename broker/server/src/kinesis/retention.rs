//! `IncreaseStreamRetentionPeriod`, `DecreaseStreamRetentionPeriod`.

use millrace_core::StreamConfig;
use serde::Deserialize;

use super::Call;
use super::check::Checks;
use super::error::ApiError;
use super::input::{Text, as_str};

/// What a stream may keep its records for, in hours (Kinesis API, `IncreaseStreamRetentionPeriod`).
const MIN_HOURS: i64 = 24;
const MAX_HOURS: i64 = 8_760;
const HOUR_S: u64 = 3_600;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RetentionInput<'a> {
    retention_period_hours: Option<i64>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Longer,
    Shorter,
}

pub(super) async fn increase(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    change(call, body, Direction::Longer).await
}

pub(super) async fn decrease(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    change(call, body, Direction::Shorter).await
}

async fn change(call: &Call<'_>, body: &[u8], direction: Direction) -> Result<Vec<u8>, ApiError> {
    let input: RetentionInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("retentionPeriodHours", input.retention_period_hours);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let hours = input.retention_period_hours.unwrap_or_default();
    let wanted_s = wanted(hours, stream.entry.config.retention_s, direction, &stream.name)?;
    let change = |config: &mut StreamConfig| {
        // Somebody else may have changed it meanwhile: never the other way than the operation says.
        config.retention_s = match direction {
            Direction::Longer => config.retention_s.max(wanted_s),
            Direction::Shorter => config.retention_s.min(wanted_s),
        };
    };
    call.configure(&stream, change).await?;
    Ok(Vec::new())
}

/// The retention that is asked for, in seconds, if a stream that has `now_s` may get it.
fn wanted(hours: i64, now_s: u64, direction: Direction, stream: &str) -> Result<u64, ApiError> {
    if hours < MIN_HOURS {
        return Err(ApiError::invalid_argument(format!(
            "Minimum allowed retention period is {MIN_HOURS} hours. Requested retention period ({hours} hours) \
             is too short."
        )));
    }
    if hours > MAX_HOURS {
        return Err(ApiError::invalid_argument(format!(
            "Maximum allowed retention period is {MAX_HOURS} hours. Requested retention period ({hours} hours) \
             is too long."
        )));
    }
    let wanted_s = hours.unsigned_abs() * HOUR_S;
    let (wrong, than, other) = match direction {
        Direction::Longer => (wanted_s < now_s, "shorter", "DecreaseRetentionPeriod"),
        Direction::Shorter => (wanted_s > now_s, "longer", "IncreaseRetentionPeriod"),
    };
    if wrong {
        return Err(ApiError::invalid_argument(format!(
            "Requested retention period ({hours} hours) for stream {stream} can not be {than} than existing \
             retention period ({} hours). Use {other} API.",
            now_s.div_ceil(HOUR_S)
        )));
    }
    Ok(wanted_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_lies_between_a_day_and_a_year() {
        let day_s = 24 * HOUR_S;
        assert_eq!(wanted(24, day_s, Direction::Longer, "s"), Ok(day_s));
        assert_eq!(wanted(8_760, day_s, Direction::Longer, "s"), Ok(365 * day_s));
        for hours in [i64::MIN, -1, 0, 23, 8_761, i64::MAX] {
            let error = wanted(hours, day_s, Direction::Longer, "s").unwrap_err();
            assert_eq!(error.name, "InvalidArgumentException");
        }
    }

    #[test]
    fn each_operation_goes_its_own_way_only() {
        let two_days_s = 48 * HOUR_S;
        assert!(wanted(47, two_days_s, Direction::Longer, "s").unwrap_err().message.contains("shorter than"));
        assert!(wanted(49, two_days_s, Direction::Shorter, "s").unwrap_err().message.contains("longer than"));
        assert!(wanted(48, two_days_s, Direction::Shorter, "s").is_ok());
    }
}
