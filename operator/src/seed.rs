//! The seed that every Broker's certificates are derived from: a Secret in the operator's namespace, made once.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use millrace_certificates::Seed;

/// The Secret's name.
pub const SECRET: &str = "millrace-seed";
/// Where in it the seed lies.
const KEY: &str = "seed";

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The API server refused something or did not answer.
    #[error("Secret {SECRET} can't be read or made: {0}")]
    Kube(#[from] kube::Error),
    /// What lies there is none.
    #[error(
        "Secret {SECRET} holds no seed of 32 bytes under the key {KEY}: restore it from a backup. Without it every \
         Broker's certificates are made anew, and its servers do not know each other until all have theirs"
    )]
    Damaged,
}

/// Reads the seed, and makes it where there is none. Of two who make it at once the second finds the first one's.
///
/// # Errors
/// When it can't be read or made.
pub async fn ensure(client: &Client, namespace: &str, random: [u8; 32]) -> Result<Seed, SeedError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        if let Some(secret) = secrets.get_opt(SECRET).await? {
            let bytes = secret.data.as_ref().and_then(|data| data.get(KEY));
            let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(&bytes.0[..]).ok());
            return bytes.map(Seed::new).ok_or(SeedError::Damaged);
        }
        let secret = Secret {
            metadata: ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() },
            data: Some([(KEY.to_owned(), ByteString(random.to_vec()))].into()),
            immutable: Some(true),
            ..Secret::default()
        };
        match secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => {}
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
}
