//! The call that each provider takes.

use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;

use super::PurgeFailure;
use crate::config::{CdnKind, CdnProvider, Secret};

const FASTLY_KEY: HeaderName = HeaderName::from_static("fastly-key");
const FASTLY_SOFT_PURGE: HeaderName = HeaderName::from_static("fastly-soft-purge");
/// Bunny's.
const ACCESS_KEY: HeaderName = HeaderName::from_static("accesskey");
/// For the VCL in docs/cdn.md.
const TAGS: HeaderName = HeaderName::from_static("listcache-tags");
const SOFT: HeaderName = HeaderName::from_static("listcache-soft");

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
    kind: CdnKind,
}

impl Call {
    /// The call that purges these tags.
    pub(super) fn of<T: AsRef<str>>(provider: &CdnProvider, tags: &[T]) -> Result<Self, PurgeFailure> {
        let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        let zone = &*provider.zone;
        let mut headers = HeaderMap::new();
        let (method, path, body): (_, &[&str], _) = match provider.kind {
            CdnKind::Fastly => {
                headers.insert(FASTLY_KEY, secret(provider.token.as_ref(), "")?);
                if provider.soft {
                    headers.insert(FASTLY_SOFT_PURGE, HeaderValue::from_static("1"));
                }
                let body = json!({ "surrogate_keys": tags });
                (Method::POST, &["service", zone, "purge"], Some(body))
            }
            CdnKind::Cloudflare => {
                headers.insert(AUTHORIZATION, secret(provider.token.as_ref(), "Bearer ")?);
                let body = json!({ "tags": tags });
                (Method::POST, &["zones", zone, "purge_cache"], Some(body))
            }
            CdnKind::Bunny => {
                headers.insert(ACCESS_KEY, secret(provider.token.as_ref(), "")?);
                let body = json!({ "CacheTag": tags.first() });
                (Method::POST, &["pullzone", zone, "purgeCache"], Some(body))
            }
            CdnKind::Varnish => {
                headers.insert(TAGS, value(&alternatives(&tags))?);
                (Method::from_bytes(b"BAN").unwrap_or_default(), &[], None)
            }
            CdnKind::Xkey => {
                headers.insert(TAGS, value(&tags.join(" "))?);
                if provider.soft {
                    headers.insert(SOFT, HeaderValue::from_static("1"));
                }
                (Method::from_bytes(b"PURGE").unwrap_or_default(), &[], None)
            }
        };
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        Ok(Self {
            method,
            url: below(&provider.url, path)?,
            headers,
            body: body.map(|body| body.to_string()),
            kind: provider.kind,
        })
    }

    /// Whether the body of an answer with a good status says that it was done.
    pub(super) fn is_done(&self, body: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Said {
            success: bool,
        }
        match self.kind {
            CdnKind::Cloudflare => serde_json::from_slice(body).is_ok_and(|said: Said| said.success),
            _ => true,
        }
    }
}

fn below(base: &Url, path: &[&str]) -> Result<Url, PurgeFailure> {
    let mut url = base.clone();
    if !path.is_empty() {
        let mut segments = url
            .path_segments_mut()
            .map_err(|()| PurgeFailure::Misdeclared("the URL takes no path".to_owned()))?;
        segments.pop_if_empty().extend(path);
    }
    Ok(url)
}

fn secret(token: Option<&Secret>, before: &str) -> Result<HeaderValue, PurgeFailure> {
    let token = token.ok_or_else(|| PurgeFailure::Misdeclared("there is no token".to_owned()))?;
    let mut value = value(&format!("{before}{}", token.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn value(text: &str) -> Result<HeaderValue, PurgeFailure> {
    HeaderValue::from_str(text).map_err(|_| PurgeFailure::Misdeclared("a header cannot be sent".to_owned()))
}

/// Any of these tags, as a regular expression. Tags hold letters, digits and `-._~:@%` only; of these the dot alone means something, and
/// fits itself too.
fn alternatives(tags: &[&str]) -> String {
    tags.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(kind: CdnKind) -> CdnProvider {
        CdnProvider {
            kind,
            url: Url::parse("http://127.0.0.1:9/base/").unwrap(),
            zone: "zone1".into(),
            token: Some(Secret::new("the-token".to_owned())),
            soft: true,
        }
    }

    #[test]
    fn each_provider_is_asked_in_its_own_way() {
        let call = |kind| Call::of(&provider(kind), &["a.b", "c"]).unwrap();
        let header = |call: &Call, name: &str| call.headers.get(name).map(|value| value.to_str().unwrap().to_owned());

        let fastly = call(CdnKind::Fastly);
        assert_eq!(fastly.url.path(), "/base/service/zone1/purge");
        assert_eq!(fastly.body.as_deref(), Some(r#"{"surrogate_keys":["a.b","c"]}"#));
        assert_eq!(header(&fastly, "fastly-key").as_deref(), Some("the-token"));
        assert_eq!(header(&fastly, "fastly-soft-purge").as_deref(), Some("1"));
        assert!(fastly.is_done(b""));

        let cloudflare = call(CdnKind::Cloudflare);
        assert_eq!(cloudflare.url.path(), "/base/zones/zone1/purge_cache");
        assert_eq!(cloudflare.body.as_deref(), Some(r#"{"tags":["a.b","c"]}"#));
        assert_eq!(
            header(&cloudflare, "authorization").as_deref(),
            Some("Bearer the-token")
        );
        assert!(cloudflare.is_done(br#"{"success":true,"errors":[]}"#));
        assert!(!cloudflare.is_done(br#"{"success":false}"#) && !cloudflare.is_done(b"ok"));

        let bunny = call(CdnKind::Bunny);
        assert_eq!(bunny.body.as_deref(), Some(r#"{"CacheTag":"a.b"}"#));

        let varnish = call(CdnKind::Varnish);
        assert_eq!((varnish.method.as_str(), varnish.url.path()), ("BAN", "/base/"));
        assert_eq!(header(&varnish, "listcache-tags").as_deref(), Some("a.b|c"));

        let xkey = call(CdnKind::Xkey);
        assert_eq!(xkey.method.as_str(), "PURGE");
        assert_eq!(header(&xkey, "listcache-tags").as_deref(), Some("a.b c"));
        assert!(!format!("{fastly:?}{cloudflare:?}{bunny:?}").contains("the-token"));
    }
}
