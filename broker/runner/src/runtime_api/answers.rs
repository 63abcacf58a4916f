//! What the Runtime API answers, in the words of the service.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    answer
}

fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({ "errorMessage": message, "errorType": error_type }))
}

pub(super) fn accepted() -> Answer {
    json(StatusCode::ACCEPTED, &serde_json::json!({ "status": "OK" }))
}

/// Nobody waits for this invocation: it was answered, its time is over, or it never was.
pub(super) fn invalid_request_id() -> Answer {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

pub(super) fn too_large(max_bytes: usize) -> Answer {
    let message = format!("Exceeded maximum allowed payload size ({max_bytes} bytes).");
    error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
}

pub(super) fn broken(why: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, "InvalidRequest", why)
}

pub(super) fn not_found(method: &http::Method, path: &str) -> Answer {
    error(StatusCode::NOT_FOUND, "InvalidRequest", &format!("{method} {path} is not part of the Runtime API"))
}
