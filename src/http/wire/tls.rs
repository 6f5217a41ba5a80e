//! TLS towards clients: TLS 1.2 and 1.3, HTTP/2 or HTTP/1.1 as the client prefers, and a certificate that can be exchanged.

use std::{io, sync::Arc};

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig,
        crypto::ring,
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

use super::preface::HttpVersion;
use crate::config::TlsIdentity;

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// The certificate that handshakes show from now on. Connections that are open keep theirs.
#[derive(Debug)]
pub struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    /// With the one that the program starts with.
    pub fn new(identity: &TlsIdentity) -> Self {
        Self(ArcSwap::new(identity.certified_key()))
    }

    /// Takes another.
    pub fn replace(&self, identity: &TlsIdentity) {
        self.0.store(identity.certified_key());
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Shakes hands.
#[derive(Clone)]
pub(crate) struct ClientTls(TlsAcceptor);

impl ClientTls {
    /// Shows this certificate, whatever it is at the time.
    pub(crate) fn new(certificate: Arc<Certificate>) -> Result<Self, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificate);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        // A client that comes back is known by its ticket: a table of sessions would have a bound, and forget most.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// A connection, and what both agreed to speak on it.
    pub(crate) async fn accept<T>(&self, io: T) -> io::Result<(TlsStream<T>, HttpVersion)>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.0.accept(io).await?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(H2) => HttpVersion::Http2,
            _ => HttpVersion::Http1,
        };
        Ok((stream, version))
    }
}
