//! What the API server refused, in sentences that say whom to ask for what. Pure.

use kube::Error;
use kube::client::UpgradeConnectionError;

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What RBAC calls it, such as `get`.
    pub verb: &'a str,
    /// The resource with its group, such as `streams.millrace.dev`.
    pub resource: &'a str,
    /// The object's name, where one was named.
    pub name: Option<&'a str>,
    /// The namespace; none where all were asked for.
    pub namespace: Option<&'a str>,
}

impl Asked<'_> {
    /// "get secrets/default-root-access-key in namespace demo".
    fn told(&self) -> String {
        let name = self.name.map(|name| format!("/{name}")).unwrap_or_default();
        let place = match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in all namespaces".to_owned(),
        };
        format!("{} {}{name} {place}", self.verb, self.resource)
    }
}

/// Whether the API server denied the right to it.
pub fn is_forbidden(error: &Error) -> bool {
    code(error) == Some(403)
}

/// Whether there is no such object, or no such kind of object.
pub fn is_absent(error: &Error) -> bool {
    code(error) == Some(404)
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => Some(status.as_u16()),
        _ => None,
    }
}

/// Why the API server did not do what was asked, and what to do about it.
pub fn explain(asked: Asked<'_>, error: &Error) -> anyhow::Error {
    let told = asked.told();
    match code(error) {
        Some(403) => anyhow::anyhow!(
            "you may not {told}: ask an administrator of the cluster for a role that allows {} on {}",
            asked.verb,
            asked.resource
        ),
        Some(401) => {
            anyhow::anyhow!("the API server does not know you: log in again, `kubectl auth whoami` tries it")
        }
        Some(404) if asked.name.is_none() => anyhow::anyhow!(
            "the cluster does not know {}: install Millrace's chart, or its definitions with \
             `millrace crds | kubectl apply --server-side -f -`",
            asked.resource
        ),
        Some(404) => anyhow::anyhow!("can't {told}: there is no such object"),
        Some(_) => anyhow::anyhow!("can't {told}: {}", message(error)),
        None => anyhow::anyhow!("can't {told}: the API server can't be reached: {}", message(error)),
    }
}

/// What lies at the bottom of an error, in its own words.
fn message(error: &Error) -> String {
    if let Error::Api(status) = error {
        return status.message.clone();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A part of a picture: seen, or hidden from this user.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// It was read.
    Yes(T),
    /// This user may not read it; the sentence says what it would take.
    Hidden(String),
}

impl<T> Seen<T> {
    /// What was read, if it was.
    pub fn value(&self) -> Option<&T> {
        match self {
            Seen::Yes(value) => Some(value),
            Seen::Hidden(_) => None,
        }
    }
}

/// Takes a right that is missing for a part that is hidden; other failures stay failures.
///
/// # Errors
/// When it failed for another reason.
pub fn seen<T>(asked: Asked<'_>, outcome: Result<T, Error>) -> anyhow::Result<Seen<T>> {
    match outcome {
        Ok(value) => Ok(Seen::Yes(value)),
        Err(error) if is_forbidden(&error) => Ok(Seen::Hidden(explain(asked, &error).to_string())),
        Err(error) => Err(explain(asked, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(code: u16) -> Error {
        Error::Api(Box::new(Status { code, message: "said so".into(), ..Status::default() }))
    }

    const SECRET: Asked<'static> =
        Asked { verb: "get", resource: "secrets", name: Some("b-root-access-key"), namespace: Some("demo") };

    #[test]
    fn a_missing_right_is_named_with_what_to_ask_for() {
        assert_eq!(
            explain(SECRET, &refused(403)).to_string(),
            "you may not get secrets/b-root-access-key in namespace demo: ask an administrator of the cluster for a \
             role that allows get on secrets"
        );
        let upgrade =
            Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(http::StatusCode::FORBIDDEN));
        assert!(is_forbidden(&upgrade));
    }

    #[test]
    fn a_cluster_without_the_definitions_is_told_from_an_object_that_is_not_there() {
        let streams = Asked { verb: "list", resource: "streams.millrace.dev", name: None, namespace: None };
        assert!(explain(streams, &refused(404)).to_string().contains("millrace crds | kubectl apply"));
        assert!(explain(SECRET, &refused(404)).to_string().ends_with("there is no such object"));
        assert!(explain(streams, &refused(500)).to_string().ends_with("in all namespaces: said so"));
    }

    #[test]
    fn only_a_missing_right_hides_a_part() {
        assert!(matches!(seen::<()>(SECRET, Err(refused(403))), Ok(Seen::Hidden(_))));
        assert!(seen::<()>(SECRET, Err(refused(500))).is_err());
        assert_eq!(seen(SECRET, Ok(7)).unwrap().value(), Some(&7));
    }
}
