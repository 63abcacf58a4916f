//! TLS whose certificates are replaced while it runs: mutual ([`Tls`]), and for clients that show no certificate
//! ([`Certificate`]).
//!
//! In the mutual one both ends show a certificate, and each takes only what the same authority has signed. TLS 1.3
//! alone is spoken. Sessions are not resumed: a resumed one would not look at certificates again, so one that was
//! replaced or has expired would go on to serve.

mod certificate;
mod follow;
mod identity;
mod replaceable;
mod tls;
mod tunnel;

pub use certificate::Certificate;
pub use identity::{CA_FILE, CERTIFICATE_FILE, Identity, IdentityError, KEY_FILE};
pub use tls::Tls;
pub use tunnel::tunnel_config;
