//! How long a stream keeps its records.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub(crate) const PATTERN: &str = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$";
/// [`PATTERN`] for people.
pub(crate) const FORM: &str =
    "is no duration: write hours, minutes or seconds in this order, such as 24h, 36h30m or 90s";
const MAX_CHARS: usize = 24;

/// The rule that holds retention to Kinesis' 24 hours to 365 days (API: `IncreaseStreamRetentionPeriod`).
/// It is named so that `millrace dev` can tell its refusal from others: there, a short retention is useful
/// to see one pass.
pub const RANGE_RULE: &str = "duration(self) >= duration('24h') && duration(self) <= duration('8760h')";

/// What the range rule says when it is broken.
pub const RANGE_MESSAGE: &str =
    "write a retention of 24h to 8760h (365 days), such as 24h, or 168h for seven days";

/// How long records are kept, as a duration of hours, minutes and seconds: `24h`, `168h`, `36h30m`.
///
/// A duration rather than a count of hours, so that one field serves clusters (24 h to 365 d, by a CEL rule)
/// and development (seconds), and since Kubernetes' own durations look like that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Retention(String);

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} {FORM}")]
pub struct InvalidRetention(String);

impl Retention {
    /// The duration that `text` writes.
    pub fn new(text: impl Into<String>) -> Retention {
        Retention(text.into())
    }

    /// This many seconds, in hours, minutes and seconds.
    pub fn of_seconds(seconds: u64) -> Retention {
        let parts = [(seconds / 3_600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
        let text: String = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        Retention(if text.is_empty() { "0s".to_owned() } else { text })
    }

    /// The duration as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The duration in seconds.
    ///
    /// # Errors
    /// When the text has another form, or is nothing at all.
    pub fn seconds(&self) -> Result<u64, InvalidRetention> {
        parse(&self.0).filter(|seconds| *seconds > 0).ok_or_else(|| InvalidRetention(self.0.clone()))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0u64;
    for (unit, length_s) in [('h', 3_600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(length_s)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(seconds)
}

impl JsonSchema for Retention {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Retention".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 2, "maxLength": MAX_CHARS, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_hours_minutes_and_seconds_in_this_order() {
        for (text, seconds) in [("24h", 86_400), ("36h30m", 131_400), ("90s", 90), ("1h1s", 3_601)] {
            assert_eq!(Retention::new(text).seconds(), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "0s", "h", "24", "7d", "1m1h", "-1h", "1.5h", "24h ", "99999999999999999999h"] {
            let error = Retention::new(text).seconds().expect_err(text);
            assert!(error.to_string().contains("such as 24h"), "{error}");
        }
    }
}
