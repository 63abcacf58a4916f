//! The server as a service that a `kube::Client` talks to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::{Request as HttpRequest, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch::Receiver;

use crate::State;
use crate::failure::Failure;
use crate::faults::{Fault, Request, WatchFault};
use crate::request::Call;
use crate::{collect, serve, watch};

/// The body of an answer: one piece, or a watch's lines.
pub(crate) type Answered = Response<StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>>;

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection to the API server broke")
}

fn whole(status: u16, body: &Value) -> Answered {
    let piece = Bytes::from(body.to_string());
    let stream = stream::once(async move { Ok(Frame::data(piece)) }).boxed();
    answered(status, stream)
}

fn answered(status: u16, stream: BoxStream<'static, Result<Frame<Bytes>, io::Error>>) -> Answered {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(StreamBody::new(stream))
        .expect("a status and one header make an answer")
}

/// Answers one request.
pub(crate) async fn answer(
    state: Arc<State>,
    client_generation: u64,
    request: HttpRequest<Body>,
) -> Result<Answered, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut inner = state.inner.lock();
    if inner.faults.crashed || client_generation != inner.client_generation {
        return Err(lost());
    }
    let number = inner.faults.log.len() as u64 + 1;
    let fault = inner.faults.planned.remove(&number);
    let before = inner.store.revision;
    let outcome = match fault {
        Some(Fault::Crash) => {
            inner.faults.crashed = true;
            None
        }
        Some(Fault::Status(code)) => {
            let reason = match code {
                409 => "Conflict",
                429 => "TooManyRequests",
                503 => "ServiceUnavailable",
                _ => "InternalError",
            };
            Some(Err(Failure::new(code, reason, format!("the test refuses request {number}"))))
        }
        _ => Some(carry_out(&mut inner.store, &parts, &body)),
    };
    if inner.collects {
        collect::collect_garbage(&mut inner.store);
    }
    let changed = inner.store.revision != before;
    let status = match &outcome {
        None => 0,
        Some(_) if matches!(fault, Some(Fault::Lost | Fault::CrashAfter)) => 0,
        Some(Ok(Outcome::Whole(status, _))) => *status,
        Some(Ok(Outcome::Watch(_))) => 200,
        Some(Err(failure)) => failure.code,
    };
    let uri = parts.uri.to_string();
    inner.faults.log.push(Request { number, method: parts.method.to_string(), uri, status, changed });
    if fault == Some(Fault::CrashAfter) {
        inner.faults.crashed = true;
    }
    let watching = inner.faults.watch_generation;
    let revision = inner.store.revision;
    drop(inner);
    if changed || fault.is_some() {
        state.tell(revision);
    }
    match outcome {
        None => Err(lost()),
        Some(_) if matches!(fault, Some(Fault::Lost | Fault::CrashAfter)) => Err(lost()),
        Some(Err(failure)) => Ok(whole(failure.code, &failure.status())),
        Some(Ok(Outcome::Whole(status, body))) => Ok(whole(status, &body)),
        Some(Ok(Outcome::Watch(call))) => Ok(open(state, *call, client_generation, watching)),
    }
}

enum Outcome {
    Whole(u16, Value),
    Watch(Box<Call>),
}

fn carry_out(
    store: &mut crate::store::Store,
    parts: &http::request::Parts,
    body: &[u8],
) -> Result<Outcome, Failure> {
    let call = Call::read(store, parts, body)?;
    if call.method == http::Method::GET && call.flag("watch") {
        return Ok(Outcome::Watch(Box::new(call)));
    }
    let (status, body) = serve::serve(store, &call)?;
    Ok(Outcome::Whole(status, body))
}

/// One open watch.
struct Open {
    state: Arc<State>,
    call: Call,
    client_generation: u64,
    generation: u64,
    /// `None` before the first read of a watch that begins with what there is.
    revision: Option<u64>,
    told: Receiver<u64>,
    until: Option<tokio::time::Instant>,
    ended: bool,
}

fn open(state: Arc<State>, call: Call, client_generation: u64, generation: u64) -> Answered {
    let revision = call.value("resourceVersion").parse().ok().filter(|revision| *revision > 0);
    let revision = revision.filter(|_| !call.flag("sendInitialEvents"));
    let until = call.value("timeoutSeconds").parse().ok().map(Duration::from_secs);
    let until = until.map(|wait| tokio::time::Instant::now() + wait);
    let told = state.told.subscribe();
    let watch = Open { state, call, client_generation, generation, revision, told, until, ended: false };
    let lines = stream::unfold(watch, |mut watch| async move {
        let piece = watch.next().await?;
        Some((piece.map(Frame::data), watch))
    });
    answered(200, lines.boxed())
}

impl Open {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        while !self.ended {
            self.told.borrow_and_update();
            if let Some(piece) = self.poll() {
                return Some(piece);
            }
            let changed = self.told.changed();
            let timely = match self.until {
                Some(until) => tokio::time::timeout_at(until, changed).await.ok(),
                None => Some(changed.await),
            };
            // Either the time that the client gave is over, or the server is gone.
            if !matches!(timely, Some(Ok(()))) {
                return None;
            }
        }
        None
    }

    /// What there is to send now.
    fn poll(&mut self) -> Option<Result<Bytes, io::Error>> {
        let inner = self.state.inner.lock();
        let dead = inner.faults.crashed || inner.client_generation != self.client_generation;
        if dead || inner.faults.watch_generation != self.generation {
            self.ended = true;
            return match inner.faults.watch_fault.filter(|_| !dead) {
                Some(WatchFault::Gone) => Some(Ok(watch::lines(&[watch::error(&serve::gone())]))),
                _ => Some(Err(lost())),
            };
        }
        let read = match self.revision {
            None => watch::initial(&inner.store, &self.call).map(|events| (events, inner.store.revision)),
            Some(revision) => watch::read(&inner.store, &self.call, revision),
        };
        match read {
            Ok((events, revision)) => {
                self.revision = Some(revision);
                (!events.is_empty()).then(|| Ok(watch::lines(&events)))
            }
            Err(failure) => {
                self.ended = true;
                Some(Ok(watch::lines(&[watch::error(&failure)])))
            }
        }
    }
}
