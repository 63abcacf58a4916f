//! One invocation of a function, and what can come of it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

/// An invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The id of the request ([`crate::event::request_id`]): of one attempt at a time.
    pub request_id: String,
    /// The event, JSON.
    pub payload: Bytes,
    /// How long the function may take, from when it takes the invocation.
    pub timeout: Duration,
    /// The function as it was called.
    pub function_arn: String,
    /// `X-Amzn-Trace-Id`.
    pub trace_id: Option<String>,
    /// `X-Amz-Client-Context`, as JSON.
    pub client_context: Option<String>,
    /// Who called, of callers by Amazon Cognito.
    pub cognito_identity: Option<String>,
}

/// A function's answer.
#[derive(Debug)]
pub struct Response {
    /// What it says that it is.
    pub content_type: Option<String>,
    /// What it is.
    pub body: ResponseBody,
}

/// What a function answered with.
#[derive(Debug)]
pub enum ResponseBody {
    /// All of it.
    Whole(Bytes),
    /// Pieces, as the function writes them. An error is the last of them.
    Streamed(mpsc::Receiver<Result<Bytes, FunctionError>>),
}

impl Response {
    /// The whole answer, once it is there.
    ///
    /// # Errors
    /// When the function failed after it had begun to answer, or the answer is longer than `max_bytes`.
    pub async fn whole(self, max_bytes: usize) -> Result<Bytes, FunctionError> {
        let mut pieces = match self.body {
            ResponseBody::Whole(bytes) => return Ok(bytes),
            ResponseBody::Streamed(pieces) => pieces,
        };
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.recv().await {
            let piece = piece?;
            if whole.len() + piece.len() > max_bytes {
                return Err(FunctionError::too_large(max_bytes));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// What a failure is due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The function told it.
    Function,
    /// It took too long.
    TimedOut,
    /// It ended, or lost the invocation, before it answered.
    Exited,
    /// It answered with more than it may.
    TooLarge,
    /// It could not start.
    Init,
    /// It did not take the invocation: it is not there, or busy.
    NotTaken,
}

/// A function failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {}", String::from_utf8_lossy(.payload))]
pub struct FunctionError {
    /// What it is due to.
    pub cause: Cause,
    /// Its type, as the function says or as Lambda names it.
    pub error_type: String,
    /// What callers get: JSON with `errorType` and `errorMessage`, or what the function sent.
    pub payload: Bytes,
}

impl FunctionError {
    /// An error with a payload of the common form.
    pub(super) fn new(cause: Cause, error_type: &str, message: &str) -> FunctionError {
        let payload = serde_json::json!({ "errorType": error_type, "errorMessage": message });
        FunctionError { cause, error_type: error_type.to_owned(), payload: payload.to_string().into() }
    }

    pub(super) fn timed_out(request_id: &str, timeout: Duration) -> FunctionError {
        let seconds = timeout.as_secs_f64();
        let message = format!("RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds");
        FunctionError::new(Cause::TimedOut, "Sandbox.Timedout", &message)
    }

    pub(super) fn exited(request_id: &str, why: &str) -> FunctionError {
        let message = format!("RequestId: {request_id} Error: {why}");
        FunctionError::new(Cause::Exited, "Runtime.ExitError", &message)
    }

    pub(super) fn too_large(max_bytes: usize) -> FunctionError {
        let message =
            format!("Response payload size exceeded maximum allowed payload size ({max_bytes} bytes).");
        FunctionError::new(Cause::TooLarge, "Function.ResponseSizeTooLarge", &message)
    }

    pub(super) fn truncated(request_id: &str) -> FunctionError {
        let message = format!("RequestId: {request_id} Error: the function's answer broke off");
        FunctionError::new(Cause::Exited, "Runtime.TruncatedResponse", &message)
    }

    pub(super) fn not_taken(within: Duration) -> FunctionError {
        let message = format!(
            "the function did not take the invocation within {} s: it has not started, or all of it is busy",
            within.as_secs()
        );
        FunctionError::new(Cause::NotTaken, "Runtime.NotReady", &message)
    }

    /// Whether the function worked on the event. Where it could not start it has not.
    pub fn is_attempt(&self) -> bool {
        !matches!(self.cause, Cause::Init | Cause::NotTaken)
    }
}

/// Something that functions can be invoked by.
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// Invokes the function, and waits for its answer or for its time to be over.
    async fn invoke(&self, invocation: Invocation) -> Result<Response, FunctionError>;
}
