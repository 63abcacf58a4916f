//! Why a request's signature is not taken, in AWS' names.

/// Why a request is not authenticated. The texts are for the caller, and hold nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It is not signed.
    #[error("Missing Authentication Token")]
    Missing,
    /// Something that belongs to a signature is missing or malformed.
    #[error("{0}")]
    Incomplete(String),
    /// The signature is whole, but not good: its time, its scope, or what it covers.
    #[error("{0}")]
    Invalid(String),
    /// The signature is another than the one that the access key's secret gives.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS \
         Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// Nobody has this access key.
    #[error("The security token included in the request is invalid.")]
    UnknownAccessKey,
}

impl AuthError {
    pub(super) fn incomplete(text: impl Into<String>) -> AuthError {
        AuthError::Incomplete(text.into())
    }

    pub(super) fn invalid(text: impl Into<String>) -> AuthError {
        AuthError::Invalid(text.into())
    }

    /// The error's name in AWS' APIs. Those that speak JSON answer all of them with status 400.
    pub fn name(&self) -> &'static str {
        match self {
            AuthError::Missing => "MissingAuthenticationTokenException",
            AuthError::Incomplete(_) => "IncompleteSignatureException",
            AuthError::Invalid(_) | AuthError::Mismatch => "InvalidSignatureException",
            AuthError::UnknownAccessKey => "UnrecognizedClientException",
        }
    }
}
