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
use millrace_tls::Certificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::busy::{Activity, BusyBody, Overdue};
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
    /// How long a client may take to read an answer, or a piece of one that goes on.
    pub answer_timeout: Duration,
    /// How long requests under way may go on once the listener stops.
    pub drain_timeout: Duration,
    /// What is shown to clients; without it there is no TLS.
    pub certificate: Option<Certificate>,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        ListenerConfig {
            max_connections: 10_000,
            max_streams: 256,
            max_head_bytes: 64 << 10,
            idle_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(20),
            certificate: None,
        }
    }
}

/// What clients may speak over TLS, the preferred one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
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
    let tls = config.certificate.as_ref().map(|shown| TlsAcceptor::from(shown.server_config(&ALPN)));
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
        // Answers are small and awaited: Nagle's algorithm would hold them back.
        let _ = stream.set_nodelay(true);
        let served = Connection {
            builder: builder.clone(),
            router: router.clone(),
            idle_timeout: config.idle_timeout,
            answer_timeout: config.answer_timeout,
            stopping: stopping.clone(),
        };
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                Some(tls) => served.begin_tls(stream, tls).await,
                None => served.run(stream).await,
            }
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

/// What one connection is served with.
struct Connection {
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Arc<Router>,
    idle_timeout: Duration,
    answer_timeout: Duration,
    stopping: CancellationToken,
}

impl Connection {
    async fn begin_tls(self, stream: TcpStream, tls: TlsAcceptor) {
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
        let begun = tokio::select! {
            begun = handshake => begun,
            () = self.stopping.cancelled() => return,
        };
        match begun {
            Ok(Ok(stream)) => self.run(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let activity = Activity::new();
        let service = service_fn(|request: Request<Incoming>| {
            let (router, busy) = (self.router.clone(), activity.begin());
            async move {
                let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                let answer: Response<_> = router.answer(request).await;
                Ok::<_, Infallible>(answer.map(|body| BusyBody::new(body, busy)))
            }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let why = tokio::select! {
            ended = connection.as_mut() => return told(ended),
            () = self.stopping.cancelled() => None,
            why = activity.overdue(self.idle_timeout, self.answer_timeout) => Some(why),
        };
        match why {
            // A client that reads nothing reads no farewell either.
            Some(Overdue::Unread) => tracing::debug!("a connection was cut: its client does not read"),
            Some(Overdue::Idle) => {
                connection.as_mut().graceful_shutdown();
                if let Ok(ended) = tokio::time::timeout(CLOSE_TIMEOUT, connection.as_mut()).await {
                    told(ended);
                }
            }
            None => {
                // The listener bounds how long this may take.
                connection.as_mut().graceful_shutdown();
                told(connection.await);
            }
        }
    }
}

fn told(ended: Result<(), BoxError>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
