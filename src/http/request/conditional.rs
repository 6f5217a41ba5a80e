//! Conditional requests (RFC 9110, 13): whether the client's copy is still the page.
//!
//! All answers come from the page's metadata: a 304 reads no chunk. In order of precedence (13.2.2): `If-Match`, else
//! `If-Unmodified-Since`, may fail the request; then `If-None-Match`, else `If-Modified-Since`, may answer it with 304.

use std::time::SystemTime;

use actix_web::http::header::{self, HeaderMap, HeaderName};

/// The conditions of a request about the client's copy.
#[derive(Clone, Debug)]
pub(crate) struct Conditions<'h> {
    matching: Option<Matching>,
    unmodified_since: Option<SystemTime>,
    none_match: Option<NoneMatch<'h>>,
    modified_since: Option<SystemTime>,
}

/// `If-Match` compares strongly, and a page's tag is weak: no tag matches it, only `*` does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Matching {
    Any,
    Never,
}

#[derive(Clone, Debug)]
enum NoneMatch<'h> {
    /// `*`: whatever there is.
    Any,
    /// The lists of tags in these headers. Strong and weak spelling are alike: `If-None-Match` compares weakly.
    Tags(&'h HeaderMap),
}

impl<'h> Conditions<'h> {
    /// Reads the request's headers.
    pub(crate) fn of(headers: &'h HeaderMap) -> Self {
        Self {
            matching: matching(headers),
            unmodified_since: date(headers, &header::IF_UNMODIFIED_SINCE),
            none_match: none_match(headers),
            modified_since: date(headers, &header::IF_MODIFIED_SINCE),
        }
    }

    /// Whether the client wants the page only if it is one that it is not: 412.
    pub(crate) fn have_failed(&self, last_modified: Option<SystemTime>) -> bool {
        match &self.matching {
            Some(matching) => *matching == Matching::Never,
            None => matches!((last_modified, self.unmodified_since), (Some(last), Some(since)) if last > since),
        }
    }

    /// Whether the page with this tag is the one that the client has. `last_modified` is what the answer would send.
    pub(crate) fn not_modified(&self, etag: &str, last_modified: Option<SystemTime>) -> bool {
        match &self.none_match {
            Some(NoneMatch::Any) => true,
            Some(NoneMatch::Tags(headers)) => {
                let etag = opaque(etag.as_bytes());
                let mut lists = headers.get_all(header::IF_NONE_MATCH);
                lists.any(|list| holds(list.as_bytes(), etag))
            }
            // Only without `If-None-Match`, and only where there is a date to compare.
            None => matches!((last_modified, self.modified_since), (Some(last), Some(since)) if last <= since),
        }
    }

    /// Whether the request is conditional at all.
    pub(crate) fn are_given(&self) -> bool {
        self.none_match.is_some() || self.modified_since.is_some() || self.may_fail()
    }

    /// Whether there is a condition that may fail the request.
    pub(crate) fn may_fail(&self) -> bool {
        self.matching.is_some() || self.unmodified_since.is_some()
    }
}

/// A tag without the sign that it is weak.
fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// A date in any of HTTP's three forms; one that is given twice says nothing.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    httpdate::parse_http_date(value).ok()
}

fn matching(headers: &HeaderMap) -> Option<Matching> {
    let mut values = headers.get_all(header::IF_MATCH);
    let first = values.next()?;
    let is_any = first.to_str().is_ok_and(|value| value.trim() == "*") && values.next().is_none();
    Some(if is_any { Matching::Any } else { Matching::Never })
}

fn none_match(headers: &HeaderMap) -> Option<NoneMatch<'_>> {
    let mut lists = headers.get_all(header::IF_NONE_MATCH).peekable();
    lists.peek()?;
    Some(match lists.any(|list| list.as_bytes().trim_ascii() == b"*") {
        true => NoneMatch::Any,
        false => NoneMatch::Tags(headers),
    })
}

