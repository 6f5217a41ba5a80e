//! Bodies: their coding, their parts as they come, and small ones whole.

use std::time::Duration;

use actix_web::{
    http::header::{self, HeaderMap},
    web::{Bytes, Payload},
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::unpack::{BodyCoding, Unpacker};
use crate::http::problem::{Kind, Problem};

/// How long a body may pause. A client that sends a byte now and then is cut by the limits on size and connections.
const BODY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a small body may take in all.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// The coding of a body; an error for one that is not taken.
pub(crate) fn coding_of(headers: &HeaderMap) -> Result<BodyCoding, Problem> {
    let unsupported = || {
        Problem::new(Kind::UNSUPPORTED_ENCODING)
            .detail("send the body plain, or once packed as gzip")
            .header(header::ACCEPT_ENCODING, "gzip")
    };
    let mut given = headers.get_all(header::CONTENT_ENCODING);
    let coding = match given.next() {
        None => BodyCoding::Identity,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(BodyCoding::parse)
            .ok_or_else(unsupported)?,
    };
    // A second header would be a second coding.
    if given.next().is_some() {
        return Err(unsupported());
    }
    Ok(coding)
}

/// A body that says itself that it is too large need not be sent.
pub(crate) fn refuse_announced_excess(headers: &HeaderMap, bytes_max: u64) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > bytes_max => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

/// A body beyond its limit.
pub(crate) fn too_large(max: u64) -> Problem {
    Problem::new(Kind::BODY_TOO_LARGE).detail(format!("at most {max} bytes, counted after unpacking"))
}

/// A body that does not unpack.
pub(crate) fn badly_packed() -> Problem {
    Problem::new(Kind::BROKEN_BODY).detail("the body is not whole gzip")
}

/// The next part of a body as it was sent; `None` at its end.
pub(crate) async fn next_part(body: &mut Payload) -> Result<Option<Bytes>, Problem> {
    match timeout(BODY_PAUSE_MAX, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(part))) => Ok(Some(part)),
        Ok(Some(Err(error))) => Err(Problem::new(Kind::BROKEN_BODY).detail(error.to_string())),
        Err(_) => Err(Problem::new(Kind::SLOW_BODY).detail(format!("nothing came for {} s", BODY_PAUSE_MAX.as_secs()))),
    }
}

/// A small body, unpacked.
pub(crate) async fn whole(headers: &HeaderMap, body: Payload, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    whole_of(coding_of(headers)?, headers, body, bytes_max).await
}

/// A small body, byte for byte as it was sent, for a signature over these bytes: a packed one is refused.
pub(crate) async fn whole_as_sent(headers: &HeaderMap, body: Payload, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    if !matches!(coding_of(headers), Ok(BodyCoding::Identity)) {
        return Err(Problem::new(Kind::UNSUPPORTED_ENCODING)
            .detail("send the body plain: the signature is over the bytes as they are sent")
            .header(header::ACCEPT_ENCODING, "identity"));
    }
    whole_of(BodyCoding::Identity, headers, body, bytes_max).await
}

async fn whole_of(coding: BodyCoding, headers: &HeaderMap, body: Payload, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    refuse_announced_excess(headers, bytes_max)?;
    timeout(WHOLE_WITHIN, read_whole(body, coding, bytes_max))
        .await
        .map_err(|_| {
            Problem::new(Kind::SLOW_BODY).detail(format!("the body was not there within {} s", WHOLE_WITHIN.as_secs()))
        })?
}

async fn read_whole(mut body: Payload, coding: BodyCoding, bytes_max: u64) -> Result<Vec<u8>, Problem> {
    let (mut unpacker, mut whole, mut piece) = (Unpacker::new(coding), Vec::new(), Vec::new());
    let mut take = |piece: &[u8]| {
        whole.extend_from_slice(piece);
        match whole.len() as u64 > bytes_max {
            true => Err(too_large(bytes_max)),
            false => Ok(()),
        }
    };
    while let Some(packed) = next_part(&mut body).await? {
        let mut rest = &packed[..];
        while !rest.is_empty() {
            let taken = unpacker.unpack(rest, &mut piece).map_err(|_| badly_packed())?;
            rest = &rest[taken..];
            take(&piece)?;
        }
    }
    unpacker.end(&mut piece).map_err(|_| badly_packed())?;
    take(&piece)?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn one_coding_is_taken() {
        let headers = |value| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            headers
        };
        let of = |value| coding_of(&headers(value)).map_err(|problem| problem.kind());
        assert_eq!(of("gzip"), Ok(BodyCoding::Gzip));
        assert_eq!(of("identity"), Ok(BodyCoding::Identity));
        for other in ["br", "gzip, gzip", "deflate", "zstd"] {
            assert_eq!(of(other), Err(Kind::UNSUPPORTED_ENCODING), "{other}");
        }
        let mut twice = headers("gzip");
        twice.append(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(coding_of(&twice).is_err());
    }
}
