//! Whose name requests are signed with.

use std::path::Path;

use anyhow::{Context, bail};
use aws_credential_types::Credentials;

use crate::credentials;

/// An access key.
#[derive(Clone)]
pub(super) struct Identity(Credentials);

impl Identity {
    /// The access key in the environment, in the variables that AWS' own tools read: the key itself, or a file
    /// and a profile in it. On this host any key will do unless the service asks for real ones, so there one
    /// is made up.
    pub(super) fn from_environment(loopback: bool) -> anyhow::Result<Identity> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let key = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        match (key, variable("AWS_SHARED_CREDENTIALS_FILE")) {
            ((Some(id), Some(secret)), _) => Ok(Identity::new(&id, &secret, variable("AWS_SESSION_TOKEN"))),
            (_, Some(file)) => {
                let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
                let keys = credentials::read(Path::new(&file))?;
                let (id, key) =
                    keys.iter().find(|(_, key)| *key.namespace == *profile).with_context(|| {
                        format!("{file} has no profile [{profile}]: set AWS_PROFILE to one it has")
                    })?;
                Ok(Identity::new(id, &key.secret, None))
            }
            _ if loopback => Ok(Identity::new("millrace", "millrace", None)),
            _ => bail!(
                "there is no access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                 AWS_SHARED_CREDENTIALS_FILE"
            ),
        }
    }

    /// This access key.
    pub(super) fn new(id: &str, secret: &str, token: Option<String>) -> Identity {
        let mut credentials =
            Credentials::builder().access_key_id(id).secret_access_key(secret).provider_name("environment");
        if let Some(token) = token {
            credentials = credentials.session_token(token);
        }
        Identity(credentials.build())
    }

    /// The key as the signing library takes it.
    pub(super) fn credentials(&self) -> Credentials {
        self.0.clone()
    }
}
