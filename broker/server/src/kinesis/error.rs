//! Errors as Kinesis answers them: a name, a message, a status.

use http::StatusCode;
use millrace_core::ShardId;

use super::account::Account;
use super::format::Format;
use crate::broker::{ControlError, PutError, ReadError, Stream};
use crate::http::BodyError;
use crate::sigv4::AuthError;

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    /// Kinesis answers 400 to what the caller can mend, 500 to what it can't.
    pub(super) status: StatusCode,
    /// The value of `__type`, by which client libraries tell errors apart.
    pub(super) name: &'static str,
    /// For people.
    pub(super) message: String,
}

/// What a record that can be sent again is answered with; of a call that can be, the model has a name of its own.
const INTERNAL_FAILURE: &str = "InternalFailure";
const RATE_EXCEEDED: &str = "ProvisionedThroughputExceededException";

impl ApiError {
    fn client(name: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { status: StatusCode::BAD_REQUEST, name, message: message.into() }
    }

    pub(super) fn serialization(message: impl Into<String>) -> ApiError {
        ApiError::client("SerializationException", message)
    }

    pub(super) fn validation(message: impl Into<String>) -> ApiError {
        ApiError::client("ValidationException", message)
    }

    pub(super) fn invalid_argument(message: impl Into<String>) -> ApiError {
        ApiError::client("InvalidArgumentException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> ApiError {
        ApiError::client("ResourceNotFoundException", message)
    }

    pub(super) fn in_use(message: impl Into<String>) -> ApiError {
        ApiError::client("ResourceInUseException", message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> ApiError {
        ApiError::client("LimitExceededException", message)
    }

    pub(super) fn expired_iterator(message: impl Into<String>) -> ApiError {
        ApiError::client("ExpiredIteratorException", message)
    }

    pub(super) fn expired_token() -> ApiError {
        ApiError::client("ExpiredNextTokenException", "The provided NextToken has expired.")
    }

    pub(super) fn access_denied(message: impl Into<String>) -> ApiError {
        ApiError::client("AccessDeniedException", message)
    }

    pub(super) fn unknown_operation(message: impl Into<String>) -> ApiError {
        ApiError::client("UnknownOperationException", message)
    }

    pub(super) fn throttled(message: impl Into<String>) -> ApiError {
        ApiError::client(RATE_EXCEEDED, message)
    }

    /// Too many requests that were made only to find out whether they would succeed.
    pub(super) fn too_many_dry_runs(stream: &str, account: &Account) -> ApiError {
        ApiError::client(
            "ThrottlingException",
            format!("Rate exceeded for requests with DryRun on stream {stream} under account {account}."),
        )
    }

    /// The request would have succeeded, and was made only to find that out.
    pub(super) fn dry_run() -> ApiError {
        ApiError::client(
            "DryRunOperationException",
            "The request was rejected because the DryRun parameter was specified.",
        )
    }

    /// An operation of Kinesis that this version does not have. Not one of Kinesis' errors: to answer with one
    /// of those would be untrue. Client libraries do not try again on 501.
    pub(super) fn not_built(what: &str) -> ApiError {
        ApiError {
            status: StatusCode::NOT_IMPLEMENTED,
            name: "NotImplementedException",
            message: format!("{what} is not built in this version of Millrace."),
        }
    }

    /// Nobody knows whether it was done. Client libraries try again.
    pub(super) fn internal() -> ApiError {
        ApiError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            name: "InternalFailureException",
            message: "The request could not be completed in time. Try again.".into(),
        }
    }

    /// The stream is not there, or not in this account.
    pub(super) fn no_stream(name: &str, account: &Account) -> ApiError {
        ApiError::not_found(format!("Stream {name} under account {account} not found."))
    }

    /// The shard can't be named in a split, a merge or an iterator.
    pub(super) fn no_such_shard(shard: &str, stream: &str, account: &Account) -> ApiError {
        ApiError::not_found(format!(
            "Could not find shard {shard} in stream {stream} under account {account}."
        ))
    }

    /// The shard can't be read, now or any more.
    pub(super) fn shard_gone(shard: ShardId, stream: &str, account: &Account) -> ApiError {
        ApiError::not_found(format!(
            "Shard {shard} in stream {stream} under account {account} does not exist"
        ))
    }

    /// The stream is in another state than the operation needs.
    pub(super) fn not_active(stream: &str, account: &Account, status: &str) -> ApiError {
        ApiError::in_use(format!(
            "Stream {stream} under account {account} not ACTIVE, instead in state {status}"
        ))
    }

    /// The record was not stored, or is not known to be.
    pub(super) fn of_put(error: &PutError, stream: &Stream, account: &Account) -> ApiError {
        let (name, message) = put_failure(error, &stream.name, account);
        match name {
            RATE_EXCEEDED => ApiError::throttled(message),
            _ => ApiError::internal(),
        }
    }

    /// The read got no answer.
    pub(super) fn of_read(error: &ReadError, stream: &Stream, account: &Account) -> ApiError {
        match error {
            ReadError::NoShard(shard) => ApiError::shard_gone(*shard, &stream.name, account),
            ReadError::Unavailable(reason) => {
                tracing::debug!(stream = stream.name, reason, "a read got no answer");
                ApiError::internal()
            }
            ReadError::Damaged(reason) => {
                let (namespace, stream) = (&stream.namespace, &stream.name);
                tracing::error!(namespace, stream, reason, "stored records can't be read");
                ApiError::internal()
            }
        }
    }

    /// The change was refused. Refused plans have texts of their own in each operation: here, the general one.
    pub(super) fn of_control(error: &ControlError, stream: &str, account: &Account) -> ApiError {
        match error {
            ControlError::Exists(_) => {
                ApiError::in_use(format!("Stream {stream} under account {account} already exists."))
            }
            ControlError::NoStream(_) => ApiError::no_stream(stream, account),
            ControlError::NotActive(_) => ApiError::not_active(stream, account, "UPDATING"),
            ControlError::Plan(refused) => ApiError::invalid_argument(refused.to_string()),
            ControlError::Refused(why) => ApiError::invalid_argument(why.as_str()),
            ControlError::TooMany(why) => ApiError::limit_exceeded(why.as_str()),
            ControlError::Forbidden(why) => ApiError::access_denied(why.as_str()),
            ControlError::Unavailable(reason) => {
                tracing::debug!(stream, reason, "a change got no answer");
                ApiError::internal()
            }
        }
    }

    /// The body as it is sent.
    pub(super) fn body(&self, format: Format) -> Vec<u8> {
        #[derive(serde::Serialize)]
        struct Form<'a> {
            __type: &'a str,
            message: &'a str,
        }
        format.write(&Form { __type: self.name, message: &self.message }).unwrap_or_default()
    }
}

/// The error code and message of a record that was not acknowledged.
pub(super) fn put_failure(error: &PutError, stream: &str, account: &Account) -> (&'static str, String) {
    match error {
        PutError::Throttled(shard) => (
            RATE_EXCEEDED,
            format!("Rate exceeded for shard {shard} in stream {stream} under account {account}."),
        ),
        PutError::StorageFull(shard) => (
            RATE_EXCEEDED,
            format!(
                "The storage quota of stream {stream} under account {account} is used up for shard {shard}: \
                 raise the stream's quota or shorten its retention."
            ),
        ),
        PutError::Unavailable(_) => (INTERNAL_FAILURE, "Internal service failure.".into()),
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> ApiError {
        ApiError::client(error.name(), error.to_string())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> ApiError {
        let (status, name) = match error {
            BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException"),
            BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "RequestTimeoutException"),
            BodyError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "SerializationException"),
        };
        ApiError { status, name, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_kinesis_form() {
        let error = ApiError::no_stream("a\"b", &Account::of_namespace("default"));
        let body: serde_json::Value = serde_json::from_slice(&error.body(Format::Json)).unwrap();
        assert_eq!(minicbor_serde::from_slice::<serde_json::Value>(&error.body(Format::Cbor)).unwrap(), body);
        assert_eq!(body["__type"], "ResourceNotFoundException");
        let account = Account::of_namespace("default");
        assert_eq!(body["message"], format!("Stream a\"b under account {account} not found."));
        assert_eq!(error.status, 400);
    }

    #[test]
    fn only_what_may_be_tried_again_is_answered_with_500() {
        let account = Account::of_namespace("default");
        let (name, message) = put_failure(&PutError::Throttled(ShardId(3)), "s", &account);
        assert_eq!(name, "ProvisionedThroughputExceededException");
        let text =
            format!("Rate exceeded for shard shardId-000000000003 in stream s under account {account}.");
        assert_eq!(message, text);
        let (name, message) = put_failure(&PutError::Unavailable("nats: inner detail".into()), "s", &account);
        assert_eq!((name, message.as_str()), ("InternalFailure", "Internal service failure."));
        assert_eq!(ApiError::internal().status, 500);
    }
}
