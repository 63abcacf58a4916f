//! Algorithm, credential scope, signed headers and signature: in the `Authorization` header, or in the query of a
//! presigned request.

use http::header;
use http::request::Parts;

use super::date::SignedAt;
use super::error::AuthError;
use super::presigned::Presigned;

/// The only algorithm that is taken.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const SIGNATURE_DIGITS: usize = 64;
/// What a caller may call its key or region; ids of AWS have 16 to 128 characters.
const MAX_NAME_BYTES: usize = 128;

/// What a request says of its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) scope: Scope,
    /// Lower-case, in order, none twice.
    pub(super) signed_headers: Vec<String>,
    /// 64 lower-case hex digits.
    pub(super) signature: String,
    /// What else the query of a presigned request says; `None` where the header says it all.
    pub(super) presigned: Option<Presigned>,
}

/// What a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) access_key_id: String,
    /// `YYYYMMDD`.
    pub(super) date: String,
    pub(super) region: String,
    pub(super) service: String,
}

impl Scope {
    /// The scope as it is signed.
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }

    fn parse(credential: &str) -> Result<Scope, AuthError> {
        let wrong = || {
            AuthError::incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term",
            )
        };
        let mut parts = credential.split('/');
        let mut next = || parts.next().map(str::to_owned).ok_or_else(wrong);
        let scope = Scope { access_key_id: next()?, date: next()?, region: next()?, service: next()? };
        let terminator = next()?;
        if parts.next().is_some() {
            return Err(wrong());
        }
        if terminator != TERMINATOR {
            return Err(AuthError::invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        let plain = |text: &str, others: &str| {
            (1..=MAX_NAME_BYTES).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
        };
        if !plain(&scope.access_key_id, "_-.+=@") {
            return Err(AuthError::incomplete(
                "The access key id in Credential is empty, too long or malformed.",
            ));
        }
        if !plain(&scope.region, "-") {
            return Err(AuthError::invalid("Credential should be scoped to a valid region."));
        }
        Ok(scope)
    }

    /// Whether the scope fits the request's time and the service that is called.
    pub(super) fn check(&self, signed_at: &SignedAt, service: &str) -> Result<(), AuthError> {
        if self.service != service {
            return Err(AuthError::invalid(format!(
                "Credential should be scoped to correct service: '{service}'."
            )));
        }
        if self.date != signed_at.date() {
            return Err(AuthError::invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 the latter is '{}', from '{}'.",
                signed_at.date(),
                signed_at.text,
            )));
        }
        Ok(())
    }
}

impl Authorization {
    /// The one `Authorization` header of a request, or what its query has in place of it.
    pub(super) fn of(head: &Parts) -> Result<Authorization, AuthError> {
        let in_query = Presigned::marked_by(head);
        let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), in_query) {
            (Some(_), Some(name)) => {
                return Err(AuthError::invalid(format!(
                    "Found both '{name}' as a query-string param and 'Authorization' as HTTP header."
                )));
            }
            (None, Some(_)) => return Presigned::authorization(head),
            (None, None) => return Err(AuthError::Missing),
            (Some(value), None) => value,
        };
        if values.next().is_some() {
            return Err(AuthError::incomplete("The request has more than one Authorization header."));
        }
        let value = value.to_str().ok();
        Authorization::parse(value.ok_or_else(|| AuthError::incomplete("Authorization is not ASCII text."))?)
    }

    fn parse(value: &str) -> Result<Authorization, AuthError> {
        let Some(parameters) = value.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
            return Err(AuthError::incomplete(format!(
                "Authorization has to begin with '{ALGORITHM} ': no other algorithm is taken."
            )));
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim_matches(' ').split_once('=').unwrap_or_default();
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => {
                    return Err(AuthError::incomplete(
                        "Authorization has a parameter that is unknown or malformed.",
                    ));
                }
            };
            if slot.replace(value).is_some() {
                return Err(AuthError::incomplete(format!("Authorization has '{name}' more than once.")));
            }
        }
        let slots = [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)];
        let missing: Vec<String> = slots
            .iter()
            .filter(|(_, value)| value.unwrap_or_default().is_empty())
            .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
            .collect();
        let (Some(credential), Some(signed_headers), Some(signature), true) =
            (credential, signed_headers, signature, missing.is_empty())
        else {
            return Err(AuthError::Incomplete(missing.join(" ")));
        };
        Authorization::of_texts(credential, signed_headers, signature)
    }

    /// What the three parameters say that both places have.
    pub(super) fn of_texts(
        credential: &str,
        signed_headers: &str,
        signature: &str,
    ) -> Result<Authorization, AuthError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if signature.len() != SIGNATURE_DIGITS || !signature.bytes().all(hex) {
            return Err(AuthError::incomplete("Signature has to be 64 lower-case hex digits."));
        }
        Ok(Authorization {
            scope: Scope::parse(credential)?,
            signed_headers: parse_signed_headers(signed_headers)?,
            signature: signature.to_owned(),
            presigned: None,
        })
    }
}

fn parse_signed_headers(list: &str) -> Result<Vec<String>, AuthError> {
    let names: Vec<&str> = list.split(';').collect();
    let named = names.iter().all(|name| !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase()));
    if !named || names.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(AuthError::incomplete(
            "SignedHeaders has to be a list of lower-case names in order, each once, divided by ';'.",
        ));
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

    fn header() -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kinesis/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
        )
    }

    #[test]
    fn a_header_is_read_with_and_without_spaces_after_its_commas() {
        let read = Authorization::parse(&header()).unwrap();
        assert_eq!(read.scope.access_key_id, "AKIDEXAMPLE");
        assert_eq!(read.scope.text(), "20150830/us-east-1/kinesis/aws4_request");
        assert_eq!(read.signed_headers, ["host", "x-amz-date"]);
        assert_eq!(Authorization::parse(&header().replace(", ", ",")).unwrap(), read);
    }

    #[test]
    fn every_missing_parameter_is_named() {
        let refused = Authorization::parse("AWS4-HMAC-SHA256 SignedHeaders=host").unwrap_err();
        let text = "Authorization header requires 'Credential' parameter. \
                    Authorization header requires 'Signature' parameter.";
        assert_eq!(refused, AuthError::incomplete(text));
    }

    #[test]
    fn what_is_not_exactly_a_header_is_refused() {
        let upper = SIGNATURE.to_uppercase();
        let changes = [
            ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
            ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
            ("Signature=", "signature="),
            ("Signature=", "Signature=0"),
            (SIGNATURE, &upper),
            ("Credential=", "Credential=a/20150830/us-east-1/kinesis/aws4_request, Credential="),
            ("/us-east-1", ""),
            ("/us-east-1", "/us/east-1"),
            ("/us-east-1", "/"),
            ("AKIDEXAMPLE", ""),
            ("AKIDEXAMPLE", "a b"),
            ("aws4_request", "aws4_requesT"),
            ("host;x-amz-date", "x-amz-date;host"),
            ("host;x-amz-date", "host;host;x-amz-date"),
            ("host;x-amz-date", "Host;x-amz-date"),
            ("host;x-amz-date", ";host;x-amz-date"),
            ("host;x-amz-date", ""),
            (", Signature", ", Extra=1, Signature"),
        ];
        for (from, to) in changes {
            let changed = header().replacen(from, to, 1);
            assert_ne!(changed, header());
            assert!(Authorization::parse(&changed).is_err(), "{changed}");
        }
    }
}
