//! Dialects of CDNs: the headers in which each reads a page's tags and its lifetime.
//!
//! Without a dialect pages have `Surrogate-Key` and `CDN-Cache-Control` (RFC 9213).

use actix_web::http::header::{HeaderName, HeaderValue};

use crate::config::CdnDialect;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
/// Fastly's; it does not read `CDN-Cache-Control`.
const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Headers for tags: the name, and how several are written.
const SURROGATE_KEY: (HeaderName, Form) = (HeaderName::from_static("surrogate-key"), Form::Spaces);
const CACHE_TAG: (HeaderName, Form) = (HeaderName::from_static("cache-tag"), Form::Commas);
const EDGE_CACHE_TAG: (HeaderName, Form) = (HeaderName::from_static("edge-cache-tag"), Form::Commas);
const CDN_TAG: (HeaderName, Form) = (HeaderName::from_static("cdn-tag"), Form::Commas);
const XKEY: (HeaderName, Form) = (HeaderName::from_static("xkey"), Form::Spaces);
/// RFC 9875.
const CACHE_GROUPS: (HeaderName, Form) = (HeaderName::from_static("cache-groups"), Form::Strings);

#[derive(Clone, Copy, Debug)]
enum Form {
    /// `a b`
    Spaces,
    /// `a,b`
    Commas,
    /// `"a", "b"`: a list of strings (RFC 9651).
    Strings,
}

/// The dialects that pages are sent in.
#[derive(Clone, Debug)]
pub(crate) struct Dialects {
    tags: Vec<(HeaderName, Form)>,
    lifetimes: Vec<HeaderName>,
}

/// A page's tags as headers.
#[derive(Debug)]
pub(crate) struct PageTags {
    headers: Vec<(HeaderName, HeaderValue)>,
    lifetimes: Vec<HeaderName>,
}

impl Dialects {
    /// Those that are configured.
    pub(crate) fn new(dialects: &[CdnDialect]) -> Self {
        let tags = dialects.iter().map(|dialect| match dialect {
            CdnDialect::Fastly => SURROGATE_KEY,
            CdnDialect::Cloudflare => CACHE_TAG,
            CdnDialect::Akamai => EDGE_CACHE_TAG,
            CdnDialect::Bunny => CDN_TAG,
            CdnDialect::Xkey => XKEY,
            CdnDialect::CacheGroups => CACHE_GROUPS,
        });
        let tags: Vec<_> = match dialects.is_empty() {
            true => vec![SURROGATE_KEY],
            false => tags.collect(),
        };
        let reads_surrogate = dialects.contains(&CdnDialect::Fastly);
        let reads_others = dialects.is_empty() || dialects.iter().any(|dialect| *dialect != CdnDialect::Fastly);
        let others = reads_others.then_some(CDN_CACHE_CONTROL);
        let lifetimes = others
            .into_iter()
            .chain(reads_surrogate.then_some(SURROGATE_CONTROL))
            .collect();
        Self { tags, lifetimes }
    }

    /// Tags that have spaces between them, as headers.
    pub(in crate::http::pages) fn tags(&self, tags: &str) -> PageTags {
        let header = |(name, form): &(HeaderName, Form)| {
            let text = match form {
                Form::Spaces => tags.to_owned(),
                Form::Commas => tags.replace(' ', ","),
                Form::Strings => format!("\"{}\"", tags.replace(' ', "\", \"")),
            };
            // Tags are visible ASCII, without quotes.
            (
                name.clone(),
                HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("")),
            )
        };
        PageTags {
            headers: self.tags.iter().map(header).collect(),
            lifetimes: self.lifetimes.clone(),
        }
    }
}

impl PageTags {
    /// The headers with the tags.
    pub(in crate::http::pages) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.headers.iter()
    }

    /// The headers in which the CDNs read a lifetime.
    pub(in crate::http::pages) fn lifetime_headers(&self) -> impl Iterator<Item = HeaderName> {
        self.lifetimes.iter().cloned()
    }

    /// Bytes of the values.
    pub(in crate::http::pages) fn bytes(&self) -> usize {
        self.headers.iter().map(|(_, value)| value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cdn_finds_tags_and_lifetimes_where_it_looks() {
        let said = |dialects: &[CdnDialect]| {
            let tags = Dialects::new(dialects).tags("a b");
            let headers: Vec<String> = tags
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            let lifetimes: Vec<String> = tags.lifetime_headers().map(|name| name.to_string()).collect();
            (headers.join("; "), lifetimes.join(" "))
        };
        let check = |dialects: &[CdnDialect], headers: &str, lifetimes: &str| {
            assert_eq!(said(dialects), (headers.to_owned(), lifetimes.to_owned()));
        };
        check(&[], "surrogate-key: a b", "cdn-cache-control");
        check(&[CdnDialect::Fastly], "surrogate-key: a b", "surrogate-control");
        check(&[CdnDialect::Cloudflare], "cache-tag: a,b", "cdn-cache-control");
        check(&[CdnDialect::Akamai], "edge-cache-tag: a,b", "cdn-cache-control");
        check(&[CdnDialect::Bunny], "cdn-tag: a,b", "cdn-cache-control");
        check(&[CdnDialect::Xkey], "xkey: a b", "cdn-cache-control");
        check(
            &[CdnDialect::CacheGroups],
            "cache-groups: \"a\", \"b\"",
            "cdn-cache-control",
        );
        check(
            &[CdnDialect::Fastly, CdnDialect::Cloudflare],
            "surrogate-key: a b; cache-tag: a,b",
            "cdn-cache-control surrogate-control",
        );
    }
}
