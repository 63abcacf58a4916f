//! What a source's event source mapping is set to.

/// The most that one event may take, in bytes (Lambda's quota of a synchronous invocation).
pub const MAX_PAYLOAD_BYTES: usize = 6 << 20;

/// How records of a source become batches, and what becomes of batches that fail. Names, ranges and defaults are
/// those of Lambda's CreateEventSourceMapping, where not said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most records in a batch, 1 to 10,000.
    pub batch_size: usize,
    /// How long to gather records for a batch, in milliseconds, up to 300 s. 0: whatever is there is a batch.
    pub batching_window_ms: i64,
    /// How many batches of one shard may be worked on at once. Lambda takes 10 at most; here only memory bounds it.
    pub parallelization_factor: usize,
    /// How often a failed batch is tried again; `None`: until its records are too old.
    pub maximum_retry_attempts: Option<u32>,
    /// Records older than this are given up, in milliseconds; `None`: never.
    pub maximum_record_age_ms: Option<i64>,
    /// Whether a batch that fails is cut in two.
    pub bisect_batch_on_function_error: bool,
    /// Whether the function's answer names the records that failed.
    pub report_batch_item_failures: bool,
    /// The length of tumbling windows, in milliseconds, up to 900 s; `None`: there are no windows.
    pub tumbling_window_ms: Option<i64>,
    /// The most that an event may take, in bytes. A larger record comes alone, in a larger event.
    pub payload_bytes: usize,
    /// How much of a shard is held in memory beside the batches that are worked on, in bytes of events.
    pub buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch_size: 100,
            batching_window_ms: 0,
            parallelization_factor: 1,
            maximum_retry_attempts: None,
            maximum_record_age_ms: None,
            bisect_batch_on_function_error: false,
            report_batch_item_failures: false,
            tumbling_window_ms: None,
            payload_bytes: MAX_PAYLOAD_BYTES,
            buffer_bytes: 2 * MAX_PAYLOAD_BYTES,
        }
    }
}

/// Settings that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A number is out of its range.
    #[error("{name} is {found}: it may be {range}")]
    Range {
        /// The field, as resources name it.
        name: &'static str,
        /// What it is.
        found: i64,
        /// What it may be.
        range: &'static str,
    },
    /// Windows have one state for a shard, which two batches at once would both change.
    #[error("tumblingWindow and parallelizationFactor {0} can't be combined: set the factor to 1")]
    ParallelWindows(usize),
}

impl Settings {
    /// Looks whether the numbers are in their ranges.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let within = |name, found: i64, low: i64, high: i64, range| {
            let good = (low..=high).contains(&found);
            if good { Ok(()) } else { Err(SettingsError::Range { name, found, range }) }
        };
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        within("batchSize", number(self.batch_size), 1, 10_000, "1 to 10000")?;
        within("batchingWindow", self.batching_window_ms, 0, 300_000, "0 to 300000 ms")?;
        within("parallelizationFactor", number(self.parallelization_factor), 1, 1_000, "1 to 1000")?;
        if let Some(retries) = self.maximum_retry_attempts {
            within(
                "maximumRetryAttempts",
                retries.into(),
                0,
                10_000,
                "0 to 10000, or left out for no limit",
            )?;
        }
        if let Some(age_ms) = self.maximum_record_age_ms {
            within(
                "maximumRecordAge",
                age_ms,
                60_000,
                604_800_000,
                "60 s to 7 days, or left out for no limit",
            )?;
        }
        if let Some(window_ms) = self.tumbling_window_ms {
            let range = "1 to 900 s, in whole seconds";
            within("tumblingWindow", window_ms, 1_000, 900_000, range)?;
            within("tumblingWindow", window_ms % 1_000, 0, 0, range)?;
            if self.parallelization_factor > 1 {
                return Err(SettingsError::ParallelWindows(self.parallelization_factor));
            }
        }
        Ok(())
    }
}
