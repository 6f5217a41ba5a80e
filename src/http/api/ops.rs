//! Health and metrics.

use std::time::Instant;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Schema};

use super::{
    answer,
    configuration::{ConfigurationHealth, ConfigurationState},
    readiness::Readiness,
};
use crate::{
    engine::{Engine, RedisTrouble, Unpurged},
    http::{
        problem::{Kind, Problem, ProblemDocument},
        request::schema,
    },
    telemetry::Metrics,
};

/// The answer to a probe.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `live` or `ready`.
    #[schema(schema_with = statuses)]
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
    #[schema(schema_with = troubles)]
    pub redis: Option<&'static str>,
    /// The commands that Redis refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redis_refuses: Vec<RefusedByRedis>,
    /// Outboxes and changelogs that cannot be read: changes that they hold are not seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outboxes_unread: Vec<UnreadOutbox>,
    /// CDNs that are not purged in time: pages give no `cdn_max_age`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cdns_unpurged: Vec<UnpurgedCdn>,
    /// The outcome of the last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ConfigurationHealth)]
    pub configuration: Option<ConfigurationHealth>,
}

const LIVE: &str = "live";
const READY: &str = "ready";

fn statuses() -> Schema {
    schema::one_of("The probe that was asked for.", [LIVE, READY])
}

/// The trouble with Redis in one word.
pub(super) fn troubles() -> Schema {
    let description = "`down`: Redis does not answer. `refusing`: it answers and refuses commands. `full`: it takes no more data. `deaf`: this \
                       process does not hear announcements. Pages that are known are served on. Absent without a trouble.";
    schema::one_of(description, RedisTrouble::WORDS)
}

/// An outbox or a changelog that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnreadOutbox {
    /// The origin that it is of.
    pub origin: String,
    /// For how long.
    pub seconds: u64,
}

/// A CDN that is not purged in time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnpurgedCdn {
    /// Its name in the configuration.
    pub cdn: String,
    /// How late its oldest purge is; absent where no node purges it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

impl UnpurgedCdn {
    fn of(unpurged: Unpurged) -> Self {
        Self {
            cdn: unpurged.cdn.into(),
            seconds: unpurged.lag.map(|lag| lag.as_secs()),
        }
    }
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

impl UnreadOutbox {
    fn of((origin, lasts): (Box<str>, std::time::Duration)) -> Self {
        Self {
            origin: origin.into(),
            seconds: lasts.as_secs(),
        }
    }
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
    operation_id = "getLiveness",
    tag = "operations",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn live() -> HttpResponse {
    let health = Health {
        status: LIVE,
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
    operation_id = "getReadiness",
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
                status: READY,
                refused: engine.inspector.refused(REFUSED_MAX),
                names_unread: engine.inspector.names_unread(REFUSED_MAX),
                redis: trouble.as_ref().map(RedisTrouble::as_str),
                redis_refuses: RefusedByRedis::all(trouble.as_ref()),
                outboxes_unread: engine
                    .changes
                    .outbox_troubles()
                    .into_iter()
                    .map(UnreadOutbox::of)
                    .collect(),
                cdns_unpurged: engine.inspector.unpurged().into_iter().map(UnpurgedCdn::of).collect(),
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
    operation_id = "getMetrics",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_described() {
        let troubles = [
            RedisTrouble::Down,
            RedisTrouble::Refusing(Vec::new()),
            RedisTrouble::Full,
            RedisTrouble::Deaf(Vec::new()),
        ];
        assert_eq!(troubles.each_ref().map(RedisTrouble::as_str), RedisTrouble::WORDS);
    }
}
