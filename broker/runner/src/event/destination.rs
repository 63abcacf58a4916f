//! What the destinations of asynchronous invocations are given.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ResponseContext;
use super::json::timestamp;

/// How an asynchronous invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum InvokeCondition {
    /// The function answered.
    Success,
    /// The function failed as often as it may.
    RetriesExhausted,
    /// The event became older than it may.
    EventAgeExceeded,
}

/// An asynchronous invocation that has ended.
#[derive(Clone, Debug)]
pub struct InvokeRecord<'a> {
    /// The id of the invocation.
    pub request_id: &'a str,
    /// The function, with its version.
    pub function_arn: &'a str,
    /// How it ended.
    pub condition: InvokeCondition,
    /// How often the function was invoked.
    pub invoke_count: u32,
    /// The event.
    pub request: &'a [u8],
    /// What came of the last invocation, and its answer; none if there was none.
    pub response: Option<(ResponseContext, &'a [u8])>,
    /// When, in Unix milliseconds.
    pub now_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: &'static str,
    timestamp: String,
    request_context: RequestContext<'a>,
    request_payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_context: Option<&'a ResponseContext>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_payload: Option<Payload<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: &'a str,
    function_arn: &'a str,
    condition: InvokeCondition,
    approximate_invoke_count: u32,
}

/// JSON as it is, and what is none as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(std::borrow::Cow<'a, str>),
    Null,
}

impl Payload<'_> {
    fn of(bytes: &[u8]) -> Payload<'_> {
        match serde_json::from_slice(bytes) {
            Ok(json) => Payload::Json(json),
            Err(_) if bytes.is_empty() => Payload::Null,
            Err(_) => Payload::Text(String::from_utf8_lossy(bytes)),
        }
    }
}

impl InvokeRecord<'_> {
    /// The record, as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            version: "1.0",
            timestamp: timestamp(self.now_ms),
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition,
                approximate_invoke_count: self.invoke_count,
            },
            request_payload: Payload::of(self.request),
            response_context: self.response.as_ref().map(|(context, _)| context),
            response_payload: self.response.as_ref().map(|(_, payload)| Payload::of(payload)),
        };
        // Texts, numbers and valid JSON alone: that can't fail.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}
