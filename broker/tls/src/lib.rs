//! Mutual TLS whose certificates are replaced while it runs.
//!
//! Both ends show a certificate, and each takes only what the same authority has signed. TLS 1.3 alone is
//! spoken. Sessions are not resumed: a resumed one would not look at certificates again, so one that was
//! replaced or has expired would go on to serve.

mod follow;
mod identity;
mod replaceable;
mod tls;

pub use identity::{CA_FILE, CERTIFICATE_FILE, Identity, IdentityError, KEY_FILE};
pub use tls::Tls;
