//! HTTP/1.1 as a load needs it: one connection, one request at a time on it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take before the connection is given up: longer than any the server waits for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A request that is ready to be sent, as often as one likes.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// One connection, and another one once the server has closed it, as some do after each answer.
pub(crate) struct Connection {
    address: SocketAddr,
    requests: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let socket =
            TcpStream::connect(address).await.with_context(|| format!("can't connect to {address}"))?;
        socket.set_nodelay(true)?;
        let (requests, connection) = http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(Connection { address, requests })
    }

    /// Posts a request to `/` and waits for the whole answer.
    pub(crate) async fn post(&mut self, prepared: &Prepared) -> anyhow::Result<Answer> {
        if self.requests.is_closed() {
            *self = Connection::open(self.address).await?;
        }
        let mut request = Request::new(Full::new(prepared.body.clone()));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = prepared.headers.clone();
        self.send(request).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let answer = async {
            self.requests.ready().await?;
            let (head, body) = self.requests.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>(Answer { status: head.status, body: body.collect().await?.to_bytes() })
        };
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer.context("the connection broke"),
            Err(_) => bail!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        }
    }
}

/// Whether the server answers 200 on `/ready`.
pub(crate) async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address).await else { return false };
    let request = Request::get("/ready").header(header::HOST, address.to_string()).body(Full::default());
    let Ok(request) = request else { return false };
    connection.send(request).await.is_ok_and(|answer| answer.status == StatusCode::OK)
}
