//! Resource policies: `PutResourcePolicy`, `GetResourcePolicy`, `DeleteResourcePolicy`.
//!
//! A policy is kept and told, and grants nothing: an account's streams are for its own callers alone.

use millrace_core::StreamAttributes;
use serde::{Deserialize, Serialize};

use super::Call;
use super::account::Resource;
use super::check::Checks;
use super::error::ApiError;
use super::input::{Text, as_str};

/// The longest policy, in bytes (Kinesis developer guide, "Sharing your data stream").
const MAX_POLICY_BYTES: usize = 20 << 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyInput<'a> {
    #[serde(borrow)]
    policy: Option<Text<'a>>,
    #[serde(borrow, rename = "ResourceARN")]
    resource_arn: Option<Text<'a>>,
}

/// The policy of a stream or of one of its consumers.
fn policy_of<'a>(
    kept: &'a mut StreamAttributes,
    resource: &Resource<'_>,
    call: &Call<'_>,
) -> Result<&'a mut Option<String>, ApiError> {
    match resource {
        Resource::Stream(_) => Ok(&mut kept.policy),
        Resource::Consumer { name, at_s, .. } => {
            Ok(&mut call.registered_mut(kept, name, Some(*at_s))?.policy)
        }
    }
}

/// A policy has to be a JSON object with a statement.
fn check_policy(policy: &str) -> Result<(), ApiError> {
    if policy.len() > MAX_POLICY_BYTES {
        return Err(ApiError::limit_exceeded(format!(
            "A resource policy may have {MAX_POLICY_BYTES} bytes, and this one has {}.",
            policy.len()
        )));
    }
    let document = serde_json::from_str::<serde_json::Value>(policy).ok();
    match document.and_then(|document| document.get("Statement").cloned()) {
        Some(serde_json::Value::Array(_) | serde_json::Value::Object(_)) => Ok(()),
        _ => Err(ApiError::invalid_argument(
            "The resource policy is malformed: it has to be a JSON object with a Statement.",
        )),
    }
}

pub(super) async fn put(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PolicyInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.required("policy", input.policy.as_ref());
    checks.resource(as_str(&input.resource_arn));
    checks.finish()?;
    let policy = as_str(&input.policy).unwrap_or_default();
    let (stream, resource) = call.active_resource(as_str(&input.resource_arn).unwrap_or_default())?;
    check_policy(policy)?;
    call.change_attributes(&stream, |kept| {
        *policy_of(kept, &resource, call)? = Some(policy.to_owned());
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn get(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        policy: &'a str,
    }
    let input: PolicyInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.resource(as_str(&input.resource_arn));
    checks.finish()?;
    let (stream, resource) = call.resource(as_str(&input.resource_arn).unwrap_or_default())?;
    let kept = call.attributes(&stream).await?;
    let policy = match resource {
        Resource::Stream(_) => &kept.policy,
        Resource::Consumer { name, at_s, .. } => &call.registered(&kept, name, Some(at_s))?.policy,
    };
    call.format.write(&Output { policy: policy.as_deref().unwrap_or("{}") })
}

pub(super) async fn delete(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: PolicyInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.resource(as_str(&input.resource_arn));
    checks.finish()?;
    let arn = as_str(&input.resource_arn).unwrap_or_default();
    let (stream, resource) = call.active_resource(arn)?;
    call.change_attributes(&stream, |kept| {
        let removed = policy_of(kept, &resource, call)?.take();
        let none = || ApiError::not_found(format!("No resource policy found for resource ARN {arn}."));
        removed.map(drop).ok_or_else(none)
    })
    .await?;
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_json_object_with_a_statement() {
        assert_eq!(check_policy(r#"{"Version":"2012-10-17","Statement":[]}"#), Ok(()));
        for bad in ["", "{}", "[]", "{", r#"{"Statement":1}"#, "null"] {
            assert_eq!(check_policy(bad).unwrap_err().name, "InvalidArgumentException", "{bad}");
        }
        let long = format!(r#"{{"Statement":[],"Id":"{}"}}"#, "x".repeat(MAX_POLICY_BYTES));
        assert_eq!(check_policy(&long).unwrap_err().name, "LimitExceededException");
    }
}
