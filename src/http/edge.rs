//! The first and the last step of every request: the bound on URLs, the headers that every answer has, its id, counting, the
//! access log.

use std::{sync::Arc, time::Instant};

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{BodySize, EitherBody, MessageBody},
    dev::{RequestHead, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};

use super::{
    problem::{Kind, Problem, Shed},
    request::request_id::{self, X_REQUEST_ID},
};
use crate::telemetry::{ACCESS, Metrics};

/// The longest URL, path and query. The longest of our own links is far shorter: a name of 256 bytes, encoded, and a cursor.
pub(super) const URI_BYTES_MAX: usize = 8 * 1024;

const VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Link, X-Total-Count, ETag, Cache-Status, Server-Timing, Retry-After");

/// RFC 9211.
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The parts that the edge of every socket needs.
#[derive(Debug)]
pub(super) struct Edge {
    /// Whether each request is logged.
    pub access_log: bool,
    /// Whether a CDN stands in front that stores whatever is not `private`, such as Fastly.
    pub says_private: bool,
    /// Pages and followers are counted by the engine, answers here.
    pub metrics: Arc<Metrics>,
}

/// Wraps all routes.
pub(super) async fn edge<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let Some(edge) = request.app_data::<Data<Edge>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_left_body);
    };
    let passing = Passing::begin(request.head(), &edge);
    let response = match passing.refused() {
        Some(refused) => request.into_response(refused.error_response().map_into_right_body()),
        None => next.call(request).await?.map_into_left_body(),
    };
    let (request, mut answer) = response.into_parts();
    passing.end(request.head(), &edge, &mut answer);
    Ok(ServiceResponse::new(request, answer))
}

/// Fastly does not obey `no-store`
/// (<https://www.fastly.com/documentation/guides/full-site-delivery/caching/about-cache-control-headers>).
fn add_private(headers: &mut HeaderMap) {
    if headers
        .get(header::CACHE_CONTROL)
        .is_some_and(|said| said == "no-store")
    {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    }
}

/// One request on its way through.
pub(super) struct Passing {
    /// Where it will be logged.
    began: Option<Instant>,
    request_id: Option<HeaderValue>,
    is_too_long: bool,
}

impl Passing {
    /// Before the request is answered.
    pub(super) fn begin(head: &RequestHead, edge: &Edge) -> Self {
        let began = edge.access_log.then(Instant::now);
        let uri = head.uri.path_and_query();
        Self {
            request_id: request_id::given(&head.headers).or_else(|| began.map(|_| request_id::made())),
            is_too_long: uri.is_some_and(|uri| uri.as_str().len() > URI_BYTES_MAX),
            began,
        }
    }

    /// An answer without a handler, if there is one.
    pub(super) fn refused(&self) -> Option<Problem> {
        self.is_too_long.then(|| Problem::new(Kind::URI_TOO_LONG))
    }

    /// Once there is an answer.
    pub(super) fn end<B: MessageBody>(self, head: &RequestHead, edge: &Edge, answer: &mut HttpResponse<B>) {
        // Listings are public; other answers are not for web pages of other origins.
        set_headers(answer.headers_mut(), head.uri.path().starts_with("/v1/"));
        if edge.says_private {
            add_private(answer.headers_mut());
        }
        if let Some(request_id) = self.request_id {
            answer.headers_mut().insert(X_REQUEST_ID, request_id);
        }
        count(edge, answer);
        if let Some(began) = self.began {
            log(head, answer, began);
        }
    }
}

fn set_headers(headers: &mut HeaderMap, is_shared_across_origins: bool) {
    headers.insert(header::VARY, VARY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if is_shared_across_origins {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn count<B>(edge: &Edge, response: &HttpResponse<B>) {
    if !response.status().is_server_error() {
        return;
    }
    edge.metrics.server_errors.inc();
    if response.status() == StatusCode::SERVICE_UNAVAILABLE && response.extensions().contains::<Shed>() {
        edge.metrics.shed.inc();
    }
}

fn log<B: MessageBody>(request: &RequestHead, response: &HttpResponse<B>, began: Instant) {
    let header = |headers: &HeaderMap, name: HeaderName| {
        let value = headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let body_bytes = match response.body().size() {
        BodySize::Sized(bytes) => Some(bytes),
        _ => None,
    };
    tracing::info!(
        target: ACCESS,
        method = %request.method,
        uri = %request.uri,
        status = response.status().as_u16(),
        body_bytes,
        // Until the answer's head: a body that is read slowly, or an event stream, is not in it.
        duration_ms = began.elapsed().as_secs_f64() * 1e3,
        request_id = header(response.headers(), X_REQUEST_ID),
        cache_status = header(response.headers(), CACHE_STATUS),
        user_agent = header(&request.headers, header::USER_AGENT),
        peer = request.peer_addr.map(tracing::field::display),
        "request"
    );
}