/// Whether a list like `W/"a", "b"` holds an opaque tag; read as far as there are entity tags. In bytes: tags of other servers
/// may hold some that ours never do.
fn holds(mut list: &[u8], wanted: &[u8]) -> bool {
    while let Some(first) = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b',')) {
        let tag = opaque(list.get(first..).unwrap_or_default());
        // A comma may stand inside the quotes, so the end is the next quote.
        let end = tag
            .strip_prefix(b"\"")
            .and_then(|inside| inside.iter().position(|byte| *byte == b'"'));
        let Some((tag, after)) = end.and_then(|end| tag.split_at_checked(end + 2)) else {
            return false;
        };
        if tag == wanted {
            return true;
        }
        list = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix_web::http::header::HeaderValue;

    use super::*;

    const ETAG: &str = r#"W/"1.5-00000001.price.asc.0.24""#;

    fn second(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[track_caller]
    fn check(headers: &[(HeaderName, &str)], last_modified: Option<SystemTime>, expect: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(
            Conditions::of(&map).not_modified(ETAG, last_modified),
            expect,
            "{headers:?}"
        );
    }

    fn none_match(value: &str) -> (HeaderName, &str) {
        (header::IF_NONE_MATCH, value)
    }

    #[test]
    fn tags_are_compared_weakly_in_lists_too() {
        check(&[none_match(ETAG)], None, true);
        check(&[none_match(r#""1.5-00000001.price.asc.0.24""#)], None, true);
        check(
            &[none_match(r#""a,b" , W/"c",W/"1.5-00000001.price.asc.0.24""#)],
            None,
            true,
        );
        check(&[none_match("\"x\""), none_match(ETAG)], None, true);
        check(&[none_match("*")], None, true);
        check(&[none_match(" * ")], None, true);
    }

    #[test]
    fn a_tag_with_bytes_beyond_ascii_hides_none_beside_it() {
        let given = |value: &[u8]| {
            let mut map = HeaderMap::new();
            map.append(header::IF_NONE_MATCH, HeaderValue::from_bytes(value).unwrap());
            Conditions::of(&map).not_modified(ETAG, None)
        };
        assert!(given(&[b"\"caf\xe9\", ", ETAG.as_bytes()].concat()));
        assert!(!given(b"\"caf\xe9\""));
    }

    #[track_caller]
    fn check_failed(headers: &[(HeaderName, &str)], last_modified: Option<SystemTime>, expect: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let conditions = Conditions::of(&map);
        assert_eq!(conditions.have_failed(last_modified), expect, "{headers:?}");
        assert!(!expect || conditions.may_fail() && conditions.are_given());
    }

    #[test]
    fn a_page_matches_any_but_no_tag() {
        let matching = |value| (header::IF_MATCH, value);
        check_failed(&[matching("*")], None, false);
        check_failed(&[matching(ETAG)], None, true);
        check_failed(&[matching(r#""1.5-00000001.price.asc.0.24""#)], None, true);
        check_failed(&[matching("")], None, true);
        let unmodified = |value| (header::IF_UNMODIFIED_SINCE, value);
        check_failed(&[unmodified("Thu, 01 Jan 1970 00:01:40 GMT")], Some(second(100)), false);
        check_failed(&[unmodified("Thu, 01 Jan 1970 00:01:40 GMT")], Some(second(101)), true);
        check_failed(&[unmodified("Thu, 01 Jan 1970 00:01:40 GMT")], None, false);
        check_failed(&[unmodified("soon")], Some(second(101)), false);
        // The former wins.
        check_failed(
            &[matching("*"), unmodified("Thu, 01 Jan 1970 00:01:40 GMT")],
            Some(second(101)),
            false,
        );
        check_failed(&[], Some(second(101)), false);
    }

    #[test]
    fn other_tags_do_not_match() {
        for other in [
            "",
            r#""1.5-00000001.price.asc.0.2""#,
            r#"w/"1.5-00000001.price.asc.0.24""#,
            "1.5-00000001.price.asc.0.24",
            r#""1.5-00000001.price.asc.0.24"#,
            r#""*""#,
            "\",\"",
        ] {
            check(&[none_match(other)], None, false);
        }
    }

    #[test]
    fn the_date_counts_where_one_was_sent_and_no_tag_is() {
        let since = || (header::IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:01:40 GMT");
        check(&[since()], Some(second(100)), true);
        check(&[since()], Some(second(101)), false);
        check(&[since()], None, false);
        check(&[since(), none_match("\"x\"")], Some(second(100)), false);
        check(&[(header::IF_MODIFIED_SINCE, "yesterday")], Some(second(100)), false);
        check(&[since(), since()], Some(second(100)), false);
        for form in ["Thursday, 01-Jan-70 00:01:40 GMT", "Thu Jan  1 00:01:40 1970"] {
            check(&[(header::IF_MODIFIED_SINCE, form)], Some(second(100)), true);
        }
        check(&[], Some(second(100)), false);
    }
}
