//! Reading what a function sends.

use base64_simd::STANDARD;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::MAX_STREAM_BYTES;
use super::invocation::{Cause, FunctionError};

/// Why a body was not read.
#[derive(Debug)]
pub(super) enum BodyError {
    TooLarge,
    Broken(String),
}

/// Reads a body to its end. What is too much of it is read and dropped, so that the sender comes to read the answer.
pub(super) async fn read(mut body: Incoming, max_bytes: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    let mut beyond = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if beyond > 0 || whole.len() + data.len() > max_bytes {
            whole = BytesMut::new();
            beyond += data.len().max(1);
            if beyond > MAX_STREAM_BYTES {
                break;
            }
        } else {
            whole.extend_from_slice(&data);
        }
    }
    if beyond > 0 { Err(BodyError::TooLarge) } else { Ok(whole.freeze()) }
}

/// How a streamed answer ended.
#[derive(Debug)]
pub(super) enum Streamed {
    /// All of it was passed on.
    Whole,
    /// Nobody wants the rest.
    Unwanted,
    /// The function says that it failed.
    Failed(FunctionError),
    /// It is longer than it may be.
    TooLarge,
    /// Its time is over.
    TooLate,
    /// The connection broke.
    Broken(String),
}

/// Passes a body's pieces on as they come.
pub(super) async fn stream(
    mut body: Incoming,
    pieces: &mpsc::Sender<Result<Bytes, FunctionError>>,
    deadline: Instant,
) -> Streamed {
    let mut bytes = 0;
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Streamed::TooLate,
            Ok(None) => return Streamed::Whole,
            Ok(Some(Err(error))) => return Streamed::Broken(error.to_string()),
            Ok(Some(Ok(frame))) => frame,
        };
        let frame = match frame.into_trailers() {
            Ok(trailers) => match failure(&trailers) {
                Some(error) => return Streamed::Failed(error),
                None => continue,
            },
            Err(frame) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        if bytes > MAX_STREAM_BYTES {
            return Streamed::TooLarge;
        }
        match timeout_at(deadline, pieces.send(Ok(data))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Streamed::Unwanted,
            Err(_) => return Streamed::TooLate,
        }
    }
}

/// The error that trailers tell: its type, and its body in Base64.
fn failure(trailers: &HeaderMap) -> Option<FunctionError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let error_type = text("lambda-runtime-function-error-type")?.to_owned();
    let body = text("lambda-runtime-function-error-body").and_then(|body| STANDARD.decode_to_vec(body).ok());
    let payload = match body {
        Some(body) => body.into(),
        None => FunctionError::new(Cause::Function, &error_type, "").payload,
    };
    Some(FunctionError { cause: Cause::Function, error_type, payload })
}
