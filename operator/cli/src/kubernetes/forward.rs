//! Connections to a Broker's pods through the API server, as `kubectl port-forward` makes them, but without a
//! port on this host.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use millrace_tls::tunnel_config;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::pods;
use super::refusal::{Asked, explain, is_forbidden};

/// Where brokers serve the APIs in their pods.
const API_PORT: u16 = 4566;
/// How long the API server may take to reach a pod: a node that is gone answers never.
const DIAL_WITHIN: Duration = Duration::from_secs(10);

/// Makes connections to the ready pods of one Broker, each to the next one.
#[derive(Clone)]
pub struct Forward {
    pods: Api<Pod>,
    namespace: String,
    broker: String,
    /// The pod that was taken last.
    last: Arc<Mutex<Option<String>>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ForwardError {
    what: String,
    /// Whether waiting can't help.
    for_good: bool,
}

impl Forward {
    /// The way to the brokers of `broker` in `namespace`. Nothing is dialled yet.
    pub fn new(api: kube::Client, namespace: &str, broker: &str) -> Forward {
        Forward {
            pods: Api::namespaced(api, namespace),
            namespace: namespace.to_owned(),
            broker: broker.to_owned(),
            last: Arc::default(),
        }
    }

    /// Whether any pod is ready just now.
    ///
    /// # Errors
    /// When pods can't be listed.
    pub async fn has_ready_pod(&self) -> anyhow::Result<bool> {
        let pods =
            self.pods.list(&self.brokers()).await.map_err(|error| explain(self.asked("list"), &error))?;
        Ok(pods.items.iter().any(pods::is_ready))
    }

    fn brokers(&self) -> ListParams {
        ListParams::default()
            .labels(&format!("app.kubernetes.io/instance={},app.kubernetes.io/component=broker", self.broker))
    }

    fn asked<'a>(&'a self, verb: &'a str) -> Asked<'a> {
        Asked { verb, resource: "pods", name: None, namespace: Some(&self.namespace) }
    }

    async fn dial(self) -> Result<TokioIo<Tunnel>, ForwardError> {
        let refused = |asked: Asked<'_>, error: &kube::Error| ForwardError {
            what: explain(asked, error).to_string(),
            for_good: is_forbidden(error),
        };
        let passing = |what: String| ForwardError { what, for_good: false };
        let pods =
            self.pods.list(&self.brokers()).await.map_err(|error| refused(self.asked("list"), &error))?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let pod = pods::next(&pods.items, last.as_deref())
            .ok_or_else(|| passing(format!("no broker pod of Broker {} is ready", self.broker)))?;
        // Before it is tried, so that the next try goes elsewhere if this one hangs.
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(pod.clone());
        let dialled = tokio::time::timeout(DIAL_WITHIN, self.pods.portforward(&pod, &[API_PORT])).await;
        let mut ports = match dialled {
            Ok(Ok(ports)) => ports,
            Ok(Err(error)) => {
                // The API server asks for `get` or `create`, by its version.
                let asked = Asked { resource: "pods/portforward", ..self.asked("get and create") };
                return Err(refused(asked, &error));
            }
            Err(_) => {
                return Err(passing(format!(
                    "the API server does not reach pod {pod} within {} s",
                    DIAL_WITHIN.as_secs()
                )));
            }
        };
        tracing::debug!(pod, "connected");
        let stream =
            ports.take_stream(API_PORT).ok_or_else(|| passing(format!("pod {pod} has no such port")))?;
        if !pods::speaks_tls(&pods.items, &pod) {
            return Ok(TokioIo::new(Tunnel(Box::new(stream))));
        }
        let name = "localhost".try_into().expect("a name");
        let handshake = TlsConnector::from(tunnel_config(&[b"h2"])).connect(name, stream);
        match tokio::time::timeout(DIAL_WITHIN, handshake).await {
            Ok(Ok(stream)) => Ok(TokioIo::new(Tunnel(Box::new(stream)))),
            Ok(Err(error)) => Err(passing(format!("pod {pod} speaks no TLS: {error}"))),
            Err(_) => {
                Err(passing(format!("pod {pod} does not speak TLS within {} s", DIAL_WITHIN.as_secs())))
            }
        }
    }
}

impl tower::Service<http::Uri> for Forward {
    type Response = TokioIo<Tunnel>;
    type Error = ForwardError;
    type Future = BoxFuture<'static, Result<TokioIo<Tunnel>, ForwardError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        self.clone().dial().boxed()
    }
}

/// Why no connection was made, where no later try would make one either.
pub fn refused_for_good(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if this.downcast_ref::<ForwardError>().is_some_and(|refused| refused.for_good) {
            return true;
        }
        cause = this.source();
    }
    false
}

/// A connection to a pod, with TLS in it or without.
pub struct Tunnel(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
