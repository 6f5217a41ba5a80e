//! A certificate for this machine, made for one test, and clients that trust it.

use std::{fs, path::PathBuf, sync::Arc};

use reqwest::ClientBuilder;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName},
        version::{TLS12, TLS13},
    },
};

use super::service::Service;

/// In files of its own.
pub struct Certificate {
    der: CertificateDer<'static>,
    pem: String,
    key_pem: String,
    directory: TempDir,
}

impl Certificate {
    pub fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate = Self {
            der: made.cert.der().clone(),
            pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
            directory: TempDir::new().unwrap(),
        };
        fs::write(certificate.file(), &certificate.pem).unwrap();
        fs::write(certificate.key_file(), &certificate.key_pem).unwrap();
        certificate
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Puts another in its files, as a renewal does.
    pub fn become_like(&self, other: &Self) {
        fs::write(self.file(), &other.pem).unwrap();
        fs::write(self.key_file(), &other.key_pem).unwrap();
    }

    /// Puts another's key beside its certificate.
    pub fn take_key_of(&self, other: &Self) {
        fs::write(self.key_file(), &other.key_pem).unwrap();
    }

    /// For `[http]`.
    pub fn config(&self) -> String {
        format!(
            "[http]\ntls_certificate = '{}'\ntls_key = '{}'\n",
            self.file().display(),
            self.key_file().display()
        )
    }

    /// A client that trusts it, and nothing else.
    pub fn client(&self) -> ClientBuilder {
        reqwest::Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap())
    }

    pub fn connector(&self, version: &'static SupportedProtocolVersion, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// A connection of one's own.
    pub async fn connect(&self, service: &Service, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_by(&TLS13, service, protocols).await
    }

    pub async fn connect_by_tls12(&self, service: &Service, protocols: &[&str]) -> TlsStream<TcpStream> {
        self.connect_by(&TLS12, service, protocols).await.unwrap()
    }

    async fn connect_by(
        &self,
        version: &'static SupportedProtocolVersion,
        service: &Service,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&service.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        self.connector(version, protocols).connect(name, stream).await
    }
}
