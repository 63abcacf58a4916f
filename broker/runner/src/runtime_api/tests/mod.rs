//! The API as a function sees it, over real connections.

mod failures;
mod invocations;
mod streams;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::*;

/// Longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    api: Arc<RuntimeApi>,
    lines: Arc<Mutex<Vec<String>>>,
}

async fn serve(settings: Settings) -> Served {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = lines.clone();
    let logs = LogLines::new(move |line| kept.lock().push(line.to_owned()));
    let api = RuntimeApi::start(([127, 0, 0, 1], 0).into(), settings, logs).await.unwrap();
    Served { api: Arc::new(api), lines }
}

fn invocation(id: &str) -> Invocation {
    Invocation {
        request_id: id.to_owned(),
        payload: Bytes::from(format!(r#"{{"event":"{id}"}}"#)),
        timeout: PATIENCE,
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        trace_id: Some("Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".to_owned()),
        client_context: Some(r#"{"client":{}}"#.to_owned()),
        cognito_identity: None,
    }
}

/// What came of an invocation: what the function answered with, all of it.
type Outcome = Result<Bytes, FunctionError>;

impl Served {
    fn invoke(&self, invocation: Invocation) -> JoinHandle<Outcome> {
        let api = self.api.clone();
        tokio::spawn(async move { api.invoke(invocation).await?.whole(MAX_STREAM_BYTES).await })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let body = http_body_util::Full::new(body.into()).boxed_unsync();
        self.send_body(method, path, headers, body).await.unwrap()
    }

    /// A request over a connection of its own.
    async fn send_body(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: UnsyncBoxBody<Bytes, Infallible>,
    ) -> Result<Reply, hyper::Error> {
        let stream = tokio::net::TcpStream::connect(self.api.address()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "runtime");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, body) = sender.send_request(request.body(body).unwrap()).await?.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
    }

    /// Takes the next invocation; its id.
    async fn next(&self) -> String {
        self.send(Method::GET, "/2018-06-01/runtime/invocation/next", &[], "").await.id()
    }

    async fn answer(&self, id: &str, what: &str, body: impl Into<Bytes>) -> Reply {
        let path = format!("/2018-06-01/runtime/invocation/{id}/{what}");
        self.send(Method::POST, &path, &[], body).await
    }
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn id(&self) -> String {
        assert_eq!(self.status, StatusCode::OK);
        self.header("lambda-runtime-aws-request-id").to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn is_accepted(&self) {
        assert_eq!((self.status, self.json()), (StatusCode::ACCEPTED, serde_json::json!({"status": "OK"})));
    }

    #[track_caller]
    fn is_refused(&self, status: StatusCode, error_type: &str) {
        assert_eq!((self.status, &self.json()["errorType"]), (status, &Value::from(error_type)));
        assert!(self.json()["errorMessage"].is_string());
    }
}
