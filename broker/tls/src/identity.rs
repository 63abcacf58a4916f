//! Who a process is, and whom it trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};

/// The certificate chain in a directory, as in a Secret of type `kubernetes.io/tls`.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The private key there.
pub const KEY_FILE: &str = "tls.key";
/// The certificate of the authority there.
pub const CA_FILE: &str = "ca.crt";

/// A certificate with its key, and the authority that others have to be signed by.
pub struct Identity {
    /// What it was read from.
    pub(crate) files: Files,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) of_servers: Arc<dyn ServerCertVerifier>,
    pub(crate) of_clients: Arc<dyn ClientCertVerifier>,
}

/// Says nothing of the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read.
    #[error("{file} can't be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// What is wrong.
        source: std::io::Error,
    },
    /// The directory changes while it is read.
    #[error("{dir} changed while it was read: try again")]
    Changing {
        /// The directory.
        dir: String,
    },
    /// A file holds something else.
    #[error("{file} holds no {wanted} in PEM: {reason}")]
    Content {
        /// The file.
        file: String,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The key belongs to another certificate.
    #[error("the key in {key} does not fit the certificate in {certificate}: {reason}")]
    Mismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The authority has not signed the certificate.
    #[error("the certificate in {certificate} is not signed by the authority in {ca}: {reason}")]
    Stranger {
        /// The certificate's file.
        certificate: String,
        /// The authority's file.
        ca: String,
        /// What is wrong.
        reason: String,
    },
}

/// The three files as they were read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl Files {
    /// Reads the directory. The kubelet replaces all files at once, but not while we read: what was read is
    /// taken if a second look finds the same.
    pub(crate) fn read(dir: &Path) -> Result<Files, IdentityError> {
        let files = Files::read_once(dir)?;
        if Files::read_once(dir)? != files {
            return Err(IdentityError::Changing { dir: dir.display().to_string() });
        }
        Ok(files)
    }

    fn read_once(dir: &Path) -> Result<Files, IdentityError> {
        let read = |name: &str| read_file(&dir.join(name));
        Ok(Files { certificate: read(CERTIFICATE_FILE)?, key: read(KEY_FILE)?, ca: read(CA_FILE)? })
    }

    /// The identity in the files, which are called by these names: certificate, key, authority.
    pub(crate) fn identity(self, [certificate, key, ca]: [String; 3]) -> Result<Identity, IdentityError> {
        let not_ca = |reason: String| IdentityError::content(&ca, "certificate", reason);
        let certified = certified((&self.certificate, &certificate), (&self.key, &key))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca).map_err(not_ca)? {
            roots.add(authority).map_err(|error| not_ca(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let of_servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|error| not_ca(error.to_string()))?;
        let of_clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| not_ca(error.to_string()))?;
        if let Err(reason) = check_signature(&certified.cert, &*of_clients) {
            return Err(IdentityError::Stranger { certificate, ca, reason });
        }
        Ok(Identity { files: self, certified, of_servers, of_clients })
    }
}

/// The files' paths in a directory.
pub(crate) fn paths(dir: &Path) -> [String; 3] {
    [CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(|file| dir.join(file).display().to_string())
}

impl Identity {
    /// From PEM: a certificate and those between it and the authority, its key in PKCS #8, and the
    /// authority's certificate, or several of them.
    ///
    /// # Errors
    /// When one of them is not what it should be, or they do not belong together. That the certificate has
    /// expired is no error here: the other end refuses it.
    pub fn from_pem(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Identity, IdentityError> {
        let files = Files { certificate: certificate.into(), key: key.into(), ca: ca.into() };
        files.identity([CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(str::to_owned))
    }

    /// From the files `tls.crt`, `tls.key` and `ca.crt` of a directory.
    ///
    /// # Errors
    /// As those of [`Identity::from_pem`], and when a file can't be read; each names the file.
    pub fn from_dir(dir: &Path) -> Result<Identity, IdentityError> {
        Files::read(dir)?.identity(paths(dir))
    }
}

impl IdentityError {
    fn content(file: &str, wanted: &'static str, reason: String) -> IdentityError {
        IdentityError::Content { file: file.to_owned(), wanted, reason }
    }
}

pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read { file: path.display().to_string(), source })
}

/// A certificate, with those between it and its authority, and its key: what each file holds, and its name.
pub(crate) fn certified(
    (certificate, certificate_file): (&[u8], &str),
    (key, key_file): (&[u8], &str),
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain = certificates(certificate)
        .map_err(|reason| IdentityError::content(certificate_file, "certificate", reason))?;
    let private = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| IdentityError::content(key_file, "private key", error.to_string()))?;
    CertifiedKey::from_der(chain, private, &provider()).map(Arc::new).map_err(|error| {
        IdentityError::Mismatch {
            certificate: certificate_file.to_owned(),
            key: key_file.to_owned(),
            reason: error.to_string(),
        }
    })
}

/// At least one certificate.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if certificates.is_empty() { Err("there is none".to_owned()) } else { Ok(certificates) }
}

/// Whether the authority has signed the chain; expired or not is all the same here.
fn check_signature(chain: &[CertificateDer<'_>], authority: &dyn ClientCertVerifier) -> Result<(), String> {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let Some((leaf, between)) = chain.split_first() else { return Ok(()) };
    match authority.verify_client_cert(leaf, between, UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The cryptography in use, whatever the process has for its default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
