//! The admin token: a request without it may not write.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderValue},
    web::Data,
};
use subtle::ConstantTimeEq;

use crate::{
    config::Secret,
    http::problem::{Kind, Problem},
};

/// The token that writes need. Without one there are no writes.
#[derive(Debug)]
pub(crate) struct Auth {
    pub token: Option<Secret>,
}

/// Proof that the request carries the token. It stands first among the extractors of a handler, so that strangers learn
/// nothing else.
#[derive(Debug)]
pub(crate) struct Authorized(());

impl FromRequest for Authorized {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = request.app_data::<Data<Auth>>().and_then(|auth| auth.token.as_ref());
        ready(check(token, request.headers().get(header::AUTHORIZATION)))
    }
}

fn check(token: Option<&Secret>, given: Option<&HeaderValue>) -> Result<Authorized, Problem> {
    let Some(token) = token else {
        return Err(Problem::new(Kind::NO_TOKEN_CONFIGURED).detail(
            "no admin token is set; set LISTCACHE_TOKEN to 16 characters or more, and start the service again",
        ));
    };
    let Some(given) = given else {
        return Err(Problem::new(Kind::UNAUTHORIZED)
            .detail("no token was given")
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"listcache\""));
    };
    // Equal time for every wrong token of the right length; the length itself is no secret.
    match bearer(given.as_bytes()) {
        Some(given) if given.ct_eq(token.expose().as_bytes()).into() => Ok(Authorized(())),
        _ => Err(Problem::new(Kind::UNAUTHORIZED).detail("the token is wrong").header(
            header::WWW_AUTHENTICATE,
            "Bearer realm=\"listcache\", error=\"invalid_token\"",
        )),
    }
}

/// The token of `Bearer <token>`; the scheme's name is case-insensitive (RFC 9110, 11.1).
fn bearer(given: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = given.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(token: Option<&str>, given: Option<&str>, kind: Kind) {
        let token = token.map(|token| Secret::new(token.to_owned()));
        let given = given.map(|given| HeaderValue::from_str(given).unwrap());
        let problem = check(token.as_ref(), given.as_ref()).unwrap_err();
        assert_eq!(problem.kind(), kind, "{given:?}");
    }

    #[test]
    fn only_the_token_opens() {
        let token = Secret::new("s3cret".to_owned());
        for right in ["Bearer s3cret", "bearer  s3cret"] {
            assert!(check(Some(&token), Some(&HeaderValue::from_static(right))).is_ok());
        }
        for wrong in [
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Basic s3cret",
            "s3cret",
            "",
        ] {
            refused(Some("s3cret"), Some(wrong), Kind::UNAUTHORIZED);
        }
        refused(Some("s3cret"), None, Kind::UNAUTHORIZED);
    }

    #[test]
    fn without_a_token_nobody_writes() {
        refused(None, Some("Bearer "), Kind::NO_TOKEN_CONFIGURED);
        refused(None, None, Kind::NO_TOKEN_CONFIGURED);
    }
}
