//! What nats-server answers on its monitoring port: <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring>.

use bytes::Bytes;
use http::{StatusCode, Uri};
use millrace_server::http::Asker;
use serde::Deserialize;

/// How much of a body an error shows, in characters.
const SHOWN_CHARACTERS: usize = 200;

/// A nats-server's monitoring port.
#[derive(Clone, Debug)]
pub struct Monitor {
    base: String,
    asker: Asker,
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

/// What `/healthz` tells.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    /// What is not in order, if something is.
    error: String,
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
            (Some("http"), Some(authority)) => {
                Ok(Monitor { base: format!("http://{authority}"), asker: Asker::default() })
            }
            _ => Err(format!("{address} is no address of a monitoring port: write http://127.0.0.1:8222")),
        }
    }

    /// Whether the server and every stream of it are in order: status 200, or another and why not.
    pub async fn whole(&self) -> Result<(StatusCode, String), String> {
        self.health("/healthz").await
    }

    /// The same of the server alone: whether it takes part in the log.
    pub async fn enabled(&self) -> Result<(StatusCode, String), String> {
        self.health("/healthz?js-enabled-only=true").await
    }

    async fn health(&self, path: &str) -> Result<(StatusCode, String), String> {
        let (status, body) = self.get(path).await?;
        let health: Health = serde_json::from_slice(&body).unwrap_or_default();
        // On one line: it ends up in the answer to a probe.
        let words: Vec<&str> = health.error.split_whitespace().collect();
        Ok((status, words.join(" ").chars().take(SHOWN_CHARACTERS).collect()))
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
        let answer = self.asker.get(&url).await;
        answer.map_err(|why| format!("nats-server does not answer {url}: {why}"))
    }
}
