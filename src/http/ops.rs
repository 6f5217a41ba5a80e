//! Health, metrics, the API's description.

use std::time::Instant;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Engine;

use super::{
    answer,
    configuration::ConfigurationHealth,
    problem::{Kind, Problem, ProblemDocument},
    shared::Shared,
};

/// What a probe hears.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `live` or `ready`.
    pub status: &'static str,
    /// Listings whose last refresh here was refused, some of them: too few items to be believed, or too many. They are served
    /// as they were before; `explain` says why. And `names of` patterns whose names were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// `down`, where Redis does not answer, or `full`, where it takes no more data: pages that are known are served on, and
    /// refreshes wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<&'static str>,
    /// What became of the configuration that was read last, where it was read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationHealth>,
}

impl Health {
    fn of(status: &'static str) -> Self {
        Self {
            status,
            refused: Vec::new(),
            redis: None,
            configuration: None,
        }
    }
}

/// So many refused names are told.
const REFUSED_MAX: usize = 20;

/// Whether the process works at all.
///
/// It says so as long as it answers: a Redis that is away is no reason to start it anew.
#[utoipa::path(
    method(get, head),
    path = "/health/live",
    tag = "operations",
    responses((status = 200, description = "It does", body = Health))
)]
pub async fn live() -> HttpResponse {
    answer::private(StatusCode::OK, &Health::of("live"))
}

/// Whether traffic should come.
///
/// Not while warming up, and not while draining.
#[utoipa::path(
    method(get, head),
    path = "/health/ready",
    tag = "operations",
    responses(
        (status = 200, description = "It should", body = Health),
        (status = 503, description = "It should not; `detail` says why", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub async fn ready(engine: Data<Engine>, shared: Data<Shared>) -> Result<HttpResponse, Problem> {
    match shared.readiness.check(Instant::now()) {
        Ok(()) => {
            let mut health = Health::of("ready");
            health.refused = engine.refused(REFUSED_MAX);
            health.redis = engine.redis_trouble();
            health.configuration = shared.configuration.health();
            Ok(answer::private(StatusCode::OK, &health))
        }
        Err(why) => Err(Problem::new(Kind::NOT_READY)
            .detail(why.as_str())
            .header(header::RETRY_AFTER, "1")),
    }
}

/// Every metric, for Prometheus.
///
/// The number of series does not grow with the number of listings.
#[utoipa::path(
    method(get, head),
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "OpenMetrics 1.0", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(shared.metrics.encode())
}

/// This description.
///
/// Made from the code, with the bounds that are configured.
#[utoipa::path(
    method(get, head),
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub async fn description(shared: Data<Shared>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "max-age=60"))
        .body(shared.description.clone())
}
