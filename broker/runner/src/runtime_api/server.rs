//! The requests of a function.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response as HttpResponse, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::answers::{Answer, accepted, broken, invalid_request_id, not_found, too_large};
use super::body::{BodyError, Streamed, read, stream};
use super::exchange::{Exchange, Named, Running, Taken};
use super::invocation::{Cause, FunctionError, Invocation, Invoker, Response, ResponseBody};
use super::{LogLines, MAX_STREAM_BYTES, Settings};

/// What stands before every path.
const PREFIX: &str = "/2018-06-01/runtime/";
/// How many pieces of a streamed answer wait for whoever reads it.
const PIECES: usize = 8;

/// The Runtime API for one instance of a function. It ends when this is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    exchange: Arc<Exchange>,
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[async_trait]
impl Invoker for RuntimeApi {
    async fn invoke(&self, invocation: Invocation) -> Result<Response, FunctionError> {
        self.exchange.invoke(invocation).await
    }
}

impl RuntimeApi {
    /// Serves a function on a port of loopback. `logs` takes the lines around invocations.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(address: SocketAddr, settings: Settings, logs: LogLines) -> io::Result<RuntimeApi> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let exchange = Exchange::new(settings, logs);
        let accepting = tokio::spawn(accept(listener, exchange.clone())).abort_handle();
        Ok(RuntimeApi { exchange, address, accepting })
    }

    /// Where it is: the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells that the function's process has ended: what it worked on is lost.
    pub fn function_exited(&self, why: &str) {
        self.exchange.exited(why);
    }

    /// Why the function could not start, if it could not and has not since.
    pub fn init_error(&self) -> Option<FunctionError> {
        self.exchange.init_error()
    }

    /// How many invocations the function has taken.
    pub fn taken(&self) -> u64 {
        self.exchange.taken()
    }

    /// Whether the function waits for an invocation.
    pub fn is_idle(&self) -> bool {
        self.exchange.is_idle()
    }
}

async fn accept(listener: TcpListener, exchange: Arc<Exchange>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => {
                    connections.spawn(serve(connection, exchange.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection of the function can't be accepted");
                    tokio::task::yield_now().await;
                }
            },
        }
    }
}

async fn serve(connection: TcpStream, exchange: Arc<Exchange>) {
    // Answers are small and awaited: Nagle's algorithm would hold them back.
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| {
        let exchange = exchange.clone();
        async move { Ok::<_, Infallible>(answer(&exchange, request).await) }
    });
    // A function waits for its next invocation as long as it takes.
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await {
        tracing::debug!(%error, "a connection of the function ended with an error");
    }
}

async fn answer(exchange: &Exchange, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let steps: Vec<&str> = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
    let invocation_id = header_text(&head.headers, "lambda-runtime-invocation-id");
    let named = |request_id| Named { request_id, invocation_id: invocation_id.as_deref() };
    match (&head.method, &steps[..]) {
        (&Method::GET, ["invocation", "next"]) => next(exchange).await,
        (&Method::POST, ["invocation", id, "response"]) => {
            response(exchange, named(id), &head.headers, body).await
        }
        (&Method::POST, ["invocation", id, "error"]) => error(exchange, named(id), &head.headers, body).await,
        (&Method::POST, ["init", "error"]) => init_error(exchange, &head.headers, body).await,
        _ => not_found(&head.method, head.uri.path()),
    }
}

async fn next(exchange: &Exchange) -> Answer {
    let Taken { invocation, invocation_id, deadline } = exchange.next().await;
    let mut answer = HttpResponse::new(Full::new(invocation.payload));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("lambda-runtime-deadline-ms", HeaderValue::from(unix_ms(deadline)));
    let texts = [
        ("lambda-runtime-aws-request-id", Some(invocation.request_id)),
        ("lambda-runtime-invocation-id", Some(invocation_id)),
        ("lambda-runtime-invoked-function-arn", Some(invocation.function_arn)),
        ("lambda-runtime-trace-id", invocation.trace_id),
        ("lambda-runtime-client-context", invocation.client_context),
        ("lambda-runtime-cognito-identity", invocation.cognito_identity),
    ];
    for (name, text) in texts {
        // Bytes that no header may have come from a caller who was not looked at: they are his own loss.
        if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            headers.insert(name, value);
        }
    }
    answer
}

fn unix_ms(deadline: Instant) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since + deadline.saturating_duration_since(Instant::now())).as_millis() as u64
}

fn header_text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

