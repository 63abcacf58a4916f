//! Brokers reach each other over HTTP/2: `POST /peer` with the bytes of [`crate::broker::Peers::ask`]. They do so
//! over mutual TLS, or without TLS where they share a host.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use millrace_tls::Tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::BoxError;
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;

use crate::broker::{Broker, Member, PeerError, Peers};

/// The most that one request or answer may hold: a full `PutRecords` to shards of one broker, several times.
const MAX_BODY_BYTES: usize = 64 << 20;
/// How many requests one connection carries at once: above the questions that wait there for news
/// ([`crate::broker::NEWS_ASKED_AT_ONCE`]), so that these hold up no append.
const MAX_STREAMS: u32 = 16_384;
/// How long another broker may take: longer than it tries to settle an append itself.
const ASK_FOR: Duration = Duration::from_secs(20);
/// How long a connection may take to come about.
const CONNECT_FOR: Duration = Duration::from_secs(1);
/// How long that and the TLS handshake may take together, at either end.
const HANDSHAKE_FOR: Duration = Duration::from_secs(3);
/// A connection on which a ping stays without answer for this long is dead.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_FOR: Duration = Duration::from_secs(3);

/// What every broker's certificate is good for. A broker is known by its address, and addresses come and go; that
/// it is one of this Broker's is all that its certificate has to say.
pub const PEER_NAME: &str = "brokers.millrace.internal";
const ALPN: &[u8] = b"h2";

/// The way to other brokers over HTTP/2.
#[derive(Clone, Debug)]
pub struct HttpPeers {
    way: Way,
}

type TlsConnector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

#[derive(Clone, Debug)]
enum Way {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<TlsConnector, Full<Bytes>>),
}

impl HttpPeers {
    /// The way to other brokers: over mutual TLS under this identity, or without TLS.
    pub fn new(tls: Option<&Tls>) -> HttpPeers {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_FOR));
        let mut client = Client::builder(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .http2_only(true)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_FOR);
        let Some(tls) = tls else { return HttpPeers { way: Way::Plain(client.build(connector)) } };
        connector.enforce_http(false);
        let name = FixedServerNameResolver::new(PEER_NAME.try_into().expect("a DNS name"));
        let connector = HttpsConnector::new(connector, tls.client_config(&[ALPN]), true, Arc::new(name));
        HttpPeers { way: Way::Tls(client.build(TlsConnector::new(Timeout::new(connector, HANDSHAKE_FOR)))) }
    }

    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match &self.way {
            Way::Plain(client) => client.request(request),
            Way::Tls(client) => client.request(request),
        }
    }

    fn scheme(&self) -> &'static str {
        match self.way {
            Way::Plain(_) => "http",
            Way::Tls(_) => "https",
        }
    }

    async fn post(&self, peer: &Member, request: Bytes) -> Result<Bytes, PeerError> {
        let uri = format!("{}://{}/peer", self.scheme(), peer.address);
        let uri: Uri = uri.parse().map_err(|_| PeerError::Unreachable(peer.id))?;
        let request = Request::builder().method(Method::POST).uri(uri).body(Full::new(request));
        let request = request.map_err(|_| PeerError::Unreachable(peer.id))?;
        let unknown = |why: String| PeerError::Unknown(peer.id, why);
        let answer = match self.request(request).await {
            Ok(answer) => answer,
            // No connection, or no TLS on it: the request never began. (A server that refuses our certificate says
            // so only after its own part of the handshake, when a request may be on its way: that is unknown.)
            Err(error) if error.is_connect() => {
                tracing::debug!(peer = %peer.id, address = peer.address, error = %chain(&error), "no connection");
                return Err(PeerError::Unreachable(peer.id));
            }
            Err(error) => return Err(unknown(chain(&error))),
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

/// An error and what is behind it: hyper's own says little.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Answers other brokers until `stop`, then finishes what is in flight. With an identity only clients are answered
/// that show a certificate of the same authority.
pub async fn serve_peers(
    listener: TcpListener,
    broker: Arc<Broker>,
    tls: Option<Tls>,
    stop: CancellationToken,
) {
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.server_config(&[ALPN])));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, from)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let (acceptor, broker, stop) = (acceptor.clone(), broker.clone(), stop.clone());
        connections.spawn(async move {
            let result = match acceptor {
                None => connection(TokioIo::new(stream), broker, stop).await,
                Some(acceptor) => secured(stream, acceptor, broker, stop).await,
            };
            if let Err(error) = result {
                tracing::debug!(%from, error, "a broker's connection has ended");
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn secured(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    broker: Arc<Broker>,
    stop: CancellationToken,
) -> Result<(), String> {
    let stream = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_FOR, acceptor.accept(stream)) => {
            let accepted = accepted.map_err(|_| "the TLS handshake took too long".to_owned())?;
            accepted.map_err(|error| format!("no TLS: {error}"))?
        }
        () = stop.cancelled() => return Ok(()),
    };
    connection(TokioIo::new(stream), broker, stop).await
}

async fn connection(
    io: impl Read + Write + Unpin,
    broker: Arc<Broker>,
    stop: CancellationToken,
) -> Result<(), String> {
    let service = service_fn(move |request| answer(broker.clone(), request));
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(MAX_STREAMS);
    let mut connection = std::pin::pin!(server.serve_connection(io, service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    result.map_err(|error| error.to_string())
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
