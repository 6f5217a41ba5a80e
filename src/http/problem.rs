//! Errors as the client sees them: `application/problem+json` (RFC 9457), each kind with a code that stays.
//!
//! One `match` turns an [`EngineError`] into a kind; no handler picks a status for a failure. `type` is a URN and not a
//! URL: it must mean the same on every shop's host, and nobody has to serve a page under it.

use std::{fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{Object, Schema, Type},
};

use crate::engine::{EngineError, ParameterError};

/// A sort of failure: its fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stays the same from release to release; clients may branch on it.
    pub code: &'static str,
    /// Its HTTP status.
    pub status: u16,
    /// Its meaning, in a few words.
    pub title: &'static str,
    /// `Cache-Control` of the answer.
    pub caching: &'static str,
}

const NO_STORE: &str = "no-store";
/// A bad URL stays bad: let a CDN answer clients that repeat it.
const A_MINUTE: &str = "max-age=60";
/// A listing that does not exist now may exist soon.
const A_MOMENT: &str = "max-age=5";

const fn kind(code: &'static str, status: u16, title: &'static str, caching: &'static str) -> Kind {
    Kind {
        code,
        status,
        title,
        caching,
    }
}

/// The kinds, and [`Kind::ALL`] of them: none can be left out of the description.
macro_rules! kinds {
    ($($name:ident = $kind:expr;)*) => {
        #[allow(missing_docs)]
        impl Kind {
            $(pub const $name: Self = $kind;)*

            /// Each kind once.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    BAD_PARAMETERS = kind("bad-parameters", 400, "Some parameters are not valid", A_MINUTE);
    BAD_NAME = kind("bad-name", 400, "The path holds no listing name", A_MINUTE);
    BAD_REQUEST = kind("bad-request", 400, "The request could not be read", NO_STORE);
    BROKEN_BODY = kind("broken-body", 400, "The body is cut off or damaged", NO_STORE);
    UNAUTHORIZED = kind("unauthorized", 401, "A valid token is needed", NO_STORE);
    BAD_SIGNATURE = kind("bad-signature", 401, "A valid signature is needed", NO_STORE);
    NO_TOKEN_CONFIGURED = kind("no-token-configured", 403, "This service has no admin token", NO_STORE);
    NOT_ALLOWED = kind("not-allowed", 403, "This name may not be pushed", NO_STORE);
    CROSS_ORIGIN = kind("cross-origin", 403, "Only the storefront's own page may do this", NO_STORE);
    UNKNOWN_ROUTE = kind("unknown-route", 404, "Nothing is served under this path", NO_STORE);
    UNKNOWN_LISTING = kind("unknown-listing", 404, "There is no such listing", A_MOMENT);
    UNKNOWN_PRODUCT = kind("unknown-product", 404, "There is no such product", NO_STORE);
    UNKNOWN_CHANGES = kind("unknown-changes", 404, "There are no such changes, or they are forgotten", NO_STORE);
    UNKNOWN_HOOK = kind("unknown-hook", 404, "There is no such hook", NO_STORE);
    METHOD_NOT_ALLOWED = kind("method-not-allowed", 405, "This path does not allow that method", NO_STORE);
    NOT_ACCEPTABLE = kind("not-acceptable", 406, "The client accepts neither identity nor gzip", NO_STORE);
    SLOW_BODY = kind("slow-body", 408, "The body stopped coming", NO_STORE);
    HAS_ORIGIN = kind("has-origin", 409, "A definition fills this listing", NO_STORE);
    NO_ORIGIN = kind("no-origin", 409, "This listing is pushed and has no origin", NO_STORE);
    SUPERSEDED = kind("superseded", 409, "A later write was published first", NO_STORE);
    SHRUNK = kind("shrunk", 409, "Too few items would be left of the listing", NO_STORE);
    GENERATION_GONE = kind("generation-gone", 410, "The generation asked for is no longer kept", A_MINUTE);
    PRECONDITION_FAILED = kind("precondition-failed", 412, "The page is not the one asked for", NO_STORE);
    BODY_TOO_LARGE = kind("body-too-large", 413, "The body is too large", NO_STORE);
    ITEM_TOO_LARGE = kind("item-too-large", 413, "An item is too large", NO_STORE);
    TOO_MANY_ITEMS = kind("too-many-items", 413, "The listing has too many items", NO_STORE);
    URI_TOO_LONG = kind("uri-too-long", 414, "The URL is too long", NO_STORE);
    UNSUPPORTED_MEDIA_TYPE = kind("unsupported-media-type", 415, "This path does not accept the body's type", NO_STORE);
    UNSUPPORTED_ENCODING = kind("unsupported-encoding", 415, "This path does not accept the body's coding", NO_STORE);
    BAD_CHANGE = kind("bad-change", 422, "A change is not valid; none was taken", NO_STORE);
    BAD_ITEM = kind("bad-item", 422, "An item is not valid", NO_STORE);
    REFRESH_FAILED = kind("refresh-failed", 502, "The refresh failed; the old generation stays", NO_STORE);
    PRICE_NOT_CHANGED = kind("price-not-changed", 502, "The shop did not accept the price", NO_STORE);
    NOTHING_YET = kind("nothing-yet", 503, "There is nothing to serve yet", NO_STORE);
    OVERLOADED = kind("overloaded", 503, "A limit is reached", NO_STORE);
    REDIS_DOWN = kind("redis-down", 503, "Redis does not answer and the page is not in memory", NO_STORE);
    REDIS_REFUSES = kind("redis-refuses", 503, "Redis answers but refuses a needed command", NO_STORE);
    REDIS_FULL = kind("redis-full", 503, "Redis takes no more data", NO_STORE);
    NOT_READY = kind("not-ready", 503, "Not ready for traffic", NO_STORE);
}

/// A bad parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct BadParameter {
    /// Its name.
    pub parameter: String,
    /// The error.
    pub detail: String,
}

/// The body of every error, RFC 9457.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// `urn:listcache:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The meaning of the code.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The details of this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub detail: Option<String>,
    /// Stays the same from release to release.
    #[schema(schema_with = codes)]
    pub code: &'static str,
    /// Every bad parameter at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<BadParameter>,
    /// Line of the document where a bad item begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub line: Option<u64>,
    /// How many items the listing has, where a push would leave too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub before: Option<u64>,
    /// How many it would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub after: Option<u64>,
    /// The same window of the newest generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub newest: Option<String>,
    /// The generation that is current.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub generation: Option<String>,
}

