//! Verifying requests that are signed with AWS Signature Version 4, in the `Authorization` header or in the
//! query (presigned).
//!
//! Source: "AWS Signature Version 4 for API requests", AWS Identity and Access Management user guide.
//!
//! Verification has two steps, so that an unknown caller is refused before its body is read:
//! [`Verifier::begin`] checks everything that stands in the head, [`Claim::finish`] the signature itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header;
use http::request::Parts;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

mod authorization;
mod canonical;
mod date;
mod error;
mod presigned;
mod signing_key;

pub use error::AuthError;

use authorization::Authorization;
use date::SignedAt;
use signing_key::{KeyCache, SigningKey};

/// How far a request's time may lie from ours, in milliseconds.
pub const MAX_SKEW_MS: i64 = 15 * 60 * 1_000;

/// The namespace of every caller when any credentials are taken.
pub const ANY_NAMESPACE: &str = "default";

/// An access key that is known.
#[derive(Clone)]
pub struct AccessKey {
    /// What the caller signs with.
    pub secret: Arc<str>,
    /// The namespace that the caller acts in.
    pub namespace: Arc<str>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Whose signatures are taken.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Those of these access keys, by their ids.
    Known(HashMap<String, AccessKey>),
    /// For development: anybody's, unverified, in the namespace [`ANY_NAMESPACE`]. What is not signed, is
    /// malformed or comes from another time is refused all the same.
    Any,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The access key's id.
    pub access_key_id: String,
    /// The namespace that the caller acts in.
    pub namespace: Arc<str>,
    /// The region that the caller signed for.
    pub region: String,
}

/// Verifies requests.
pub struct Verifier {
    credentials: ArcSwap<Credentials>,
    keys: Mutex<KeyCache>,
}

impl Verifier {
    /// A verifier that takes the signatures of these.
    pub fn new(credentials: Credentials) -> Verifier {
        Verifier { credentials: ArcSwap::from_pointee(credentials), keys: Mutex::default() }
    }

    /// Takes the signatures of these from now on, and of no others.
    pub fn replace(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
    }

    /// Checks what a request's head says of its signature: its form, its time, its scope, and that the
    /// access key is known. `service` is the one that the caller has to sign for.
    ///
    /// # Errors
    /// What AWS would answer.
    pub fn begin(&self, head: &Parts, service: &str, now_ms: i64) -> Result<Claim, AuthError> {
        let authorization = Authorization::of(head)?;
        let presigned = authorization.presigned.as_ref();
        let signed_at = SignedAt::of(head, presigned)?;
        authorization.scope.check(&signed_at, service)?;
        signed_at.check_skew(now_ms, presigned)?;
        canonical::check_signed_headers(head, &authorization.signed_headers)?;
        let given_hash = canonical::given_payload_hash(head, presigned)?;
        let (namespace, key) = match &**self.credentials.load() {
            Credentials::Any => (Arc::from(ANY_NAMESPACE), None),
            Credentials::Known(known) => {
                let access_key =
                    known.get(&authorization.scope.access_key_id).ok_or(AuthError::UnknownAccessKey)?;
                let key = self.keys.lock().get(&authorization.scope, &access_key.secret);
                (access_key.namespace.clone(), Some(key))
            }
        };
        Ok(Claim { authorization, signed_at, given_hash, namespace, key })
    }
}

/// Whether a request says, in either place, that it is signed for this service.
pub fn is_signed_for(head: &Parts, service: &str) -> bool {
    let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let in_header = header.is_some_and(|header| header.contains(&format!("/{service}/aws4_request")));
    in_header || presigned::is_for(head, service)
}

/// A request that is well signed as far as its head tells.
pub struct Claim {
    authorization: Authorization,
    signed_at: SignedAt,
    given_hash: Option<String>,
    namespace: Arc<str>,
    /// `None` when signatures are not verified.
    key: Option<SigningKey>,
}

impl Claim {
    /// Verifies the signature over the head and the whole body. Hashes the body once, if at all.
    ///
    /// # Errors
    /// When head, body and signature do not belong together.
    pub fn finish(self, head: &Parts, body: &[u8]) -> Result<Identity, AuthError> {
        if self.key.is_some() || self.given_hash.is_some() {
            let hash = hex::encode(Sha256::digest(body));
            if self.given_hash.as_ref().is_some_and(|given| *given != hash) {
                return Err(AuthError::invalid(
                    "The value of X-Amz-Content-Sha256 is not the SHA-256 of the request's body.",
                ));
            }
            if let Some(key) = &self.key {
                self.verify(head, &hash, key)?;
            }
        }
        let scope = self.authorization.scope;
        Ok(Identity { access_key_id: scope.access_key_id, namespace: self.namespace, region: scope.region })
    }

    fn verify(&self, head: &Parts, body_hash: &str, key: &SigningKey) -> Result<(), AuthError> {
        let request = canonical::request(head, &self.authorization, body_hash)?;
        let to_sign = format!(
            "{}\n{}\n{}\n{}",
            authorization::ALGORITHM,
            self.signed_at.text,
            self.authorization.scope.text(),
            hex::encode(Sha256::digest(&request)),
        );
        let expected = hex::encode(key.sign(to_sign.as_bytes()));
        let genuine: bool = expected.as_bytes().ct_eq(self.authorization.signature.as_bytes()).into();
        genuine.then_some(()).ok_or(AuthError::Mismatch)
    }
}
