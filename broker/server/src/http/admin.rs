//! A small listener apart from the APIs', for those who look after a process: `/health`, `/ready` and `/metrics`,
//! in HTTP/1.1 and without authentication.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listener::pause_after;

/// How many connections are served at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may take from its beginning to the end of its one answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes: the least that hyper allows.
const MAX_HEAD_BYTES: usize = 8 << 10;
/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a process says of itself. A sentence that says why not has one line and no secrets: anybody who reaches
/// the port may read it.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// Whether the process is in order, so that starting it anew would help nothing.
    ///
    /// # Errors
    /// With why it is not.
    async fn healthy(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether it can do its work now.
    ///
    /// # Errors
    /// With why it can't.
    async fn ready(&self) -> Result<(), String>;

    /// Its figures in the text format of Prometheus; `None` when they are switched off.
    async fn metrics(&self) -> Option<String> {
        None
    }
}

/// Serves until `stop`, one request on each connection. What is under way then is given up: nobody waits for a
/// probe of a process that ends.
pub async fn serve_admin(listener: TcpListener, admin: Arc<dyn Admin>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = connection(TokioIo::new(stream), admin.clone());
                connections.spawn(async move {
                    if tokio::time::timeout(CONNECTION_TIMEOUT, served).await.is_err() {
                        tracing::debug!("a connection for probes was cut: it took too long");
                    }
                    drop(place);
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

async fn connection(io: TokioIo<tokio::net::TcpStream>, admin: Arc<dyn Admin>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(&*admin, request.method(), request.uri().path()).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .keep_alive(false);
    if let Err(error) = server.serve_connection(io, service).await {
        tracing::debug!(%error, "a connection for probes ended with an error");
    }
}

async fn answer(admin: &dyn Admin, method: &Method, path: &str) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
    }
    let verdict = |good: &str, verdict: Result<(), String>| match verdict {
        Ok(()) => plain(StatusCode::OK, good),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    match path {
        "/health" => verdict("healthy", admin.healthy().await),
        "/ready" => verdict("ready", admin.ready().await),
        "/metrics" => match admin.metrics().await {
            Some(text) => text_of(StatusCode::OK, METRICS_TYPE, text),
            None => plain(StatusCode::NOT_FOUND, "metrics are off: start this process with --metrics"),
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /health, /ready and /metrics here"),
    }
}

fn plain(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    text_of(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn text_of(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[derive(Default)]
    struct Told {
        unready: Mutex<Option<String>>,
        metrics: Option<String>,
    }

    #[async_trait]
    impl Admin for Told {
        async fn ready(&self) -> Result<(), String> {
            self.unready.lock().clone().map_or(Ok(()), Err)
        }

        async fn metrics(&self) -> Option<String> {
            self.metrics.clone()
        }
    }

    async fn served(admin: Told) -> (SocketAddr, Arc<Told>, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (admin, stop) = (Arc::new(admin), CancellationToken::new());
        tokio::spawn(serve_admin(listener, admin.clone(), stop.clone()));
        (address, admin, stop)
    }

    /// The status and body of the answer to one request.
    async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn readiness_is_told_with_its_reason() {
        let (address, admin, _stop) = served(Told::default()).await;
        assert_eq!(ask(address, "GET /ready").await, (200, "ready\n".into()));
        *admin.unready.lock() = Some("the log does not answer".into());
        assert_eq!(ask(address, "GET /ready").await, (503, "the log does not answer\n".into()));
        assert_eq!(ask(address, "HEAD /ready").await, (503, String::new()));
        assert_eq!(ask(address, "GET /health").await, (200, "healthy\n".into()));
    }

    #[tokio::test]
    async fn metrics_are_there_only_when_they_are_switched_on() {
        let (address, _, _stop) = served(Told::default()).await;
        assert_eq!(ask(address, "GET /metrics").await.0, 404);
        let metrics = "millrace_peers_alive 3\n".to_owned();
        let (address, _, _stop) = served(Told { metrics: Some(metrics.clone()), ..Told::default() }).await;
        assert_eq!(ask(address, "GET /metrics").await, (200, metrics));
    }

    #[tokio::test]
    async fn nothing_else_is_answered() {
        let (address, _, _stop) = served(Told::default()).await;
        assert_eq!(ask(address, "POST /ready").await.0, 405);
        assert_eq!(ask(address, "GET /").await.0, 404);
        assert_eq!(ask(address, "GET /ready/more").await.0, 404);
    }

    #[tokio::test]
    async fn silent_connections_keep_no_probe_out_for_good() {
        let (address, _, _stop) = served(Told::default()).await;
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(ask(address, "GET /health").await.0, 200);
    }

    #[tokio::test]
    async fn a_listener_that_was_stopped_is_closed() {
        let (address, _, stop) = served(Told::default()).await;
        assert_eq!(ask(address, "GET /health").await.0, 200);
        stop.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
