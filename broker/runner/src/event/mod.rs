//! The JSON that functions and destinations are given, as Lambda writes it, and the JSON that functions answer with.

mod answer;
mod destination;
mod failure;
mod json;
mod kinesis;
#[cfg(test)]
mod tests;

pub use answer::{AnswerError, BatchAnswer, WindowAnswer, read_batch_answer, read_window_answer};
pub use destination::{InvokeCondition, InvokeRecord};
pub use failure::{StreamCondition, StreamFailure};
pub use json::{request_id, timestamp};
pub use kinesis::{EventRecord, EventWriter, Origin, WindowFields};

use serde::Serialize;

/// What came of a function's last invocation, in records for destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    /// The status of the invocation itself: 200 also when the function failed.
    pub status_code: u16,
    /// The version of the function that ran.
    pub executed_version: String,
    /// `Handled` or `Unhandled` when the function failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_error: Option<String>,
}
