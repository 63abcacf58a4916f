//! What a function answers to a batch.

use std::collections::BTreeMap;

use millrace_core::SequenceNumber;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An answer that is a failure of the whole batch, though the function did not fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not JSON.
    #[error("the function's answer is not JSON: {0}")]
    NotJson(String),
    /// `batchItemFailures` is no list of objects.
    #[error("batchItemFailures in the function's answer is not a list of objects with itemIdentifier")]
    NoList,
    /// An `itemIdentifier` is missing, or not the sequence number of a record in the batch.
    #[error(
        "itemIdentifier {0} in the function's answer is not the sequence number of a record in the batch"
    )]
    UnknownItem(String),
    /// A window's answer has no `state` that is an object.
    #[error(
        "the function's answer has no state: in a tumbling window it is an object {{\"state\": {{...}}}}"
    )]
    NoState,
}

/// How a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchAnswer {
    /// All records are done.
    Done,
    /// The records before this one are done.
    FailedFrom(SequenceNumber),
}

/// How a batch of a tumbling window went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowAnswer {
    /// Which records are done.
    pub batch: BatchAnswer,
    /// The new state, a JSON object; none where the answer to a final invocation has none.
    pub state: Option<Box<str>>,
}

/// Reads which records failed (`ReportBatchItemFailures`). `contains` says whether a record is in the batch. As with
/// Lambda, an empty answer, null, and one without `batchItemFailures` or with none in it say that all is done; one
/// that names what is no record of the batch is a failure of all.
///
/// # Errors
/// When the whole batch failed.
pub fn read_batch_answer(
    answer: &[u8],
    contains: impl Fn(SequenceNumber) -> bool,
) -> Result<BatchAnswer, AnswerError> {
    if answer.trim_ascii().is_empty() {
        return Ok(BatchAnswer::Done);
    }
    let fields: Fields<'_> = read(answer)?;
    fields.failures(contains)
}

/// Reads the answer to an invocation in a tumbling window. Unless `report` is set it says nothing of single records.
///
/// # Errors
/// When the whole batch failed, also for want of a state where it is not the window's last invocation.
pub fn read_window_answer(
    answer: &[u8],
    is_final: bool,
    report: bool,
    contains: impl Fn(SequenceNumber) -> bool,
) -> Result<WindowAnswer, AnswerError> {
    let fields: Fields<'_> = if answer.trim_ascii().is_empty() { Fields::default() } else { read(answer)? };
    let batch = if report { fields.failures(contains)? } else { BatchAnswer::Done };
    let state = fields.0.get("state").map(|state| state.get()).filter(|state| state.starts_with('{'));
    if state.is_none() && !is_final {
        return Err(AnswerError::NoState);
    }
    Ok(WindowAnswer { batch, state: state.map(Into::into) })
}

/// The fields of an answer; of what is no object there are none.
#[derive(Default)]
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

fn read(answer: &[u8]) -> Result<Fields<'_>, AnswerError> {
    let not_json = |error: serde_json::Error| AnswerError::NotJson(error.to_string());
    let value: &RawValue = serde_json::from_slice(answer).map_err(not_json)?;
    if !value.get().starts_with('{') {
        return Ok(Fields::default());
    }
    Ok(Fields(serde_json::from_str(value.get()).map_err(not_json)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure<'a> {
    #[serde(default, borrow)]
    item_identifier: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn failures(&self, contains: impl Fn(SequenceNumber) -> bool) -> Result<BatchAnswer, AnswerError> {
        let Some(failures) = self.0.get("batchItemFailures") else { return Ok(BatchAnswer::Done) };
        let failures: Option<Vec<ItemFailure<'_>>> =
            serde_json::from_str(failures.get()).map_err(|_| AnswerError::NoList)?;
        let mut lowest: Option<SequenceNumber> = None;
        for failure in failures.unwrap_or_default() {
            let raw = failure.item_identifier.map_or("null", RawValue::get);
            let named = serde_json::from_str::<String>(raw).ok().and_then(|text| text.parse().ok());
            let sequence = named.filter(|sequence| contains(*sequence));
            let sequence =
                sequence.ok_or_else(|| AnswerError::UnknownItem(raw.chars().take(80).collect()))?;
            lowest = Some(lowest.map_or(sequence, |lowest| lowest.min(sequence)));
        }
        Ok(lowest.map_or(BatchAnswer::Done, BatchAnswer::FailedFrom))
    }
}
