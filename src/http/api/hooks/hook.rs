//! The hooks of the configuration, and the signatures of their senders.

use std::{collections::HashMap, sync::Arc};

use actix_web::http::header::HeaderMap;
use arc_swap::ArcSwap;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{HookConfig, SignatureConfig, SignatureEncoding};

/// Bodies that are read at once: strangers can make the service keep no more bytes than these.
const BODIES_MAX: usize = 64;

/// The hooks that are taken; replaced as a whole when the configuration is read again.
pub struct Hooks {
    by_name: ArcSwap<HashMap<Box<str>, Arc<Hook>>>,
    bodies: Semaphore,
}

impl Hooks {
    /// The hooks of a configuration.
    pub fn new(configured: &[HookConfig]) -> Self {
        let hooks = Self {
            by_name: ArcSwap::default(),
            bodies: Semaphore::new(BODIES_MAX),
        };
        hooks.replace(configured);
        hooks
    }

    /// Takes these hooks from now on, and no others. Requests under way end by those before.
    pub fn replace(&self, configured: &[HookConfig]) {
        let hooks = configured.iter().map(|config| {
            let hook = Hook::new(config.clone());
            (config.name.clone(), Arc::new(hook))
        });
        self.by_name.store(Arc::new(hooks.collect()));
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Hook>> {
        self.by_name.load().get(name).cloned()
    }

    /// The right to read a body. `None` while too many are read.
    pub(super) fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.bodies.try_acquire().ok()
    }
}

/// One hook.
pub(crate) struct Hook {
    pub(super) config: HookConfig,
    /// One a secret.
    keys: Vec<Hmac<Sha256>>,
}

/// A signature as a request has it. It may be wrong.
pub(super) struct Signature([u8; 32]);

impl Hook {
    pub(super) fn new(config: HookConfig) -> Self {
        let secrets = config.secrets.iter();
        // A key may have any length.
        let keys = secrets.filter_map(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok());
        Self {
            keys: keys.collect(),
            config,
        }
    }

    /// The signature of a request; `None` where there is none that could be right.
    pub(super) fn signature_in(&self, headers: &HeaderMap) -> Option<Signature> {
        let SignatureConfig {
            header,
            encoding,
            prefix,
        } = &self.config.signature;
        let given = headers.get(&**header)?.to_str().ok()?.trim().strip_prefix(&**prefix)?;
        let bytes = match encoding {
            SignatureEncoding::Hex => of_hex(given)?,
            SignatureEncoding::Base64 => BASE64_STANDARD.decode(given).ok()?,
        };
        bytes.try_into().ok().map(Signature)
    }

    /// Whether a body was signed by one of the secrets. It takes equal time for all wrong signatures.
    pub(super) fn has_signed(&self, signature: &Signature, body: &[u8]) -> bool {
        let mut is_right = Choice::from(0);
        for key in &self.keys {
            let signed = key.clone().chain_update(body).finalize().into_bytes();
            is_right |= signed.as_slice().ct_eq(&signature.0);
        }
        is_right.into()
    }
}

fn of_hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok());
    rest.is_empty().then(|| bytes.collect()).flatten()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::Sources;

    /// RFC 4231, test case 2, whose key is too short for the configuration: `hook` makes it here.
    const BODY: &[u8] = b"what do ya want for nothing?";
    const HEX: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BASE64: &str = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";

    fn hook(signature: &str, secrets: &[&str]) -> Hook {
        let config = format!("[hooks.shop]\nids = [\"/id\"]\nsignature = {signature}");
        let sources = Sources {
            environment: [("LISTCACHE_HOOKS__SHOP__SECRET", "0123456789abcdef")]
                .into_iter()
                .collect(),
            ..Sources::default()
        };
        let mut config = sources.load_text(&config).unwrap().hooks.remove(0);
        let secrets = secrets
            .iter()
            .map(|secret| crate::config::Secret::new((*secret).to_owned()));
        config.secrets = secrets.collect();
        Hook::new(config)
    }

    fn is_right(hook: &Hook, header: &'static str, given: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(header), HeaderValue::from_str(given).unwrap());
        let signature = hook.signature_in(&headers);
        signature.is_some_and(|signature| hook.has_signed(&signature, body))
    }

    #[test]
    fn a_signature_is_over_each_byte_and_written_as_configured() {
        let hex = hook("{ header = \"X-Signature\" }", &["Jefe"]);
        let prefixed = hook("{ header = \"X-Signature\", prefix = \"sha256=\" }", &["Jefe"]);
        let base64 = hook("{ header = \"X-Signature\", encoding = \"base64\" }", &["Jefe"]);
        let right = |hook: &Hook, given: &str| is_right(hook, "x-signature", given, BODY);
        assert!(right(&hex, HEX) && right(&hex, &HEX.to_uppercase()));
        assert!(right(&prefixed, &format!("sha256={HEX}")));
        assert!(right(&base64, BASE64) && right(&base64, &format!(" {BASE64} ")));
        let last = format!("{}4", &HEX[..63]);
        let signed = format!("+{}", &HEX[1..]);
        for wrong in [
            "",
            &HEX[..62],
            &HEX[..63],
            BASE64,
            &format!("sha256={HEX}"),
            &last,
            &signed,
        ] {
            assert!(!right(&hex, wrong), "{wrong}");
        }
        for wrong in [HEX, "sha256=", &format!("sha1={HEX}")] {
            assert!(!right(&prefixed, wrong), "{wrong}");
        }
        for wrong in [HEX, BASE64.trim_end_matches('='), ""] {
            assert!(!right(&base64, wrong), "{wrong}");
        }
        assert!(!is_right(&hex, "x-signature", HEX, &BODY[1..]));
        assert!(!is_right(&hex, "x-other", HEX, BODY));
    }

    #[test]
    fn any_of_the_secrets_signs_and_no_other() {
        let signature = "{ header = \"x-signature\" }";
        let right = |secrets: &[&str]| is_right(&hook(signature, secrets), "x-signature", HEX, BODY);
        assert!(right(&["Jefe", "other"]) && right(&["other", "Jefe"]));
        assert!(!right(&["other", "jefe"]) && !right(&[]));
    }
}
