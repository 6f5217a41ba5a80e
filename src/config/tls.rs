//! The certificate and key by which clients know the service.
//!
//! They are read and compared when the configuration is checked: files that `check-config` finds good can be
//! served, and a bad file of a reload is found before anything is swapped. No message holds anything of the key's file.

use std::{fmt, path::Path, sync::Arc};

use tokio_rustls::rustls::{
    Error, InconsistentKeys,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SigningKey},
};

use super::files;

/// A certificate chain with its key, good to be served.
#[derive(Clone)]
pub struct TlsIdentity(Arc<CertifiedKey>);

impl TlsIdentity {
    /// Reads both files. Errors go to `refuse`, each with the key of the configuration that it is about.
    pub(super) fn read(
        certificate: (&str, &Path),
        key: (&str, &Path),
        mut refuse: impl FnMut(&str, String),
    ) -> Option<Self> {
        let chain = read_chain(certificate.1).map_err(|why| refuse(certificate.0, why));
        let signing = read_key(key.1).map_err(|why| refuse(key.0, why));
        let identity = CertifiedKey::new(chain.ok()?, signing.ok()?);
        match identity.keys_match() {
            // Of some kinds of keys it cannot be told.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(Self(Arc::new(identity))),
            Err(Error::InconsistentKeys(_)) => {
                let certificate = certificate.1.display();
                refuse(key.0, format!("is not the key of the certificate in `{certificate}`"));
                None
            }
            Err(error) => {
                let path = certificate.1.display();
                refuse(
                    certificate.0,
                    format!("`{path}` is no certificate that can be used: {error}"),
                );
                None
            }
        }
    }

    /// The data for a handshake.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        self.0.clone()
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[tls identity]")
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    files::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!("`{}` holds no certificate in PEM", path.display())),
        Err(_) => Err(format!("`{}` is damaged PEM", path.display())),
    }
}

fn read_key(path: &Path) -> Result<Arc<dyn SigningKey>, String> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| format!("`{}` holds no private key in PEM, or an encrypted one", path.display()))?;
    let provider = default_provider();
    provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| format!("`{}` holds a key of a kind that cannot be used", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// The errors of two files with such contents.
    fn errors(certificate: &str, key: &str) -> Vec<String> {
        let directory = TempDir::new().unwrap();
        let path = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let (certificate, key) = (path("certificate", certificate), path("key", key));
        let mut errors = Vec::new();
        let read = TlsIdentity::read(("c", &certificate), ("k", &key), |key, why| {
            let why = why.replace(directory.path().to_str().unwrap(), "");
            errors.push(format!("{key}: {why}"));
        });
        assert_eq!(read.is_some(), errors.is_empty());
        errors
    }

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_are_taken() {
        let (certificate, key) = pair();
        assert_eq!(errors(&certificate, &key), [""; 0]);
        // A chain, and both in one file.
        let both = format!("{certificate}{}{key}", pair().0);
        assert_eq!(errors(&both, &both), [""; 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        assert_eq!(
            errors(&certificate, &other),
            ["k: is not the key of the certificate in `/certificate`"]
        );
        assert_eq!(
            errors(&key, &certificate),
            [
                "c: `/certificate` holds no certificate in PEM",
                "k: `/key` holds no private key in PEM, or an encrypted one"
            ]
        );
    }

    #[test]
    fn damage_is_named_and_nothing_of_the_key_is_told() {
        let (certificate, key) = pair();
        let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
        assert_eq!(errors(&cut(&certificate), &key), ["c: `/certificate` is damaged PEM"]);
        assert_eq!(
            errors(&certificate, &cut(&key)),
            ["k: `/key` holds no private key in PEM, or an encrypted one"]
        );
        let wrap = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
        assert_eq!(
            errors(&certificate, &wrap("PRIVATE KEY")),
            ["k: `/key` holds a key of a kind that cannot be used"]
        );
        let strange = errors(&wrap("CERTIFICATE"), &key);
        assert_eq!(strange.len(), 1, "{strange:?}");
        assert!(
            strange[0].starts_with("c: `/certificate` is no certificate that can be used: "),
            "{strange:?}"
        );
    }
}
