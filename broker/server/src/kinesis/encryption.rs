//! `StartStreamEncryption`, `StopStreamEncryption`.
//!
//! There is no key management here: the key that is named is kept and told, and records are said to be encrypted with
//! it from then on. Encrypting what lies on disk is the volumes' matter.

use serde::Deserialize;

use super::Call;
use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Text, as_str};
use millrace_core::Limits;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptionInput<'a> {
    #[serde(borrow)]
    encryption_type: Option<Text<'a>>,
    #[serde(borrow)]
    key_id: Option<Text<'a>>,
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
}

impl EncryptionInput<'_> {
    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.required("encryptionType", self.encryption_type.as_ref());
        checks.one_of("encryptionType", as_str(&self.encryption_type), &["NONE", "KMS"]);
        checks.required("keyId", self.key_id.as_ref());
        checks.text("keyId", as_str(&self.key_id), check::KEY_ID);
        checks.stream(as_str(&self.stream_name), as_str(&self.stream_arn));
        checks.finish()?;
        match as_str(&self.encryption_type) {
            Some("KMS") => Ok(()),
            _ => Err(ApiError::invalid_argument("The only valid value of EncryptionType is KMS.")),
        }
    }
}

pub(super) async fn start(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: EncryptionInput<'_> = call.format.read(body)?;
    input.check()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let key = as_str(&input.key_id);
    let new = stream.attributes.encryption_key.as_deref() != key;
    let counted = new && stream.entry.config.limits == Limits::Kinesis;
    if counted && !call.kinesis.new_keys.admit(&stream.entry.data, call.now_ms) {
        return Err(ApiError::limit_exceeded(format!(
            "A new key can be applied 25 times in 24 hours to one stream: stream {} under account {}.",
            stream.name, call.account
        )));
    }
    call.change_attributes(&stream, |kept| {
        kept.encryption_key = key.map(str::to_owned);
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn stop(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: EncryptionInput<'_> = call.format.read(body)?;
    input.check()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    call.change_attributes(&stream, |kept| {
        kept.encryption_key = None;
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}
