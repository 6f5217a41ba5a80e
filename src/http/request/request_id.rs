//! `X-Request-Id`: one name for a request in the logs of all who saw it.
//!
//! One that the request brings is taken over, if it is short visible ASCII: it ends in logs and in the answer. Where there is
//! none, one is made if the request is logged, for else nothing here would know it.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The name of the header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const BYTES_MAX: usize = 128;

/// The id that a request brings. One that is too long, holds anything but visible ASCII or stands twice is none.
pub(crate) fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(X_REQUEST_ID);
    let value = values.next()?;
    let is_sane = (1..=BYTES_MAX).contains(&value.len())
        && value.as_bytes().iter().all(u8::is_ascii_graphic)
        && values.next().is_none();
    is_sane.then(|| value.clone())
}

/// An id that no other request has.
pub(crate) fn made() -> HeaderValue {
    HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&[u8]], expect: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        }
        let given = given(&headers);
        assert_eq!(given.as_ref().map(|value| value.to_str().unwrap()), expect);
    }

    #[test]
    fn a_sane_id_is_taken_over() {
        check(&[b"7f3a-22/x=:1"], Some("7f3a-22/x=:1"));
        check(&[&[b'a'; 128]], Some(&"a".repeat(128)));
        check(&[&[b'a'; 129]], None);
        check(&[b"a b"], None);
        check(&[b""], None);
        check(&["é".as_bytes()], None);
        check(&[b"a", b"b"], None);
        check(&[], None);
    }

    #[test]
    fn ids_differ() {
        assert_eq!(made().len(), 16);
        assert_ne!(made(), made());
    }
}
