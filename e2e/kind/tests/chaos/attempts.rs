//! What a load's file says: one line for each attempt to store a record.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// One attempt, as `clients/load.py` writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Attempt(
    /// When it began and when it ended, in Unix seconds.
    f64,
    f64,
    // The record: which run it is of, its key and number of the key, and which attempt at it this is.
    IgnoredAny,
    u32,
    u64,
    IgnoredAny,
    // The shard and the sequence number, when it was acknowledged.
    Option<String>,
    IgnoredAny,
    /// What went wrong, when it was not.
    Option<String>,
);

/// What Kinesis answers when a shard has more than it takes.
const THROTTLED: &str = "ProvisionedThroughputExceededException";
/// A call that takes longer than this has waited for something.
const WAITED_S: f64 = 1.0;

/// All attempts so far.
pub(crate) struct Attempts(Vec<Attempt>);

impl Attempts {
    /// Those that the file holds now. Its last line may be half written.
    pub(crate) fn read(file: &Path) -> Result<Attempts> {
        let text = std::fs::read_to_string(file).context("what load.py writes")?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let attempts = whole.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Attempts(attempts?))
    }

    fn last(&self, seconds: f64) -> impl Iterator<Item = &Attempt> {
        let end = self.0.iter().map(|attempt| attempt.1).fold(0.0, f64::max);
        self.0.iter().filter(move |attempt| attempt.1 > end - seconds)
    }

    /// The rate of the shard that has taken most in the last seconds, in records a second.
    pub(crate) fn busiest_shard(&self, seconds: f64) -> f64 {
        let mut taken: HashMap<&str, u32> = HashMap::new();
        for attempt in self.last(seconds) {
            if let Some(shard) = &attempt.6 {
                *taken.entry(shard).or_default() += 1;
            }
        }
        f64::from(taken.values().copied().max().unwrap_or(0)) / seconds
    }

    /// How many attempts of the last seconds were refused.
    pub(crate) fn refused(&self, seconds: f64) -> usize {
        self.last(seconds).filter(|attempt| attempt.8.is_some()).count()
    }

    /// How long after `from` the last record is acknowledged that failed or waited because of what happened then, in
    /// seconds; 0 if none did. Only what began before `until` counts. Throttling is the autoscaler's affair.
    pub(crate) fn recovery(&self, from: f64, until: f64) -> f64 {
        let hindered = |attempt: &&Attempt| {
            let failed = attempt.8.as_ref().is_some_and(|error| error != THROTTLED);
            attempt.1 > from && attempt.0 < until && (failed || attempt.1 - attempt.0 > WAITED_S)
        };
        let records: std::collections::HashSet<_> =
            self.0.iter().filter(hindered).map(|attempt| (attempt.3, attempt.4)).collect();
        let acknowledged = |attempt: &&Attempt| attempt.8.is_none() && attempt.1 > from;
        let hindered = self.0.iter().filter(acknowledged);
        let ends =
            hindered.filter(|attempt| records.contains(&(attempt.3, attempt.4))).map(|attempt| attempt.1);
        ends.fold(from, f64::max) - from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(lines: &[&str]) -> Attempts {
        Attempts(lines.iter().map(|line| serde_json::from_str(line).expect("an attempt")).collect())
    }

    #[test]
    fn a_recovery_ends_when_what_had_failed_or_waited_is_acknowledged() {
        let seen = attempts(&[
            r#"[1.0, 1.1, "r", 1, 0, 0, "s", "1", null]"#,
            r#"[2.0, 2.5, "r", 1, 1, 0, null, null, "InternalFailure"]"#,
            r#"[2.1, 3.9, "r", 2, 0, 0, "s", "2", null]"#,
            r#"[2.2, 2.3, "r", 3, 0, 0, null, null, "ProvisionedThroughputExceededException"]"#,
            r#"[4.0, 4.5, "r", 1, 1, 1, "s", "3", null]"#,
            r#"[8.0, 8.5, "r", 3, 0, 1, "s", "4", null]"#,
        ]);
        assert_eq!(seen.recovery(1.5, 6.0), 3.0);
        assert_eq!(seen.recovery(6.0, 9.0), 0.0);
    }

    #[test]
    fn the_busiest_shard_is_found_among_the_last_seconds() {
        let seen = attempts(&[
            r#"[1.0, 1.1, "r", 1, 0, 0, "old", "1", null]"#,
            r#"[8.0, 8.5, "r", 1, 1, 0, "a", "2", null]"#,
            r#"[9.0, 9.5, "r", 1, 2, 0, "b", "3", null]"#,
            r#"[9.0, 9.6, "r", 2, 0, 0, "b", "4", null]"#,
            r#"[9.0, 9.6, "r", 3, 0, 0, null, null, "InternalFailure"]"#,
        ]);
        assert_eq!((seen.busiest_shard(2.0), seen.refused(2.0)), (1.0, 1));
    }
}
