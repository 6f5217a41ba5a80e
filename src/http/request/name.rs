//! The listing name in a path.
//!
//! Taken from the raw path, not from the framework's path parameters: those are decoded lossily (`%FF` becomes U+FFFD),
//! so that several URLs would be one name. The framework's router keeps `%2F` encoded, so segments are where they seem.

use std::{future::Ready, future::ready, ops::Deref};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::{
    engine::ParameterError,
    http::problem::{Kind, Problem},
    listing::ListingName,
};

/// The name in `/v1/listings/{name}…`.
#[derive(Debug)]
pub(crate) struct Name(ListingName);

impl Name {
    /// Reads the third segment of a raw path.
    pub(crate) fn of_path(path: &str) -> Result<Self, Problem> {
        let segment = path.split('/').nth(3).unwrap_or_default();
        ListingName::decode(segment).map(Self).map_err(|error| {
            Problem::because(
                Kind::BAD_NAME,
                vec![ParameterError {
                    parameter: "name".to_owned(),
                    detail: error.to_string(),
                }],
            )
        })
    }
}

impl Deref for Name {
    type Target = ListingName;

    fn deref(&self) -> &ListingName {
        &self.0
    }
}

impl FromRequest for Name {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of_path(request.uri().path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_raw_segment() {
        for (path, name) in [
            ("/v1/listings/category:BREAD", "category:BREAD"),
            ("/v1/listings/a%2Fb+c/events", "a/b+c"),
            ("/v1/listings/%F0%9F%8D%9E", "🍞"),
            ("/%761/listings/a", "a"),
        ] {
            assert_eq!(Name::of_path(path).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_bad_name_is_a_problem_that_says_which_rule() {
        for path in [
            "/v1/listings/%FF",
            "/v1/listings/%2",
            "/v1/listings/%2e",
            "/v1/listings/a%00",
        ] {
            assert_eq!(Name::of_path(path).unwrap_err().kind(), Kind::BAD_NAME, "{path}");
        }
    }
}
