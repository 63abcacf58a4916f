//! Brokers reach each other over HTTP/2: `POST /peer` with the bytes of [`crate::broker::Peers::ask`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, Member, PeerError, Peers};

/// The most that one request or answer may hold: a full `PutRecords` to shards of one broker, several times.
const MAX_BODY_BYTES: usize = 64 << 20;
/// How long another broker may take: longer than it tries to settle an append itself.
const ASK_FOR: Duration = Duration::from_secs(20);
/// How long a connection may take to come about.
const CONNECT_FOR: Duration = Duration::from_secs(1);
/// A connection on which a ping stays without answer for this long is dead.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_FOR: Duration = Duration::from_secs(3);

/// The way to other brokers over HTTP/2 without TLS, for brokers on one host.
#[derive(Clone, Debug)]
pub struct HttpPeers {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Default for HttpPeers {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_FOR));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_FOR)
            .build(connector);
        HttpPeers { client }
    }
}

impl HttpPeers {
    async fn post(&self, peer: &Member, request: Bytes) -> Result<Bytes, PeerError> {
        let uri: Uri =
            format!("http://{}/peer", peer.address).parse().map_err(|_| PeerError::Unreachable(peer.id))?;
        let request = Request::builder().method(Method::POST).uri(uri).body(Full::new(request));
        let request = request.map_err(|_| PeerError::Unreachable(peer.id))?;
        let unknown = |why: String| PeerError::Unknown(peer.id, why);
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err(PeerError::Unreachable(peer.id)),
            Err(error) => return Err(unknown(error.to_string())),
        };
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
        let body = body.map_err(|error| unknown(error.to_string()))?.to_bytes();
        match status {
            StatusCode::OK => Ok(body),
            // It never began to work on the request.
            StatusCode::SERVICE_UNAVAILABLE => Err(PeerError::Unreachable(peer.id)),
            _ => Err(unknown(String::from_utf8_lossy(&body).into_owned())),
        }
    }
}

#[async_trait]
impl Peers for HttpPeers {
    async fn ask(&self, peer: &Member, request: Bytes) -> Result<Bytes, PeerError> {
        let answer = tokio::time::timeout(ASK_FOR, self.post(peer, request)).await;
        answer.unwrap_or_else(|_| Err(PeerError::Unknown(peer.id, "no answer in time".to_owned())))
    }
}

/// Answers other brokers until `stop`, then finishes what is in flight.
pub async fn serve_peers(listener: TcpListener, broker: Arc<Broker>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, from)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(TokioIo::new(stream), from, broker.clone(), stop.clone()));
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    io: TokioIo<tokio::net::TcpStream>,
    from: SocketAddr,
    broker: Arc<Broker>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request| answer(broker.clone(), request));
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server.timer(TokioTimer::new()).adaptive_window(true).keep_alive_interval(PING_EVERY);
    let mut connection = std::pin::pin!(server.serve_connection(io, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%from, %error, "a broker's connection has ended");
    }
}

async fn answer(
    broker: Arc<Broker>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, http::Error> {
    if request.method() != Method::POST || request.uri().path() != "/peer" {
        return plain(StatusCode::NOT_FOUND, "other brokers POST to /peer");
    }
    let body = match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return plain(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match broker.serve_peer(body).await {
        Ok(answer) => Response::builder().body(Full::new(answer)),
        Err(error) => plain(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn plain(status: StatusCode, text: &str) -> Result<Response<Full<Bytes>>, http::Error> {
    Response::builder().status(status).body(Full::new(Bytes::from(text.to_owned())))
}
