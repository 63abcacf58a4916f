//! What the API server's errors mean to who calls a stream's API.

use kube::Error;
use millrace_server::broker::ControlError;

/// The error of the stream's API for an error of Kubernetes'. Conflicts, and objects that are there already or not
/// there, mean something else in each call: they are looked at before.
pub(super) fn control_error(error: &Error, namespace: &str) -> ControlError {
    let Error::Api(status) = error else {
        return ControlError::Unavailable(format!("the API server of Kubernetes did not answer: {error}"));
    };
    let sentence = status.message.clone();
    match status.code {
        403 if sentence.contains("exceeded quota") => ControlError::TooMany(sentence),
        // Said by RBAC alone: admission has sentences of its own.
        403 if sentence.contains("is forbidden: User \"") => {
            tracing::warn!(namespace, reason = sentence, "this broker may not change Stream resources");
            ControlError::Forbidden(format!(
                "this broker may not change Stream resources in namespace {namespace}: bind the ClusterRole \
                 millrace-broker to its ServiceAccount there"
            ))
        }
        400 | 403 | 422 => ControlError::Refused(sentence),
        404 => ControlError::Unavailable(format!(
            "Kubernetes knows no Stream resources in namespace {namespace}: install the definitions (millrace crds)"
        )),
        code => {
            ControlError::Unavailable(format!("the API server of Kubernetes answered {code}: {sentence}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn error(code: u16, message: &str) -> ControlError {
        control_error(&Error::Api(Status::failure(message, "").with_code(code).boxed()), "team-a")
    }

    #[test]
    fn a_rules_refusal_is_told_in_its_own_words() {
        let words = "Stream.millrace.dev \"orders\" is invalid: spec.retention: Invalid value: \"1h\": write a retention";
        assert_eq!(error(422, words), ControlError::Refused(words.into()));
        let words = "admission webhook \"names.example.org\" denied the request: streams need an owner";
        assert_eq!(error(403, words), ControlError::Refused(words.into()));
    }

    #[test]
    fn a_quota_is_a_limit_and_missing_rights_say_what_to_bind() {
        let words = "streams.millrace.dev \"orders\" is forbidden: exceeded quota: streams, requested: 1";
        assert_eq!(error(403, words), ControlError::TooMany(words.into()));
        let words =
            "streams.millrace.dev is forbidden: User \"system:serviceaccount:a:b\" cannot create resource";
        let ControlError::Forbidden(said) = error(403, words) else { panic!("it is forbidden") };
        assert!(said.contains("bind the ClusterRole millrace-broker") && !said.contains("serviceaccount:"));
    }

    #[test]
    fn whatever_may_pass_is_to_be_tried_again() {
        for code in [404, 408, 429, 500, 503] {
            assert!(matches!(error(code, "later"), ControlError::Unavailable(_)), "{code}");
        }
    }
}
