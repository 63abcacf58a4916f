//! Signing keys: derived from a secret for one day, region and service, and kept for as long as they serve.

use std::collections::HashMap;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::authorization::Scope;

/// Keys of the last two days of a few hundred callers; more than that is forgotten.
const MAX_KEYS: usize = 1_024;

/// A key that signs for one scope.
#[derive(Clone)]
pub(super) struct SigningKey([u8; 32]);

impl SigningKey {
    /// The key that the secret gives for this scope.
    fn derive(secret: &str, scope: &Scope) -> SigningKey {
        let secret = [b"AWS4", secret.as_bytes()].concat();
        let mut key = mac(&secret, scope.date.as_bytes());
        for part in [&scope.region, &scope.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        SigningKey(key)
    }

    /// The signature of these bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.0, bytes)
    }
}

fn mac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// The keys of scopes seen lately, each with the secret that it was derived from.
#[derive(Default)]
pub(super) struct KeyCache(HashMap<Scope, (Arc<str>, SigningKey)>);

impl KeyCache {
    /// The key that `secret` gives for this scope.
    pub(super) fn get(&mut self, scope: &Scope, secret: &Arc<str>) -> SigningKey {
        if let Some((cached, key)) = self.0.get(scope)
            && cached == secret
        {
            return key.clone();
        }
        if self.0.len() >= MAX_KEYS {
            self.0.clear();
        }
        let key = SigningKey::derive(secret, scope);
        self.0.insert(scope.clone(), (secret.clone(), key.clone()));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(access_key_id: &str) -> Scope {
        Scope {
            access_key_id: access_key_id.into(),
            date: "20150830".into(),
            region: "us-east-1".into(),
            service: "iam".into(),
        }
    }

    #[test]
    fn a_key_is_derived_as_aws_documents_it() {
        // The example of the user guide's section on deriving a signing key.
        let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope("AKIDEXAMPLE"));
        assert_eq!(hex::encode(key.0), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn a_changed_secret_is_not_answered_from_the_cache() {
        let mut cache = KeyCache::default();
        let first = cache.get(&scope("a"), &Arc::from("one"));
        let second = cache.get(&scope("a"), &Arc::from("two"));
        assert_ne!(first.0, second.0);
        assert_eq!(cache.get(&scope("a"), &Arc::from("one")).0, first.0);
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut cache = KeyCache::default();
        for caller in 0..3 * MAX_KEYS {
            cache.get(&scope(&caller.to_string()), &Arc::from("secret"));
        }
        assert!(cache.0.len() <= MAX_KEYS);
    }
}
