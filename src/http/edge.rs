//! What every request passes first and last: the bound on URLs, the headers that every answer has, its id, counting, the
//! access log.

use std::time::Instant;

use actix_web::{
    Error, ResponseError,
    body::{BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};

use super::{
    problem::{Kind, Problem, Shed},
    request_id::{self, X_REQUEST_ID},
    shared::Shared,
};

/// The longest URL, path and query. The longest of our own links is far shorter: a name of 256 bytes, encoded, and a cursor.
pub const URI_BYTES_MAX: usize = 8 * 1024;

const VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Link, X-Total-Count, ETag, Cache-Status, Server-Timing, Retry-After");

/// Wraps the whole service.
pub async fn edge<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let shared = request.app_data::<Data<Shared>>().cloned();
    let began = shared
        .as_ref()
        .is_some_and(|shared| shared.access_log)
        .then(Instant::now);
    let request_id = request_id::given(request.headers()).or_else(|| began.map(|_| request_id::made()));
    // Listings are public; what else is served is nobody else's page's business.
    let is_shared_across_origins = request.path().starts_with("/v1/");
    let mut response = if is_too_long(&request) {
        let answer = Problem::new(Kind::URI_TOO_LONG).error_response();
        request.into_response(answer.map_into_right_body())
    } else {
        next.call(request).await?.map_into_left_body()
    };
    set_headers(response.headers_mut(), is_shared_across_origins);
    if let Some(request_id) = request_id {
        response.headers_mut().insert(X_REQUEST_ID, request_id);
    }
    if let Some(shared) = shared {
        count(&shared, &response);
    }
    if let Some(began) = began {
        log(&response, began);
    }
    Ok(response)
}

fn is_too_long(request: &ServiceRequest) -> bool {
    request
        .uri()
        .path_and_query()
        .is_some_and(|uri| uri.as_str().len() > URI_BYTES_MAX)
}

fn set_headers(headers: &mut HeaderMap, is_shared_across_origins: bool) {
    headers.insert(header::VARY, VARY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if is_shared_across_origins {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn count<B>(shared: &Shared, response: &ServiceResponse<B>) {
    if !response.status().is_server_error() {
        return;
    }
    shared.metrics.server_errors.inc();
    if response.status() == StatusCode::SERVICE_UNAVAILABLE && response.response().extensions().contains::<Shed>() {
        shared.metrics.shed.inc();
    }
}

fn log<B: MessageBody>(response: &ServiceResponse<B>, began: Instant) {
    let request = response.request();
    let header = |headers: &HeaderMap, name: HeaderName| {
        let value = headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let body_bytes = match response.response().body().size() {
        BodySize::Sized(bytes) => Some(bytes),
        _ => None,
    };
    tracing::info!(
        method = %request.method(),
        uri = %request.uri(),
        status = response.status().as_u16(),
        body_bytes,
        // Until the answer's head: a body that is read slowly, or an event stream, is not in it.
        duration_ms = began.elapsed().as_secs_f64() * 1e3,
        request_id = header(response.headers(), X_REQUEST_ID),
        cache_status = header(response.headers(), super::headers::CACHE_STATUS),
        user_agent = header(request.headers(), header::USER_AGENT),
        peer = request.peer_addr().map(tracing::field::display),
        "request"
    );
}
