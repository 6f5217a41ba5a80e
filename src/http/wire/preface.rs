//! The first bytes of a connection: they announce HTTP/2 without TLS (RFC 9113, 3.3, "prior knowledge").

/// The first bytes of every client of HTTP/2. As a request of HTTP/1.1 it would be none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1, or 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The protocol that these first bytes begin; `None` while they may begin both.
pub(crate) fn version(first: &[u8]) -> Option<HttpVersion> {
    if first.starts_with(PREFACE) {
        Some(HttpVersion::Http2)
    } else if PREFACE.starts_with(first) {
        None
    } else {
        Some(HttpVersion::Http1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_told_from_every_request() {
        assert_eq!(version(PREFACE), Some(HttpVersion::Http2));
        assert_eq!(version(&[PREFACE, b"\0\0"].concat()), Some(HttpVersion::Http2));
        for length in 0..PREFACE.len() {
            assert_eq!(version(&PREFACE[..length]), None, "{length}");
        }
        let requests: [&[u8]; 7] = [
            b"G",
            b"PU",
            b"PUT / HTTP/1.1\r\n",
            b"PROPFIND",
            b"PRI * HTTP/1.1",
            b"\r\n",
            b"\x16\x03\x01",
        ];
        for request in requests {
            assert_eq!(version(request), Some(HttpVersion::Http1), "{request:?}");
        }
    }
}
