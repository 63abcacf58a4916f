//! Why a call got no answer, or none that helps.

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody answers there.
    #[error("can't reach {place}: {cause}; {advice}")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What the connection said.
        cause: String,
        /// What to do.
        advice: &'static str,
        /// Whether the same call may be made again: nothing can come of it twice, and it may find another pod.
        again: bool,
    },
    /// The service refused.
    #[error("{name}: {message}")]
    Refused {
        /// The error's name in the API, such as `ResourceNotFoundException`.
        name: String,
        /// What it says.
        message: String,
    },
    /// What came is no answer of this API.
    #[error("{place} does not answer as the Kinesis API does ({what}): is it a millrace broker?")]
    Strange {
        /// Who answered.
        place: String,
        /// What came.
        what: String,
    },
}

impl CallError {
    /// The error's name in the API, if it is one of the API's.
    pub fn name(&self) -> &str {
        match self {
            CallError::Refused { name, .. } => name,
            _ => "",
        }
    }

    /// Whether the service is only busy.
    pub(super) fn passes(&self) -> bool {
        matches!(
            self.name(),
            "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "ThrottlingException"
                | "KMSThrottlingException"
                | "InternalFailureException"
                | "ServiceUnavailable"
                | "ServiceUnavailableException"
                | "ResourceInUseException"
        )
    }
}
