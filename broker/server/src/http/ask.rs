//! Asking another process over plain HTTP: a short question, a short answer.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long an answer may take: less than a probe of the kubelet waits.
const ANSWER_FOR: Duration = Duration::from_secs(2);
/// The most that an answer may hold, in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Asks, and keeps connections for the next question.
#[derive(Clone, Debug)]
pub struct Asker {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Default for Asker {
    fn default() -> Asker {
        Asker { client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Asker {
    /// What GET of this URL is answered with, within 2 s and 1 MiB.
    ///
    /// # Errors
    /// With why there is no answer, without the URL.
    pub async fn get(&self, url: &str) -> Result<(StatusCode, Bytes), String> {
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let answer = async {
            let answer = self.client.get(uri).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_BODY_BYTES).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER_FOR, answer).await;
        answer.unwrap_or_else(|_| Err(format!("not within {} s", ANSWER_FOR.as_secs())))
    }
}