fn codes() -> Schema {
    let codes = Kind::ALL.iter().map(|kind| kind.code);
    let code = Object::builder().schema_type(Type::String).enum_values(Some(codes));
    let description = "Stays the same from release to release.";
    code.description(Some(description)).build().into()
}

/// A failure on its way to the client.
#[derive(Debug)]
pub struct Problem(Box<ProblemParts>);

#[derive(Debug)]
struct ProblemParts {
    kind: Kind,
    document: ProblemDocument,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Marks an answer that a limit caused, for the metric of shed requests.
pub(super) struct Shed;

impl Problem {
    /// A problem that needs no more words.
    pub fn new(kind: Kind) -> Self {
        Self(Box::new(ProblemParts {
            kind,
            document: ProblemDocument {
                kind: format!("urn:listcache:problem:{}", kind.code),
                title: kind.title,
                status: kind.status,
                code: kind.code,
                ..ProblemDocument::default()
            },
            headers: Vec::new(),
        }))
    }

    /// Says what happened this time.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.document.detail = Some(detail.into());
        self
    }

    /// Which item of a document is bad.
    pub fn line(mut self, line: u64) -> Self {
        self.0.document.line = Some(line);
        self
    }

    /// A link to the same window of the newest generation, in the body and as a `Link` (RFC 5829).
    pub fn newest(mut self, path: String) -> Self {
        let link = format!("<{path}>; rel=\"latest-version\"");
        self.0.document.newest = Some(path);
        self.header(header::LINK, link)
    }

