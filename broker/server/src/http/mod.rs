//! One listener for every API on one port: HTTP/1.1 and HTTP/2, told apart by their first bytes, over TLS or without.
//!
//! An API says which requests are its own and answers them; see [`Api`]. What is bounded here: connections, the time
//! for a TLS handshake and for a request's head, the size of a body and the time for it, the time that an answer takes
//! to be read, the memory that all bodies and all answers take together, and how long a stopping listener waits.

use std::convert::Infallible;

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

mod admin;
mod ask;
mod body;
mod busy;
mod dispatch;
mod listener;

pub use admin::{Admin, serve_admin};
pub use ask::Asker;
pub use body::{BodyBudget, BodyError, BodyLimits, HeldBody, drain, hold, read, unpack};
pub use dispatch::{Readiness, Router};
pub use listener::{ListenerConfig, serve};

/// What goes wrong while a body is sent or received.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// One API behind the listener.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// Whether a request with this head belongs to the API. The first API that says so answers it.
    fn claims(&self, head: &Parts) -> bool;

    /// Answers a request. Errors are answers too.
    async fn answer(&self, request: Request<Body>) -> Response<Body>;
}

/// A body of which all is there.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
