//! Publishing with a condition, and what JetStream's refusals mean.

use async_nats::StatusCode;
use async_nats::header::{HeaderMap, HeaderValue, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use bytes::Bytes;
use serde::Deserialize;

use super::JetStream;
use super::api::{ApiError, ErrorBody, code, next_reply, read_json};
use crate::AppendError;

/// JetStream's answer to a publish.
#[derive(Deserialize)]
struct PublishAck<'a> {
    #[serde(borrow)]
    error: Option<ErrorBody<'a>>,
    #[serde(default)]
    seq: u64,
}

impl JetStream {
    /// Publishes a message and waits for its sequence. `expected`: only if the last sequence on the subject
    /// is this one. The payload is not copied here.
    ///
    /// [`ApiError::Refused`] means that this attempt was not stored, for the codes that [`append_error`] tells as such.
    pub(super) async fn publish(
        &self,
        subject: String,
        mut headers: HeaderMap,
        expected: Option<u64>,
        payload: Bytes,
    ) -> Result<u64, ApiError> {
        if let Some(expected) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(expected));
        }
        let headers = (!headers.is_empty()).then_some(headers);
        let deadline = self.deadline();
        let mut token = self.send(subject.clone(), headers, payload, deadline).await?;
        let reply = next_reply(&mut token, deadline).await?;
        if reply.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(ApiError::NoResponders { subject });
        }
        let ack: PublishAck<'_> = read_json(&reply.payload)?;
        match ack.error {
            Some(error) => Err(error.into()),
            None if ack.seq == 0 => Err(ApiError::Unknown("an acknowledgement without a sequence".into())),
            None => Ok(ack.seq),
        }
    }
}

/// What a failed publish means to an append.
pub(super) fn append_error(error: ApiError) -> AppendError {
    let ApiError::Refused { code, description } = &error else {
        return AppendError::Unknown(error.to_string());
    };
    match *code {
        code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT => AppendError::WrongSequence,
        // Of the reasons for which storing fails only these say that it was the lane's own limit; others, like
        // a store that is being closed, may come after the other replicas have stored the message.
        code::STORE_FAILED if LIMITS.contains(&description.as_str()) => {
            AppendError::Full(description.clone())
        }
        // Checked before the message is stored or proposed to the other replicas.
        code::ACCOUNT_RESOURCES
        | code::INSUFFICIENT_RESOURCES
        | code::MEMORY_RESOURCES
        | code::STORAGE_RESOURCES => AppendError::Full(description.clone()),
        _ => AppendError::Unknown(error.to_string()),
    }
}

/// How JetStream words a stream's own limits under `discard: new`.
const LIMITS: [&str; 2] = ["maximum bytes exceeded", "maximum messages exceeded"];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32, description: &str) -> AppendError {
        append_error(ApiError::Refused { code, description: description.into() })
    }

    #[test]
    fn only_refusals_that_are_sure_are_told_as_such() {
        assert_eq!(refused(10071, "wrong last sequence: 7"), AppendError::WrongSequence);
        assert_eq!(refused(10164, "wrong last sequence"), AppendError::WrongSequence);
        assert!(matches!(refused(10077, "maximum bytes exceeded"), AppendError::Full(_)));
        assert!(matches!(refused(10023, "insufficient resources"), AppendError::Full(_)));
        assert!(matches!(refused(10077, "store is closed"), AppendError::Unknown(_)));
        assert!(matches!(
            refused(10008, "JetStream system temporarily unavailable"),
            AppendError::Unknown(_)
        ));
        assert!(matches!(append_error(ApiError::Unknown("time-out".into())), AppendError::Unknown(_)));
        let nobody = ApiError::NoResponders { subject: "mr.x.0.0".into() };
        assert!(matches!(append_error(nobody), AppendError::Unknown(_)));
    }
}
