//! Health, metrics, the API's description.

use std::time::Instant;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::{Bytes, Data},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer,
    configuration::{ConfigurationHealth, ConfigurationState},
    readiness::Readiness,
};
use crate::{
    engine::{Engine, RedisTrouble},
    http::problem::{Kind, Problem, ProblemDocument},
    telemetry::Metrics,
};

/// The answer to a probe.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `live` or `ready`.
    pub status: &'static str,
    /// Listings whose last refresh here was refused, some of them: too few items to be believed, or too many. They are served
    /// as they were before; `explain` says why. And `names of` patterns whose names were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Patterns whose names could not be read last, some of them: names that were read before are served on. `explain` says why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names_unread: Vec<String>,
    /// `down`: Redis does not answer. `refusing`: it answers and refuses commands. `full`: it takes no more data. `deaf`: this
    /// process does not hear announcements. Pages that are known are served on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<&'static str>,
    /// The commands that Redis refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redis_refuses: Vec<RefusedByRedis>,
    /// The outcome of the last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigurationHealth>,
}

/// An operation that Redis refuses although it answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefusedByRedis {
    /// Redis's code, or `other`.
    pub code: &'static str,
    /// The operation.
    pub operation: &'static str,
    /// Redis's own words.
    pub sentence: String,
    /// How long ago it was refused last.
    pub seconds_ago: u64,
}

impl RefusedByRedis {
    /// All that is refused.
    pub(crate) fn all(trouble: Option<&RedisTrouble>) -> Vec<Self> {
        let refused = trouble.map(RedisTrouble::refused).unwrap_or_default();
        let told = refused.iter().map(|refused| Self {
            code: refused.code.as_str(),
            operation: refused.operation,
            sentence: refused.sentence.to_string(),
            seconds_ago: refused.ago.as_secs(),
        });
        told.collect()
    }
}

/// So many names are told of each trouble.
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
pub(crate) async fn live() -> HttpResponse {
    let health = Health {
        status: "live",
        ..Health::default()
    };
    answer::private(StatusCode::OK, &health)
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
pub(crate) async fn ready(
    engine: Data<Engine>,
    readiness: Data<Readiness>,
    configuration: Data<ConfigurationState>,
) -> Result<HttpResponse, Problem> {
    match readiness.check(Instant::now()) {
        Ok(()) => {
            let trouble = engine.inspector.redis_trouble();
            let health = Health {
                status: "ready",
                refused: engine.inspector.refused(REFUSED_MAX),
                names_unread: engine.inspector.names_unread(REFUSED_MAX),
                redis: trouble.as_ref().map(RedisTrouble::as_str),
                redis_refuses: RefusedByRedis::all(trouble.as_ref()),
                configuration: configuration.health(),
            };
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
pub(crate) async fn metrics(metrics: Data<Metrics>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(metrics.encode())
}

/// The description of the interface, as it is sent.
pub(crate) struct DescriptionText(pub Bytes);

/// This description.
///
/// Made from the code, with the bounds that are configured.
#[utoipa::path(
    method(get, head),
    path = "/openapi.json",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn description(description: Data<DescriptionText>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "max-age=60"))
        .body(description.0.clone())
}
