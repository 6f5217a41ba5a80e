//! Cuts pages out of generations: the items of a window, from L1, else with the missing chunks from Redis.
//!
//! Invariant 1 is kept here: the items of a page are of one generation, and a page is whole or not served at all.

use std::sync::Arc;

use super::{
    fragments::Fragments,
    page::{Page, PageMeta, PageRequest},
};
use crate::{
    engine::{
        error::EngineError,
        fetching::chunks::{Chunks, ReadItems},
        l1::{
            L1,
            chunk_cache::{Partly, Scattered},
            items::{Form, PackedItems, PageItems},
            shape::Layers,
        },
    },
    listing::WindowPlan,
};

/// The items of a page of which L1 lacks some.
pub(crate) enum Missing {
    /// Neighbours.
    Together(Partly),
    /// The matches of filters.
    Apart(Scattered),
}

/// Cuts pages.
pub(crate) struct Cutter {
    pub l1: Arc<L1>,
    pub chunks: Arc<Chunks>,
    pub fragments: Arc<Fragments>,
}

impl Cutter {
    /// The page with this meta, out of L1 alone; else the part of its items that L1 has.
    pub(crate) fn cut_from_l1(&self, request: PageRequest<'_>, meta: PageMeta) -> Result<Page, Missing> {
        let layers = meta.layers();
        if let Some(matches) = meta.matches() {
            let direction = request.selection.direction;
            let positions = matches.window(meta.offset, meta.limit.get(), direction);
            let items = self.l1.chunks.find_at(&layers, &positions, direction);
            return Ok(Page::with_items(meta, items.map_err(Missing::Apart)?));
        }
        let Some(plan) = layers.shape.plan(request.selection.window(meta.offset, meta.limit)) else {
            return Ok(Page::with_items(meta, PageItems::none()));
        };
        if let Some(packed) = self.packed_in_l1(&layers, &plan, request.form) {
            return Ok(Page::with_packed(meta, packed));
        }
        let items = self.l1.chunks.find(&layers, &plan).map_err(Missing::Together)?;
        Ok(Page::with_items(meta, items))
    }

    /// The page with this meta; `None` where chunks are lost.
    pub(crate) async fn cut(&self, request: PageRequest<'_>, mut meta: PageMeta) -> Result<Option<Page>, EngineError> {
        let (key, layers) = (&request.selection.key, meta.layers());
        let read = match self.cut_from_l1(request, meta.clone()) {
            Ok(page) => return Ok(Some(page)),
            Err(Missing::Together(partly)) => self.chunks.read(key, &layers, partly).await,
            Err(Missing::Apart(scattered)) => {
                let read = Box::pin(self.chunks.read_scattered(key, &layers, scattered)).await;
                read.map(|items| {
                    items.map(|items| ReadItems {
                        items,
                        collapsed: false,
                    })
                })
            }
        };
        match read {
            Ok(Some(read)) => {
                meta.served.l1_hit = false;
                meta.served.collapsed |= read.collapsed;
                Ok(Some(Page::with_items(meta, read.items)))
            }
            Ok(None) | Err(EngineError::Corrupt) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All items of a plan as fragments, if they are wanted so and L1 has them.
    pub(crate) fn packed_in_l1(&self, layers: &Layers, plan: &WindowPlan, form: Form) -> Option<PackedItems> {
        (form == Form::Packed).then(|| self.fragments.find(layers, plan))?
    }
}
