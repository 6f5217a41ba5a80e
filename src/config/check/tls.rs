//! `tls_certificate` and `tls_key` of `[http]`: both or none.

use std::path::Path;

use crate::config::{TlsIdentity, section::Section};

const CERTIFICATE: &str = "tls_certificate";
const KEY: &str = "tls_key";

pub(super) fn check(section: &mut Section<'_>) -> Option<TlsIdentity> {
    // An empty text is none: so a variable can turn off what the file says.
    let mut path = |key| section.text(key).filter(|path| !path.is_empty());
    match (path(CERTIFICATE), path(KEY)) {
        (None, None) => None,
        (Some(certificate), Some(key)) => TlsIdentity::read(
            (CERTIFICATE, Path::new(&certificate)),
            (KEY, Path::new(&key)),
            |key, why| section.error(key, why),
        ),
        (Some(_), None) => {
            section.error(
                KEY,
                format!("missing: {CERTIFICATE} goes with the file of its private key"),
            );
            None
        }
        (None, Some(_)) => {
            section.error(
                CERTIFICATE,
                format!("missing: {KEY} goes with the file of its certificate"),
            );
            None
        }
    }
}
