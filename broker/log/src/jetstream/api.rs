//! Requests to JetStream and their errors.

use std::borrow::Cow;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};

use super::JetStream;
use super::inbox::{Reply, Token};
use crate::LogError;

/// Error codes of JetStream, from its `errors.json`.
pub(super) mod code {
    /// Resource limits exceeded for account.
    pub(crate) const ACCOUNT_RESOURCES: u32 = 10002;
    /// Insufficient resources: the server's `max_file_store` is used up.
    pub(crate) const INSUFFICIENT_RESOURCES: u32 = 10023;
    /// The server's `max_memory_store` is used up.
    pub(crate) const MEMORY_RESOURCES: u32 = 10028;
    /// No message found.
    pub(crate) const NO_MESSAGE: u32 = 10037;
    /// Insufficient storage resources.
    pub(crate) const STORAGE_RESOURCES: u32 = 10047;
    /// Stream name already in use with a different configuration.
    pub(crate) const STREAM_NAME_IN_USE: u32 = 10058;
    /// Stream not found.
    pub(crate) const STREAM_NOT_FOUND: u32 = 10059;
    /// Wrong last sequence: N.
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10071;
    /// Storing failed, for the reason that the description names.
    pub(crate) const STORE_FAILED: u32 = 10077;
    /// Wrong last sequence: another append to the same subject is in flight.
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10164;
}

/// Pause between two looks at the connection's state.
const CONNECTION_POLL: Duration = Duration::from_millis(5);

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// JetStream has refused it.
    #[error("{description} (JetStream error {code})")]
    Refused { code: u32, description: String },
    /// Nobody listens on that subject: no such stream, no leader, or a server that restarts.
    #[error("nobody serves {subject}")]
    NoResponders { subject: String },
    /// Nobody knows.
    #[error("{0}")]
    Unknown(String),
}

impl ApiError {
    pub(super) fn code(&self) -> Option<u32> {
        match self {
            ApiError::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<ApiError> for LogError {
    fn from(error: ApiError) -> LogError {
        match error.code() {
            Some(code::STREAM_NOT_FOUND) => LogError::NoLane,
            _ => LogError::Unavailable(error.to_string()),
        }
    }
}

/// The `error` of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorBody<'a> {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    err_code: u32,
    #[serde(default, borrow)]
    description: Cow<'a, str>,
}

impl From<ErrorBody<'_>> for ApiError {
    fn from(body: ErrorBody<'_>) -> ApiError {
        let code = if body.err_code == 0 { body.code } else { body.err_code };
        ApiError::Refused { code, description: body.description.into_owned() }
    }
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
}

/// A message from `STREAM.MSG.GET`.
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) subject: String,
    pub(super) sequence: u64,
    pub(super) time: String,
    /// As sent: `NATS/1.0` and a line for each header; empty if it has none.
    pub(super) headers: Vec<u8>,
    pub(super) payload: Bytes,
}

/// What of a stream's state matters here.
#[derive(Debug, Deserialize)]
pub(super) struct StreamInfo {
    /// When it was made: another stream under the same name has another time.
    pub(super) created: String,
    pub(super) state: StreamState,
    /// How many subjects there are, if they were asked for; they come in pages.
    #[serde(default)]
    pub(super) total: usize,
    /// Where it is stored, if the servers form a cluster.
    cluster: Option<StreamCluster>,
}

#[derive(Debug, Deserialize)]
struct StreamCluster {
    #[serde(default)]
    leader: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    #[serde(default)]
    pub(super) subjects: std::collections::HashMap<String, u64>,
}

impl JetStream {
    /// Fine once JetStream answers for this account.
    pub(super) async fn ready(&self) -> Result<(), ApiError> {
        let _: serde::de::IgnoredAny = self.api("$JS.API.INFO".into(), Bytes::new()).await?;
        Ok(())
    }

    /// Asks the API and reads the answer.
    pub(super) async fn api<T: DeserializeOwned>(&self, subject: String, body: Bytes) -> Result<T, ApiError> {
        let answer = self.request(subject, body).await?;
        let failure: Failure<'_> = read_json(&answer)?;
        match failure.error {
            Some(error) => Err(error.into()),
            None => read_json(&answer),
        }
    }

    /// The same with a body made from JSON.
    pub(super) async fn api_json<T: DeserializeOwned>(
        &self,
        subject: String,
        body: &serde_json::Value,
    ) -> Result<T, ApiError> {
        self.api(subject, body.to_string().into()).await
    }

