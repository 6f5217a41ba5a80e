//! The chunks of the page that follows, read behind the page that was asked for: an option (`l1.read_ahead`), for shops whose
//! visitors page on.
//!
//! Nobody waits for it, so it takes nothing that somebody could: few at a time, none where a read would be shed.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{page::PageMeta, selection::Selection};
use crate::{
    engine::{Engine, l1::items::Form},
    listing::Window,
    telemetry::Metrics,
};

/// Reads ahead at once.
const AT_ONCE_MAX: usize = 16;

/// Places of those who read ahead.
pub(crate) struct ReadAhead {
    /// None where it is not wanted.
    places: Option<Arc<Semaphore>>,
    metrics: Arc<Metrics>,
}

impl ReadAhead {
    /// So that nothing is read ahead unless it is wanted.
    pub(crate) fn new(is_wanted: bool, metrics: Arc<Metrics>) -> Self {
        Self {
            places: is_wanted.then(|| Arc::new(Semaphore::new(AT_ONCE_MAX))),
            metrics,
        }
    }
}

impl Engine {
    /// Begins to read what the page after this one needs and L1 does not have.
    pub(crate) fn read_ahead(&self, selection: &Selection, meta: &PageMeta, form: Form) {
        let Some(places) = self.read_ahead.places.as_ref().filter(|_| !meta.is_direct()) else {
            return;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            return;
        };
        let (shape, limit) = (meta.shape(), meta.limit);
        let window = Window {
            offset: meta.offset.saturating_add(limit.get().into()),
            limit,
            direction: selection.direction,
        };
        let Some(plan) = shape.plan(window) else { return };
        if form == Form::Packed && self.l1.chunks.has_fragments(shape, &plan) {
            return;
        }
        if self.chunks.begin(&selection.key, shape, &plan, place) {
            self.read_ahead.metrics.read_ahead.inc();
        }
    }
}