    /// Adds a header. A value that no header can hold is left out.
    pub fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        if let Ok(value) = value.try_into() {
            self.0.headers.push((name, value));
        }
        self
    }

    /// When to come back; whole seconds, and never at once.
    pub fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1000).max(1);
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// Bad parameters, all of them at once.
    pub fn parameters(errors: Vec<ParameterError>) -> Self {
        Self::because(Kind::BAD_PARAMETERS, errors)
    }

    /// A problem with the parts of the request that cause it.
    pub fn because(kind: Kind, errors: Vec<ParameterError>) -> Self {
        let mut problem = Self::new(kind);
        problem.0.document.errors = errors
            .into_iter()
            .map(|error| BadParameter {
                parameter: error.parameter,
                detail: error.detail,
            })
            .collect();
        problem
    }

    /// The sort of failure.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let said = |kind: Kind| Self::new(kind).detail(error.to_string());
        match error {
            EngineError::NotFound => Self::new(Kind::UNKNOWN_LISTING),
            EngineError::Gone => Self::new(Kind::GENERATION_GONE),
            EngineError::Invalid(errors) => Self::parameters(errors),
            EngineError::NothingYet { retry_after, .. } => said(Kind::NOTHING_YET).retry_after(retry_after),
            EngineError::Overloaded { retry_after } => Self::new(Kind::OVERLOADED).retry_after(retry_after),
            EngineError::RedisDown { retry_after } => Self::new(Kind::REDIS_DOWN).retry_after(retry_after),
            // Its words are for operators: they may name users and servers.
            EngineError::RedisRefuses { code, .. } => Self::new(Kind::REDIS_REFUSES)
                .detail(format!("redis answers {}; /health/ready says more", code.as_str()))
                .retry_after(FULL_OR_BROKEN),
            EngineError::RedisFull => Self::new(Kind::REDIS_FULL).retry_after(FULL_OR_BROKEN),
            // The generation is dropped and built anew: coming back soon is worth it.
            EngineError::Corrupt => said(Kind::NOTHING_YET).retry_after(FULL_OR_BROKEN),
            EngineError::HasOrigin => Self::new(Kind::HAS_ORIGIN),
            EngineError::NoOrigin => Self::new(Kind::NO_ORIGIN),
            EngineError::NotAllowed => Self::new(Kind::NOT_ALLOWED),
            EngineError::Superseded { current } => {
                let mut problem = Self::new(Kind::SUPERSEDED);
                problem.0.document.generation = Some(current.to_string());
                problem
            }
            EngineError::Shrunk(refusal) => {
                let detail = format!("{refusal}; `?accept_shrink=true` accepts it");
                let mut problem = Self::new(Kind::SHRUNK).detail(detail);
                problem.0.document.before = Some(refusal.before());
                problem.0.document.after = Some(refusal.after());
                problem
            }
            EngineError::TooManyItems { .. } => said(Kind::TOO_MANY_ITEMS),
            EngineError::RefreshFailed(_) => said(Kind::REFRESH_FAILED),
        }
    }
}

/// How long to wait where Redis answers, but not usefully.
const FULL_OR_BROKEN: Duration = Duration::from_secs(2);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.code)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.insert_header((header::CACHE_CONTROL, self.0.kind.caching));
        for (name, value) in &self.0.headers {
            response.append_header((name.clone(), value.clone()));
        }
        // Plain text and numbers: serialising them does not fail.
        let mut response = response.body(serde_json::to_vec(&self.0.document).unwrap_or_default());
        if self.0.kind == Kind::OVERLOADED {
            response.extensions_mut().insert(Shed);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn json(problem: Problem) -> serde_json::Value {
        let body = to_bytes(problem.error_response().into_body()).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_problem_names_its_kind_and_all_bad_parameters() {
        let error = |parameter: &str| ParameterError {
            parameter: parameter.to_owned(),
            detail: "no".to_owned(),
        };
        let problem = Problem::from(EngineError::Invalid(vec![error("page"), error("size")]));
        assert_eq!(problem.status_code(), 400);
        assert_eq!(
            json(problem).await,
            serde_json::json!({
                "type": "urn:listcache:problem:bad-parameters",
                "title": "Some parameters are not valid",
                "status": 400,
                "code": "bad-parameters",
                "errors": [{"parameter": "page", "detail": "no"}, {"parameter": "size", "detail": "no"}],
            })
        );
    }

    #[tokio::test]
    async fn an_overtaken_push_hears_of_the_current_generation() {
        let current = "1795291200123456-9f1c02ab".parse().unwrap();
        let body = json(EngineError::Superseded { current }.into()).await;
        assert_eq!(body["code"], "superseded");
        assert_eq!(body["generation"], "1795291200123456-9f1c02ab");
    }

    #[test]
    fn retry_after_is_whole_seconds_and_never_zero() {
        for (millis, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let retry_after = Duration::from_millis(millis);
            let response = Problem::from(EngineError::Overloaded { retry_after }).error_response();
            assert_eq!(response.headers().get("retry-after").unwrap(), seconds);
            assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
        }
    }
}
