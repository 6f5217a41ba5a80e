//! What all handlers of a process share, besides the engine.

use std::{num::NonZeroU32, sync::Arc};

use actix_web::web::Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    api::{configuration::ConfigurationState, readiness::Readiness},
    pages::envelope::Envelopes,
    request::query::Sizes,
};
use crate::{
    config::{HttpLimits, Secret},
    telemetry::Metrics,
};

/// Settings, flags and counters that handlers read.
#[derive(Debug)]
pub(super) struct Shared {
    /// Items a page.
    pub sizes: Sizes,
    /// What the interface is, as OpenAPI.
    pub description: Bytes,
    /// What was written before of pages that are asked for often.
    pub envelopes: Envelopes,
    /// Limits on bodies.
    pub limits: HttpLimits,
    /// What writes need; without one there are none.
    pub token: Option<Secret>,
    /// Whether each request is logged.
    pub access_log: bool,
    /// What probes hear.
    pub readiness: Arc<Readiness>,
    /// What they hear of the configuration.
    pub configuration: Arc<ConfigurationState>,
    /// Cancelled when event streams must end.
    pub closing: CancellationToken,
    /// Every metric of the service. Pages and followers are counted by the engine, answers here.
    pub metrics: Arc<Metrics>,
}

/// Sizes from checked settings: the check refuses zeros, and a one is the least harm if it did not.
pub(super) fn sizes(default: u32, max: u32) -> Sizes {
    let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Sizes {
        default: at_least_one(default),
        max: at_least_one(max),
    }
}
