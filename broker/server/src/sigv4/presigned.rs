//! Credentials in the query string, as a presigned request has them.

use http::request::Parts;

use super::authorization::{ALGORITHM, Authorization};
use super::canonical::parameters;
use super::error::AuthError;

/// The parameter that holds the signature.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";
const CREDENTIAL: &str = "X-Amz-Credential";
const DATE: &str = "X-Amz-Date";
const PAYLOAD_HASH: &str = "X-Amz-Content-Sha256";
/// Any of these makes a request a presigned one.
const MARKS: [&str; 3] = ["X-Amz-Algorithm", CREDENTIAL, SIGNATURE];
/// The longest that AWS lets a caller ask for: a week.
const MAX_EXPIRES_S: i64 = 604_800;

/// What the query of a presigned request says beside [`Authorization`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presigned {
    /// `X-Amz-Date`, as it stands there.
    pub(super) date: String,
    /// How long the request is good from then on, in seconds; never longer than others, whatever it asks for.
    pub(super) expires_s: i64,
    /// `X-Amz-Content-Sha256`, as it stands there.
    pub(super) payload_hash: Option<String>,
}

impl Presigned {
    /// The name of a parameter that makes this a presigned request, if there is one.
    pub(super) fn marked_by(head: &Parts) -> Option<&'static str> {
        let query = head.uri.query()?;
        let has = |mark: &str| parameters(query).any(|(name, _)| name.eq_ignore_ascii_case(mark.as_bytes()));
        MARKS.into_iter().find(|mark| has(mark))
    }

    /// What the query says. A parameter that is given twice, or in a header too, is refused: which one was meant
    /// is for nobody to guess.
    pub(super) fn authorization(head: &Parts) -> Result<Authorization, AuthError> {
        let query = head.uri.query().unwrap_or_default();
        let find = |wanted: &str| {
            let mut found =
                parameters(query).filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
            let Some((_, value)) = found.next() else { return Ok(None) };
            if found.next().is_some() {
                return Err(AuthError::incomplete(format!(
                    "AWS query-string parameters have '{wanted}' more than once."
                )));
            }
            let value = String::from_utf8(value);
            value.map(Some).map_err(|_| AuthError::incomplete(format!("'{wanted}' is not text.")))
        };
        let need = |wanted: &str| {
            find(wanted)?.filter(|value| !value.is_empty()).ok_or_else(|| {
                AuthError::incomplete(format!(
                    "AWS query-string parameters must include '{wanted}'. Re-examine the query-string parameters."
                ))
            })
        };
        if need("X-Amz-Algorithm")? != ALGORITHM {
            return Err(AuthError::incomplete(format!("X-Amz-Algorithm has to be '{ALGORITHM}'.")));
        }
        let (credential, date, signed_headers) =
            (need(CREDENTIAL)?, need(DATE)?, need("X-Amz-SignedHeaders")?);
        let mut authorization = Authorization::of_texts(&credential, &signed_headers, &need(SIGNATURE)?)?;
        for name in [DATE, "X-Amz-Security-Token", PAYLOAD_HASH] {
            if find(name)?.is_some() && head.headers.contains_key(name) {
                return Err(AuthError::invalid(format!(
                    "Found both '{name}' as a query-string param and as HTTP header."
                )));
            }
        }
        let expires = need("X-Amz-Expires")?;
        let digits = expires.bytes().all(|b| b.is_ascii_digit());
        let expires_s = expires.parse().ok().filter(|s| digits && (1..=MAX_EXPIRES_S).contains(s));
        let expires_s = expires_s.ok_or_else(|| {
            AuthError::incomplete(format!(
                "X-Amz-Expires has to be a number of seconds from 1 to {MAX_EXPIRES_S}."
            ))
        })?;
        let payload_hash = find(PAYLOAD_HASH)?;
        authorization.presigned = Some(Presigned { date, expires_s, payload_hash });
        Ok(authorization)
    }
}

/// Whether the query says that the request is signed for this service.
pub(super) fn is_for(head: &Parts, service: &str) -> bool {
    let end = format!("/{service}/aws4_request");
    let is_credential = |name: &[u8]| name.eq_ignore_ascii_case(CREDENTIAL.as_bytes());
    let query = head.uri.query().unwrap_or_default();
    parameters(query).any(|(name, value)| is_credential(&name) && value.ends_with(end.as_bytes()))
}
