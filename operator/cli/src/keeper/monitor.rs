//! What nats-server answers on its monitoring port: <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring>.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// How long an answer may take: less than a probe of the kubelet waits.
const ANSWER_FOR: Duration = Duration::from_secs(2);
/// The most that an answer may hold, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;
/// How much of a body an error shows, in characters.
const SHOWN_CHARACTERS: usize = 200;

/// A nats-server's monitoring port.
#[derive(Clone, Debug)]
pub struct Monitor {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What `/varz` tells, as far as it is of use here. A server without JetStream, or one that stands alone, leaves
/// parts of it out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct State {
    /// When the configuration was read, certificates included.
    pub config_load_time: String,
    /// The process's memory, in bytes.
    pub mem: u64,
    pub connections: u64,
    pub routes: u64,
    pub slow_consumers: u64,
    pub jetstream: JetStream,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JetStream {
    pub config: Config,
    pub stats: Stats,
    /// There in a cluster only.
    pub meta: Option<Meta>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// In bytes.
    pub max_storage: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// In bytes.
    pub storage: u64,
    /// In bytes.
    pub reserved_storage: u64,
    pub api: Api,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Api {
    pub total: u64,
    pub errors: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The name of the server that leads; empty while there is none.
    pub leader: String,
}

impl Monitor {
    /// The port at this address, `http://host:port`.
    pub fn new(address: &Uri) -> Result<Monitor, String> {
        match (address.scheme_str(), address.authority()) {
            (Some("http"), Some(authority)) => Ok(Monitor {
                base: format!("http://{authority}"),
                client: Client::builder(TokioExecutor::new()).build_http(),
            }),
            _ => Err(format!("{address} is no address of a monitoring port: write http://127.0.0.1:8222")),
        }
    }

    /// Whether the server is in order: status 200, or another and why not.
    pub async fn health(&self) -> Result<(StatusCode, String), String> {
        let (status, body) = self.get("/healthz?js-enabled-only=true").await?;
        let body = String::from_utf8_lossy(&body);
        // On one line: it ends up in the answer to a probe.
        Ok((
            status,
            body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARACTERS).collect(),
        ))
    }

    /// The server's state and figures.
    pub async fn state(&self) -> Result<State, String> {
        match self.get("/varz").await? {
            (StatusCode::OK, body) => serde_json::from_slice(&body)
                .map_err(|error| format!("{}/varz answers what can't be read: {error}", self.base)),
            (status, _) => Err(format!("{}/varz answers {status}", self.base)),
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let url = format!("{}{path}", self.base);
        let failed = |why: String| format!("nats-server does not answer {url}: {why}");
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| failed(error.to_string()))?;
        let answer = async {
            let answer = self.client.get(uri).await.map_err(|error| failed(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
            Ok((status, body.map_err(|error| failed(error.to_string()))?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER_FOR, answer).await;
        answer.unwrap_or_else(|_| Err(failed(format!("not within {}s", ANSWER_FOR.as_secs()))))
    }
}
