//! Reads the chunks of the page that follows, behind the page that was asked for: an option (`l1.read_ahead`), for shops whose
//! visitors page on.
//!
//! No request waits for it, so it takes nothing that a request could need: it reads little at a time, and nothing while reads
//! are shed.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{page::PageMeta, selection::Selection};
use crate::engine::{fetching::chunks::Chunks, l1::items::Form, refreshing::means::Means};

/// Reads ahead at once.
const AT_ONCE_MAX: usize = 16;

/// Reads ahead.
pub(crate) struct ReadAhead {
    /// `None` where the option is off.
    places: Option<Arc<Semaphore>>,
    means: Arc<Means>,
    chunks: Arc<Chunks>,
}

impl ReadAhead {
    /// Reads ahead if that is wanted.
    pub(crate) fn new(is_wanted: bool, means: Arc<Means>, chunks: Arc<Chunks>) -> Self {
        Self {
            places: is_wanted.then(|| Arc::new(Semaphore::new(AT_ONCE_MAX))),
            means,
            chunks,
        }
    }

    /// Begins to read what the page after this one needs and L1 does not have.
    pub(crate) fn begin(&self, selection: &Selection, meta: &PageMeta, form: Form) {
        let Some(places) = self
            .places
            .as_ref()
            .filter(|_| !meta.is_direct() && meta.matches().is_none())
        else {
            return;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            return;
        };
        let (layers, limit) = (meta.layers(), meta.limit);
        let window = selection.window(meta.offset.saturating_add(limit.get().into()), limit);
        let Some(plan) = layers.shape.plan(window) else {
            return;
        };
        if form == Form::Packed && self.means.l1.chunks.has_fragments(&layers, &plan) {
            return;
        }
        if self.chunks.begin(&selection.key, &layers, &plan, place) {
            self.means.metrics.read_ahead.inc();
        }
    }
}
