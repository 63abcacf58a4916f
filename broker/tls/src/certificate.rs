//! A server's certificate for clients that show none themselves.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use crate::IdentityError;
use crate::follow::follow;
use crate::identity::{certified, provider, read_file};

/// The certificate and key in two files, which are replaced while it is shown. Clones share what they show.
#[derive(Clone, Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    shown: Shown,
}

#[derive(Clone)]
struct Shown(Arc<ArcSwap<Content>>);

/// What was read, and what it is good for.
struct Content {
    files: [Vec<u8>; 2],
    certified: Arc<CertifiedKey>,
}

/// Says nothing of the key.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(…)")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }
}

impl Certificate {
    /// Reads both files: a certificate and those between it and its authority, and its key, in PEM.
    ///
    /// # Errors
    /// When a file can't be read or holds something else, or the key belongs to another certificate; each names the
    /// file. That it has expired is no error here: the client refuses it.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Certificate, IdentityError> {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let content = content(&certificate, &key, read(&certificate, &key)?)?;
        Ok(Certificate { certificate, key, shown: Shown(Arc::new(ArcSwap::from_pointee(content))) })
    }

    /// Takes what the files hold whenever they have changed; never ends. While they do not fit together, because
    /// one is replaced after the other, the old ones are shown.
    pub async fn follow(self) {
        let place = self.certificate.display().to_string();
        follow(&place, || self.look()).await;
    }

    fn look(&self) -> Result<bool, IdentityError> {
        let files = read(&self.certificate, &self.key)?;
        if self.shown.0.load().files == files {
            return Ok(false);
        }
        self.shown.0.store(Arc::new(content(&self.certificate, &self.key, files)?));
        Ok(true)
    }

    /// The end that clients connect to, in TLS 1.2 and 1.3. It takes one of these protocols of the layer above.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("ring speaks both")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.shown.clone()));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

fn read(certificate: &Path, key: &Path) -> Result<[Vec<u8>; 2], IdentityError> {
    Ok([read_file(certificate)?, read_file(key)?])
}

fn content(certificate: &Path, key: &Path, files: [Vec<u8>; 2]) -> Result<Content, IdentityError> {
    let name = |path: &Path| path.display().to_string();
    let certified = certified((&files[0], &name(certificate)), (&files[1], &name(key)))?;
    Ok(Content { files, certified })
}
