//! Pages that are here: the head and all that the page needs are in L1. What nobody has to be waited for is answered at once and
//! without a future: one is larger than all that a hit works with, and would be made, moved and dropped for each request.
//!
//! What was found of a page that is not here is handed on, so that nothing is looked up, or counted as read, twice.

use std::{sync::Arc, time::Instant};

use super::{
    Engine,
    head_table::Lookup,
    heads::HeadFrom,
    names::Existence,
    page::{Form, Page, PageFreshness, PageItems, PageMeta, Place, Served, SkipItems, Wants},
    selection::Selection,
    shape::Shape,
};
use crate::listing::{Head, HeadState, Window};

/// What was found of a page that is not here.
#[derive(Clone, Copy, Debug)]
pub enum Begun {
    /// What is known of the head, which is not enough.
    Looked(Lookup),
    /// A head that may be served, but not all that the page needs besides.
    Headed(Servable),
}

/// A head that may be served, and how long what it names may be used.
#[derive(Clone, Copy, Debug)]
pub struct Servable {
    pub(super) head: Head,
    pub(super) freshness: PageFreshness,
}

impl Servable {
    /// The meta of a page of it.
    pub(super) fn meta(&self, selection: &Selection, window: Window, served: Served) -> PageMeta {
        PageMeta {
            generation: self.head.generation,
            total: self.head.total,
            chunk_len: self.head.chunk_len,
            offset: window.offset,
            limit: window.limit,
            order: selection.order,
            pinned: false,
            freshness: self.freshness,
            served,
        }
    }
}

impl Engine {
    /// The page that [`Engine::page_as`] would give, if nobody has to be waited for. Else what it may go on with, if anything: it
    /// must be asked then.
    pub fn page_here(
        self: &Arc<Self>,
        selection: &Selection,
        place: &Place,
        form: Form,
        skip_items: SkipItems<'_>,
        began: Instant,
    ) -> Result<Page, Option<Begun>> {
        let Place::Offset {
            offset,
            limit,
            pinned: None,
        } = place
        else {
            return Err(None);
        };
        let window = self.window(selection, *offset, *limit);
        let lookup = self.l1.heads.lookup_at(&selection.key, began);
        let servable = match &lookup {
            Lookup::Usable(state @ HeadState::Live(_)) => self.servable(selection, state, HeadFrom::L1),
            _ => None,
        };
        let Some(servable) = servable else {
            return Err(Some(Begun::Looked(lookup)));
        };
        let served = Served {
            l1_hit: true,
            ..Served::default()
        };
        let meta = servable.meta(selection, window, served);
        let is_listing = meta.total > 0 || selection.existence != Existence::ByItems;
        let wants = Wants { form, skip_items };
        match is_listing.then(|| self.cut_here(meta, window, wants)).flatten() {
            Some(page) => Ok(self.finish(selection, page, form)),
            None => Err(Some(Begun::Headed(servable))),
        }
    }

    /// Cuts a page out of what L1 has of a generation.
    fn cut_here(&self, meta: PageMeta, window: Window, wants: Wants<'_>) -> Option<Page> {
        if wants.no_items(&meta) {
            return Some(Page::without_items(meta));
        }
        let shape: Shape = meta.shape();
        let Some(plan) = shape.plan(window) else {
            return Some(Page::with_items(meta, None, Vec::new()));
        };
        if let Some(packed) = self.packed_here(shape, &plan, wants.form) {
            return Some(Page::with_packed(meta, packed));
        }
        let items = PageItems {
            direction: plan.direction(),
            pieces: self.l1.chunks.pieces(shape, &plan)?,
        };
        Some(Page {
            items: Some(items),
            ..Page::without_items(meta)
        })
    }
}