    /// One stored message, from the stream's leader; `None` if there is none.
    pub(super) async fn stored_message(
        &self,
        stream: &str,
        which: &serde_json::Value,
    ) -> Result<Option<StoredMessage>, ApiError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            error: Option<ErrorBody<'a>>,
            #[serde(borrow)]
            message: Option<Body<'a>>,
        }
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            subject: Cow<'a, str>,
            seq: u64,
            #[serde(borrow)]
            time: Cow<'a, str>,
            #[serde(default, borrow)]
            hdrs: Cow<'a, str>,
            #[serde(default, borrow)]
            data: Cow<'a, str>,
        }
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.request(subject, which.to_string().into()).await?;
        let answer: Answer<'_> = read_json(&answer)?;
        if let Some(error) = answer.error {
            let error = ApiError::from(error);
            return if error.code() == Some(code::NO_MESSAGE) { Ok(None) } else { Err(error) };
        }
        let body = answer.message.ok_or_else(|| ApiError::Unknown("an answer without a message".into()))?;
        let decode = |text: &str| {
            base64_simd::STANDARD
                .decode_to_vec(text)
                .map_err(|error| ApiError::Unknown(format!("an answer that is not base64: {error}")))
        };
        Ok(Some(StoredMessage {
            subject: body.subject.into_owned(),
            sequence: body.seq,
            time: body.time.into_owned(),
            headers: decode(&body.hdrs)?,
            payload: decode(&body.data)?.into(),
        }))
    }

    /// A stream's state, from its leader; with the subjects under a filter from this place on.
    pub(super) async fn stream_info(
        &self,
        stream: &str,
        subjects: Option<(&str, usize)>,
    ) -> Result<StreamInfo, ApiError> {
        let body = match subjects {
            None => Bytes::new(),
            Some((filter, offset)) => {
                serde_json::json!({"subjects_filter": filter, "offset": offset}).to_string().into()
            }
        };
        let info: StreamInfo = self.api(format!("$JS.API.STREAM.INFO.{stream}"), body).await?;
        // While there is no leader any replica answers, also one that lags.
        if info.cluster.as_ref().is_some_and(|cluster| cluster.leader.is_empty()) {
            return Err(ApiError::Unknown(format!("the stream {stream} has no leader")));
        }
        Ok(info)
    }

    /// Sends a request and waits for the first reply's payload.
    async fn request(&self, subject: String, body: Bytes) -> Result<Bytes, ApiError> {
        let deadline = self.deadline();
        let mut token = self.send(subject.clone(), None, body, deadline).await?;
        let message = next_reply(&mut token, deadline).await?;
        match message.status {
            None => Ok(message.payload),
            Some(StatusCode::NO_RESPONDERS) => Err(ApiError::NoResponders { subject }),
            Some(status) => Err(ApiError::Unknown(format!("status {status} from {subject}"))),
        }
    }

    /// When a request that begins now is given up.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.inner.settings.timeout
    }

    /// Sends a message whose replies come to the token. While there is no connection nothing is sent: what
    /// waits in the client's queue would go out at some later time.
    pub(super) async fn send(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Token, ApiError> {
        let client = &self.inner.client;
        while client.connection_state() != State::Connected {
            if Instant::now() + CONNECTION_POLL > deadline {
                return Err(ApiError::Unknown("no connection to NATS".into()));
            }
            sleep(CONNECTION_POLL).await;
        }
        let token = self.inner.inbox.token();
        let reply = token.subject.clone();
        let sent = timeout_at(deadline, async {
            match headers {
                Some(headers) => {
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                None => client.publish_with_reply(subject, reply, payload).await,
            }
        });
        match sent.await {
            Ok(Ok(())) => Ok(token),
            Ok(Err(error)) => Err(ApiError::Unknown(error.to_string())),
            Err(_) => Err(ApiError::Unknown("time-out while it waited to be sent".into())),
        }
    }
}

/// The next reply to a token.
pub(super) async fn next_reply(token: &mut Token, deadline: Instant) -> Result<Message, ApiError> {
    match timeout_at(deadline, token.reply()).await {
        Ok(Reply::Message(message)) => Ok(message),
        Ok(Reply::ConnectionLost) => Err(ApiError::Unknown("the connection to NATS was lost".into())),
        Err(_) => Err(ApiError::Unknown("time-out".into())),
    }
}

pub(super) fn read_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Unknown(format!("an answer that can't be read: {error}")))
}
