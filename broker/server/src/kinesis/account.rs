//! A namespace as an account: its number, and the names of its streams.

use std::fmt;

use millrace_core::Consumer;
use sha2::{Digest, Sha256};

use super::check::consumer_of;
use super::error::ApiError;

/// A namespace's number: 12 digits, always the same for the same name. Two namespaces may share a number, and
/// nothing rests on their not doing so: who calls is known by the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account(u64);

impl Account {
    /// The account that a namespace is.
    pub fn of_namespace(namespace: &str) -> Account {
        let digest = Sha256::digest(namespace.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Account(u64::from_be_bytes(first) % 1_000_000_000_000)
    }

    /// The Amazon Resource Name of a stream in this account.
    pub fn stream_arn(&self, region: &str, stream: &str) -> String {
        format!("arn:aws:kinesis:{region}:{self}:stream/{stream}")
    }

    /// The Amazon Resource Name of a stream's consumer. One that is registered anew has another one.
    pub(super) fn consumer_arn(&self, region: &str, stream: &str, consumer: &Consumer) -> String {
        let seconds = registered_s(consumer);
        format!("{}/consumer/{}:{seconds}", self.stream_arn(region, stream), consumer.name)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

/// When a consumer was registered, as its ARN has it: in Unix seconds.
pub(super) fn registered_s(consumer: &Consumer) -> i64 {
    consumer.created_ms.div_euclid(1_000)
}

/// What an ARN names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Stream(&'a str),
    Consumer {
        stream: &'a str,
        name: &'a str,
        /// When it was registered, in Unix seconds.
        at_s: i64,
    },
}

impl<'a> Resource<'a> {
    /// The stream, or the one that it belongs to.
    pub(super) fn stream(&self) -> &'a str {
        match self {
            Resource::Stream(name) | Resource::Consumer { stream: name, .. } => name,
        }
    }
}

/// What an ARN names, if the ARN is one of this account and region. The ARN's form was checked.
pub(super) fn resource_of_arn<'a>(
    arn: &'a str,
    region: &str,
    account: &Account,
) -> Result<Resource<'a>, ApiError> {
    // arn:aws:kinesis:REGION:ACCOUNT:RESOURCE
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let unknown = || ApiError::invalid_argument(format!("{arn} is neither a stream's ARN nor a consumer's."));
    let [_, _, _, its_region, its_account, resource] = parts[..] else { return Err(unknown()) };
    if its_account != account.to_string() {
        return Err(ApiError::access_denied(format!(
            "{arn} is in another account: an ARN is good only within its own account, and this request's is \
             {account}."
        )));
    }
    if its_region != region {
        return Err(ApiError::invalid_argument(format!(
            "{arn} is in another region than the one that the request is signed for, {region}."
        )));
    }
    if let Some((stream, name, at_s)) = consumer_of(resource) {
        return Ok(Resource::Consumer { stream, name, at_s });
    }
    resource.strip_prefix("stream/").map(Resource::Stream).ok_or_else(unknown)
}

/// The stream that an ARN names, under the same conditions.
pub(super) fn stream_of_arn<'a>(arn: &'a str, region: &str, account: &Account) -> Result<&'a str, ApiError> {
    match resource_of_arn(arn, region, account)? {
        Resource::Stream(name) => Ok(name),
        Resource::Consumer { .. } => Err(ApiError::invalid_argument(format!("{arn} is not a stream's ARN."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_keeps_its_number() {
        // The number stands in ARNs that users write down: it must never change.
        assert_eq!(Account::of_namespace("default").to_string(), "984327297149");
        assert_ne!(Account::of_namespace("a"), Account::of_namespace("b"));
    }

    #[test]
    fn an_arn_is_good_only_in_its_own_account_and_region() {
        let account = Account::of_namespace("default");
        let arn = account.stream_arn("eu-west-1", "orders");
        assert_eq!(stream_of_arn(&arn, "eu-west-1", &account), Ok("orders"));
        let other = stream_of_arn(&arn, "eu-west-1", &Account::of_namespace("other"));
        assert_eq!(other.unwrap_err().name, "AccessDeniedException");
        let consumer =
            Consumer { name: "c".into(), created_ms: 1_999, tags: Default::default(), policy: None };
        let consumer = account.consumer_arn("eu-west-1", "orders", &consumer);
        let named = resource_of_arn(&consumer, "eu-west-1", &account);
        assert_eq!(named, Ok(Resource::Consumer { stream: "orders", name: "c", at_s: 1 }));
        assert_eq!(
            stream_of_arn(&consumer, "eu-west-1", &account).unwrap_err().name,
            "InvalidArgumentException"
        );
        let elsewhere = stream_of_arn(&arn, "us-east-1", &account);
        assert_eq!(elsewhere.unwrap_err().name, "InvalidArgumentException");
    }
}