async fn response(exchange: &Exchange, named: Named<'_>, headers: &HeaderMap, body: Incoming) -> Answer {
    let content_type = header_text(headers, header::CONTENT_TYPE);
    let mode = header_text(headers, "lambda-runtime-function-response-mode");
    if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("streaming")) {
        return streamed(exchange, named, content_type, body).await;
    }
    let max_bytes = exchange.settings.max_response_bytes;
    match read_of(exchange, named, body, max_bytes).await {
        Ok((running, payload)) => {
            exchange.finish(running, Ok(Response { content_type, body: ResponseBody::Whole(payload) }));
            accepted()
        }
        Err(refused) => refused,
    }
}

async fn error(exchange: &Exchange, named: Named<'_>, headers: &HeaderMap, body: Incoming) -> Answer {
    match read_of(exchange, named, body, exchange.settings.max_response_bytes).await {
        Ok((running, payload)) => {
            exchange.finish(running, Err(told(Cause::Function, headers, payload)));
            accepted()
        }
        Err(refused) => refused,
    }
}

/// Reads what the function sends for an invocation, and takes that. The invocation fails by what is too large.
async fn read_of(
    exchange: &Exchange,
    named: Named<'_>,
    body: Incoming,
    max_bytes: usize,
) -> Result<(Running, Bytes), Answer> {
    if !exchange.is_running(named) {
        // It is read all the same, so that the sender comes to read the answer.
        let _ = read(body, 0).await;
        return Err(invalid_request_id());
    }
    let read = read(body, max_bytes).await;
    if let Err(BodyError::Broken(why)) = read {
        return Err(broken(&why));
    }
    // Its time may have been over while it was read.
    let running = exchange.take(named).ok_or_else(invalid_request_id)?;
    match read {
        Ok(payload) => Ok((running, payload)),
        Err(_) => {
            exchange.finish(running, Err(FunctionError::too_large(max_bytes)));
            Err(too_large(max_bytes))
        }
    }
}

/// The error that the function told.
fn told(cause: Cause, headers: &HeaderMap, payload: Bytes) -> FunctionError {
    let error_type = header_text(headers, "lambda-runtime-function-error-type")
        .or_else(|| {
            let payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
            Some(payload.get("errorType")?.as_str()?.to_owned())
        })
        .unwrap_or_else(|| "Runtime.Unknown".to_owned());
    FunctionError { cause, error_type, payload }
}

async fn init_error(exchange: &Exchange, headers: &HeaderMap, body: Incoming) -> Answer {
    match read(body, exchange.settings.max_response_bytes).await {
        Ok(payload) => {
            exchange.init_failed(told(Cause::Init, headers, payload));
            accepted()
        }
        Err(BodyError::TooLarge) => too_large(exchange.settings.max_response_bytes),
        Err(BodyError::Broken(why)) => broken(&why),
    }
}

async fn streamed(
    exchange: &Exchange,
    named: Named<'_>,
    content_type: Option<String>,
    body: Incoming,
) -> Answer {
    let (pieces, streamed) = mpsc::channel(PIECES);
    let response = Response { content_type, body: ResponseBody::Streamed(streamed) };
    let Some((deadline, timeout)) = exchange.begin(named, response) else {
        let _ = read(body, 0).await;
        return invalid_request_id();
    };
    let ended = stream(body, &pieces, deadline).await;
    let (mut answer, mut error) = match ended {
        Streamed::Whole | Streamed::Unwanted => (accepted(), None),
        Streamed::Failed(error) => (accepted(), Some(error)),
        Streamed::TooLarge => (too_large(MAX_STREAM_BYTES), Some(FunctionError::too_large(MAX_STREAM_BYTES))),
        Streamed::TooLate => {
            (invalid_request_id(), Some(FunctionError::timed_out(named.request_id, timeout)))
        }
        Streamed::Broken(why) => (broken(&why), Some(FunctionError::truncated(named.request_id))),
    };
    match exchange.take(named) {
        Some(running) => exchange.end(&running, error.as_ref()),
        // It was lost meanwhile: what came of it may not look like all of it.
        None => {
            answer = invalid_request_id();
            error = error.or_else(|| Some(FunctionError::truncated(named.request_id)));
        }
    }
    // A reader who is slow still learns it, unless he has gone; the function does not wait for him.
    if let Some(error) = error
        && let Err(mpsc::error::TrySendError::Full(error)) = pieces.try_send(Err(error))
    {
        tokio::spawn(async move { pieces.send(error).await });
    }
    answer
}
