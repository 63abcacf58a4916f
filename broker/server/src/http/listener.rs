//! Accepting connections, bounded in number and in time.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::busy::{Activity, BusyBody};
use super::{BoxError, Router};

/// The bounds of a listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// How many connections are served at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How many requests one HTTP/2 connection carries at once.
    pub max_streams: u32,
    /// The longest head of a request, in bytes.
    pub max_head_bytes: usize,
    /// How long a connection may carry no request: before its first bytes, between requests, and within a
    /// request's head.
    pub idle_timeout: Duration,
    /// How long requests under way may go on once the listener stops.
    pub drain_timeout: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        ListenerConfig {
            max_connections: 10_000,
            max_streams: 256,
            max_head_bytes: 64 << 10,
            idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// After a connection was asked to close: how long until it is cut.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// After the process ran out of descriptors or the like: how long until it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `stop` is done, then lets requests under way end, for at most
/// [`ListenerConfig::drain_timeout`].
pub async fn serve(
    listener: TcpListener,
    router: Arc<Router>,
    config: ListenerConfig,
    stop: impl Future<Output = ()>,
) {
    let builder = Arc::new(protocol(&config));
    let places = Arc::new(Semaphore::new(config.max_connections));
    let stopping = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let (builder, router, stopping) = (builder.clone(), router.clone(), stopping.clone());
        let idle_timeout = config.idle_timeout;
        connections.spawn(async move {
            connection(stream, &builder, router, idle_timeout, stopping).await;
            drop(place);
        });
    }
    drop(listener);
    stopping.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: their requests took too long");
        connections.shutdown().await;
    }
}

fn protocol(config: &ListenerConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .max_buf_size(config.max_head_bytes.max(8 << 10))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// What `accept` reports may concern one connection (it went away) or the process (no descriptors left).
pub(super) async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        tracing::warn!(%error, "a connection can't be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection(
    stream: TcpStream,
    builder: &auto::Builder<TokioExecutor>,
    router: Arc<Router>,
    idle_timeout: Duration,
    stopping: CancellationToken,
) {
    // Answers are small and awaited: Nagle's algorithm would hold them back.
    let _ = stream.set_nodelay(true);
    let activity = Activity::new();
    let service = service_fn(|request: Request<Incoming>| {
        let (router, busy) = (router.clone(), activity.begin());
        async move {
            let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
            let answer: Response<_> = router.answer(request).await;
            Ok::<_, Infallible>(answer.map(|body| BusyBody::new(body, busy)))
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopping.cancelled() => None,
        () = activity.idle_for(idle_timeout) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(CLOSE_TIMEOUT, connection.as_mut()).await.ok().or(Some(Ok(())))
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // The listener bounds how long this may take.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
