//! What `millrace broker` and `millrace dev` show clients, and how many they can serve.

use std::path::PathBuf;

use anyhow::Context;
use millrace_tls::Certificate;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are kept for what is no client: the log, other brokers, probes, files.
const OTHER_DESCRIPTORS: u64 = 256;

/// TLS towards clients.
#[derive(clap::Args, Debug)]
pub struct TlsArgs {
    /// Serve the APIs over TLS, with the certificate in this file and those between it and its authority. Followed
    /// when it is replaced
    #[arg(long, env = "MILLRACE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate
    #[arg(long, env = "MILLRACE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate in the files, which are followed from now on.
    pub fn certificate(&self) -> anyhow::Result<Option<Certificate>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let shown = Certificate::from_files(certificate, key).context("--tls-cert and --tls-key")?;
        tokio::spawn(shown.clone().follow());
        Ok(Some(shown))
    }
}

/// How many connections there are descriptors for, once the process has taken as many as it may have. Many shells
/// allow 1,024 to begin with: programs have to ask for more.
pub fn connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(OTHER_DESCRIPTORS).max(1)).unwrap_or(usize::MAX)
}
