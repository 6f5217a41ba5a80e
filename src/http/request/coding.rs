//! Which coding of a page a client takes: `Accept-Encoding` (RFC 9110, 12.5.3).

use actix_web::http::header::{self, HeaderMap};

/// How a page goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As it is.
    Identity,
    /// As one gzip member.
    Gzip {
        /// The client takes nothing else, so that small pages are packed too.
        only: bool,
    },
}

/// The client takes neither, and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoCoding;

/// Weights in thousandths, as far as they are given.
#[derive(Default)]
struct CodingWeights {
    gzip: Option<u16>,
    identity: Option<u16>,
    /// Of all that is not named.
    others: Option<u16>,
}

impl Coding {
    /// The coding that the client likes best; of two that it likes as much, the smaller one.
    ///
    /// Without the header it is identity: many simple clients say nothing and cannot unpack. Identity needs no mention to be
    /// taken, only `q=0` refuses it; gzip has to be named, or `*`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, NoCoding> {
        let mut weights = CodingWeights::default();
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            // Other bytes than visible ASCII name no coding.
            weights.read(value.to_str().unwrap_or_default());
        }
        let gzip = weights.gzip.or(weights.others).unwrap_or(0);
        // Named by nobody it comes after whatever is.
        let identity = weights.identity.or(weights.others);
        match (gzip, identity) {
            (0, Some(0)) => Err(NoCoding),
            (0, _) => Ok(Self::Identity),
            (gzip, Some(identity)) if identity > gzip => Ok(Self::Identity),
            (_, identity) => Ok(Self::Gzip {
                only: identity == Some(0),
            }),
        }
    }
}

impl CodingWeights {
    fn read(&mut self, list: &str) {
        for element in list.split(',') {
            let mut parts = element.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let Some(weight) = parts.next().map_or(Some(1000), weight) else {
                // An unreadable header asks for nothing.
                continue;
            };
            let kept = if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
                &mut self.gzip
            } else if coding.eq_ignore_ascii_case("identity") {
                &mut self.identity
            } else if coding == "*" {
                &mut self.others
            } else {
                continue;
            };
            *kept = (*kept).max(Some(weight));
        }
    }
}

/// `q=0.5`, as thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim_start().split_once('.').unwrap_or((value.trim_start(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction
        .bytes()
        .zip([100, 10, 1])
        .map(|(digit, worth)| u16::from(digit - b'0') * worth)
        .sum();
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const GZIP: Result<Coding, NoCoding> = Ok(Coding::Gzip { only: false });
    const ONLY_GZIP: Result<Coding, NoCoding> = Ok(Coding::Gzip { only: true });
    const IDENTITY: Result<Coding, NoCoding> = Ok(Coding::Identity);

    #[track_caller]
    fn check(values: &[&str], expect: Result<Coding, NoCoding>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(Coding::of(&headers), expect, "{values:?}");
    }

    #[test]
    fn whoever_takes_gzip_gets_it() {
        for value in [
            "gzip",
            "gzip, deflate, br, zstd",
            "deflate, gzip;q=1.0, *;q=0.5",
            "GZip",
            "x-gzip",
            "*",
            "br;q=1.0, gzip;q=0.8, *;q=0.1",
            "gzip;q=0.001",
            "gzip ; Q=0.5",
            "identity, gzip",
            "identity;q=0.5, gzip",
            ",gzip,",
        ] {
            check(&[value], GZIP);
        }
        check(&["br", "gzip"], GZIP);
    }

    #[test]
    fn whoever_does_not_say_so_does_not() {
        check(&[], IDENTITY);
        for value in [
            "",
            "identity",
            "br",
            "deflate, zstd",
            "gzip;q=0",
            "gzip;q=0.0, br",
            "gzip;q=0.000",
            "gzip;q=0, *",
            "*;q=0, identity",
            "identity;q=1, gzip;q=0.5",
            "gzip;q=0.5, *",
            "gzipped",
        ] {
            check(&[value], IDENTITY);
        }
    }

    #[test]
    fn what_cannot_be_read_asks_for_nothing() {
        for value in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=.5",
            "gzip;q=-1",
            "gzip;q=",
            "gzip;level=9",
            "gz ip",
        ] {
            check(&[value], IDENTITY);
        }
    }

    #[test]
    fn identity_can_be_refused() {
        check(&["gzip, identity;q=0"], ONLY_GZIP);
        check(&["gzip;q=0.5, *;q=0"], ONLY_GZIP);
        for value in [
            "identity;q=0",
            "*;q=0",
            "br, identity;q=0",
            "gzip;q=0, identity;q=0",
            "gzip;q=0, *;q=0",
        ] {
            check(&[value], Err(NoCoding));
        }
    }
}
