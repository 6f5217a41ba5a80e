//! Pages that are here: the head and all that the page needs are in L1. What nobody has to be waited for is answered at once and
//! without a future: one is larger than all that a hit works with, and would be made, moved and dropped for each request.
//!
//! What was found of a page that is not here is handed on, so that nothing is looked up, or counted as read, twice.

use std::{sync::Arc, time::Instant};

use super::{
    page::{Page, PageFreshness, PageMeta, Place, Served, SkipItems, Wants},
    selection::{Lasts, Selection},
};
use crate::{
    engine::{
        Engine,
        declared::names::Existence,
        fetching::heads::HeadFrom,
        l1::{
            chunk_cache::Partly,
            head_table::Lookup,
            items::{Form, PageItems},
        },
    },
    listing::{Head, HeadState, Window},
};

/// What was found of a page that is not here.
#[derive(Debug)]
pub enum Begun {
    /// What is known of the head, which is not enough.
    Looked(Lookup),
    /// A head that may be served, but not all that the page needs besides.
    Headed {
        /// The head.
        servable: Servable,
        /// What there is of the items, where they were looked for.
        partly: Option<Partly>,
    },
}

/// A head that may be served, and how long what it names may be used.
#[derive(Clone, Copy, Debug)]
pub struct Servable {
    pub(crate) head: Head,
    pub(crate) freshness: PageFreshness,
}

impl Servable {
    /// The meta of a page of it.
    pub(crate) fn meta(&self, selection: &Selection, window: Window, served: Served) -> PageMeta {
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
    ) -> Result<Page, Option<Box<Begun>>> {
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
            return Err(Some(Box::new(Begun::Looked(lookup))));
        };
        let served = Served {
            l1_hit: true,
            ..Served::default()
        };
        let meta = servable.meta(selection, window, served);
        if meta.total == 0 && selection.existence == Existence::ByItems {
            let partly = None;
            return Err(Some(Box::new(Begun::Headed { servable, partly })));
        }
        let wants = Wants { form, skip_items };
        match self.cut_here(meta, window, wants) {
            Ok(mut page) => {
                self.finish(selection, &mut page, form);
                Ok(page)
            }
            Err(partly) => {
                let partly = Some(partly);
                Err(Some(Box::new(Begun::Headed { servable, partly })))
            }
        }
    }

    /// Whether a selection that was kept is right where its page is not here, by what was found of that.
    pub fn is_still_chosen(&self, selection: &Selection, begun: Option<&Begun>) -> bool {
        let is_live = || match begun {
            Some(Begun::Headed { .. }) => true,
            Some(Begun::Looked(lookup)) => lookup.head().is_some(),
            None => self
                .l1
                .heads
                .last_known(&selection.key)
                .is_some_and(|state| state.live().is_some()),
        };
        selection.lasts != Lasts::WhileLive || is_live()
    }

    /// Cuts a page out of what L1 has of a generation.
    pub(crate) fn cut_here(&self, meta: PageMeta, window: Window, wants: Wants<'_>) -> Result<Page, Partly> {
        if wants.no_items(&meta) {
            return Ok(Page::without_items(meta));
        }
        let shape = meta.shape();
        let Some(plan) = shape.plan(window) else {
            return Ok(Page::with_items(meta, PageItems::none()));
        };
        if let Some(packed) = self.packed_here(shape, &plan, wants.form) {
            return Ok(Page::with_packed(meta, packed));
        }
        let items = self.l1.chunks.find(shape, &plan)?;
        Ok(Page::with_items(meta, items))
    }
}
