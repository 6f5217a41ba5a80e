//! Answers that are JSON documents of the service's own: small, built per request, never cached.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

/// An answer for the one who asked, which no cache may keep.
pub(crate) fn private(status: StatusCode, document: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Texts, numbers and lists of them: serialising does not fail.
        .body(serde_json::to_vec(document).unwrap_or_default())
}
