//! How requests reach the service: to an address, or through a cluster's API server to a pod.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HttpClient, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::kubernetes::{Forward, refused_for_good};

/// How long one answer may take.
const ANSWER_FOR: Duration = Duration::from_secs(30);
/// How long a tunnel may be silent before it is asked whether it lives, and how long it may take to say so. A
/// node that is gone closes nothing.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Sends requests.
#[derive(Clone)]
pub(super) enum Transport {
    /// To the address in the request.
    Direct(Box<HttpClient<HttpConnector, Full<Bytes>>>),
    /// Through tunnels to a Broker's pods.
    Forward(Box<HttpClient<Forward, Full<Bytes>>>),
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    /// What happened.
    pub(super) cause: String,
    /// Whether the service can have seen the request.
    pub(super) sent: bool,
    /// Whether the next try may find another pod.
    pub(super) may_pass: bool,
}

impl Transport {
    /// Connections to addresses.
    pub(super) fn direct() -> Transport {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Transport::Direct(Box::new(HttpClient::builder(TokioExecutor::new()).build(connector)))
    }

    /// Connections to pods. One tunnel carries all requests that are under way (HTTP/2): each is a connection of
    /// its own through the API server, and a `tail` of many shards would have as many.
    pub(super) fn forward(forward: Forward) -> Transport {
        let client = HttpClient::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(ALIVE_EVERY)
            .http2_keep_alive_timeout(ALIVE_EVERY)
            .build(forward);
        Transport::Forward(Box::new(client))
    }

    /// Sends a request, and waits for the whole answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), NoAnswer> {
        let tunnel = matches!(self, Transport::Forward(_));
        let broken = |cause: String| NoAnswer { cause, sent: true, may_pass: tunnel };
        let refused = |error: HttpError| NoAnswer {
            cause: root_cause(&error),
            sent: !error.is_connect(),
            may_pass: tunnel && !refused_for_good(&error),
        };
        let answer = async {
            let response = match self {
                Transport::Direct(client) => client.request(request).await,
                Transport::Forward(client) => client.request(request).await,
            };
            let response = response.map_err(refused)?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| broken(root_cause(&error)))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(ANSWER_FOR, answer)
            .await
            .unwrap_or_else(|_| Err(broken(format!("no answer within {} s", ANSWER_FOR.as_secs()))))
    }
}

/// What lies at the bottom of an error: "connection refused" rather than "client error (Connect)".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
