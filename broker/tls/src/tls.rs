//! The configurations of both ends.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::identity::provider;
use crate::replaceable::Replaceable;
use crate::{Identity, IdentityError};

/// Mutual TLS under an identity that is replaced while it runs. Clones share the identity, and so do all
/// configurations that were made of it: a handshake takes the identity of its moment, a connection keeps the
/// one that it began with.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) current: Replaceable,
    replaced: watch::Sender<u64>,
}

impl Tls {
    /// TLS under this identity.
    pub fn new(identity: Identity) -> Tls {
        let current = Replaceable(Arc::new(ArcSwap::from_pointee(identity)));
        Tls { current, replaced: watch::Sender::new(0) }
    }

    /// TLS under the identity in a directory: [`Identity::from_dir`]. [`Tls::follow`] keeps up with it.
    ///
    /// # Errors
    /// Those of [`Identity::from_dir`].
    pub fn from_dir(dir: &Path) -> Result<Tls, IdentityError> {
        Identity::from_dir(dir).map(Tls::new)
    }

    /// From now on handshakes take this identity.
    pub fn replace(&self, identity: Identity) {
        self.current.0.store(Arc::new(identity));
        self.replaced.send_modify(|times| *times += 1);
    }

    /// How many times the identity was replaced, to await the next time.
    pub fn replaced(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// The end that connects. It offers these protocols of the layer above, the preferred one first.
    pub fn client_config(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.current.clone()))
            .with_client_cert_resolver(Arc::new(self.current.clone()));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = owned(alpn);
        Arc::new(config)
    }

    /// The end that is connected to. It demands a certificate of the client, and takes one of these protocols
    /// of the layer above.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(Arc::new(self.current.clone()))
            .with_cert_resolver(Arc::new(self.current.clone()));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = owned(alpn);
        Arc::new(config)
    }
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}
