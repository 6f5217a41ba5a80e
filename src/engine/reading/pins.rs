//! Pinned pages: of a generation asked for by name or by cursor, kept for a while after it was replaced.
//!
//! Invariant 2 stands on them: links name a generation, and a page of it comes from it or is 410.
//! A delete makes pins disappear, so a pinned page needs a head that is as fresh as any page's; where Redis must be asked
//! for it, head, chunks and the time left come in one turn.

use std::{sync::Arc, time::Duration};

use super::{
    page::{Page, PageFreshness, PageMeta, Served, Wants, millis},
    selection::Selection,
};
use crate::{
    engine::{
        Engine,
        error::EngineError,
        fetching::heads::OVERDUE,
        l1::{
            head_table::Lookup,
            items::{Form, PageItems},
            shape::Shape,
        },
        refreshing::page_state::PageState,
    },
    listing::{Generation, Window, WindowPlan},
};

impl Engine {
    pub(crate) async fn pinned_page(
        self: &Arc<Self>,
        selection: &Selection,
        shape: Shape,
        window: Window,
        wants: Wants<'_>,
    ) -> Result<Page, EngineError> {
        let mut meta = PageMeta {
            generation: shape.generation,
            total: shape.total,
            chunk_len: shape.chunk_len,
            offset: window.offset,
            limit: window.limit,
            order: selection.order,
            pinned: true,
            freshness: PageFreshness {
                ttl_ms: 0,
                state: PageState::Fresh,
            },
            served: Served {
                l1_hit: true,
                ..Served::default()
            },
        };
        // Anybody can make a cursor: one that says something else of a generation than is known of it leads nowhere.
        let known = self.l1.shape_of(&selection.key, shape.generation);
        if known.is_some_and(|known| !known.agrees(&shape)) {
            return Err(EngineError::Gone);
        }
        let plan = shape.plan(window);
        if let Some(kept_ms) = self.kept_here(selection, shape)? {
            meta.freshness.ttl_ms = kept_ms;
            let here = match &plan {
                None => true,
                Some(plan) => {
                    wants.no_items(&meta)
                        || self.packed_here(shape, plan, wants.form).is_some()
                        || self.l1.chunks.find(shape, plan).is_ok()
                }
            };
            if here && let Some(page) = self.cut(selection, meta.clone(), window, wants, None).await? {
                return Ok(page);
            }
        }
        // One turn tells the head (a delete makes pins disappear), the time left and the chunks.
        meta.served.l1_hit = false;
        let first = shape.plan(Window { offset: 0, ..window });
        let Some(asked) = plan.as_ref().or(first.as_ref()) else {
            return self.pinned_empty(selection, meta).await;
        };
        // Its chunks may all be here.
        let at_hand = {
            let mut meta = meta.clone();
            meta.freshness.state = PageState::RedisDown;
            meta.served.l1_hit = true;
            self.cut_from_l1(selection, shape, meta, plan.as_ref(), wants.form)
        };
        let refused = |mut page: Page| {
            page.meta.freshness.state = PageState::RedisRefuses;
            page
        };
        if !self.store.admits_reads() && (at_hand.is_some() || !self.store.refuses_connections()) {
            let page = at_hand.ok_or_else(EngineError::redis_down)?;
            return Ok(match self.store.refuses_connections() {
                true => refused(page),
                false => page,
            });
        }
        let patience = at_hand.is_some().then_some(OVERDUE);
        let asked = self.chunks.read_pinned(&selection.key, shape, asked, patience).await;
        let (pinned, read) = match (asked, at_hand) {
            (Ok(None) | Err(EngineError::RedisDown { .. } | EngineError::Overloaded { .. }), Some(page)) => {
                return Ok(page);
            }
            (Err(EngineError::RedisRefuses { .. }), Some(page)) => return Ok(refused(page)),
            (Err(EngineError::Corrupt), _) => return Err(EngineError::Gone),
            (answer, _) => answer?.ok_or_else(EngineError::redis_down)?,
        };
        let (Some(left), false) = (pinned.left, shape.generation.id < pinned.head.pins_from()) else {
            return Err(EngineError::Gone);
        };
        // Invariant 1: where the head still names the generation it says best what belongs to it; else the generation itself
        // does. A cursor that says something else was made up, or the stream was damaged.
        let current = pinned.head.live().map(Shape::from);
        let current = current.filter(|current| current.generation == shape.generation);
        if !current.or(pinned.shape).is_some_and(|said| said.agrees(&shape)) {
            return Err(EngineError::Gone);
        }
        let left = self.remember_pin(selection, shape, left);
        meta.freshness.ttl_ms = millis(left);
        if wants.no_items(&meta) {
            return Ok(Page::without_items(meta));
        }
        match (plan, read) {
            (None, _) => Ok(Page::with_items(meta, PageItems::none())),
            (Some(_), Some(read)) => {
                meta.served.collapsed = read.collapsed;
                Ok(Page::with_items(meta, read.items))
            }
            // The stream is there but not as the cursor says: half lost, or the cursor was made up.
            (Some(_), None) => Err(EngineError::Gone),
        }
    }

    /// An empty generation has no stream: it is there as long as the head names it.
    async fn pinned_empty(&self, selection: &Selection, mut meta: PageMeta) -> Result<Page, EngineError> {
        let head = self.heads.reread(&selection.key).await?;
        match head.live() {
            Some(head) if head.generation == meta.generation && head.total == 0 => {
                meta.freshness.ttl_ms = millis(selection.policy.pin_for);
                Ok(Page::with_items(meta, PageItems::none()))
            }
            _ => Err(EngineError::Gone),
        }
    }

    /// Milliseconds that a pinned generation is kept at least, where L1 alone can tell; 410 where L1 knows of a delete.
    fn kept_here(&self, selection: &Selection, shape: Shape) -> Result<Option<i64>, EngineError> {
        let Lookup::Usable(state) = self.l1.heads.lookup(&selection.key) else {
            return Ok(None);
        };
        if shape.generation.id < state.pins_from() {
            return Err(EngineError::Gone);
        }
        if state.live().is_some_and(|head| Shape::from(head) == shape) {
            return Ok(Some(millis(selection.policy.pin_for)));
        }
        let now = self.store.now();
        let kept = self.l1.pins.get(&(selection.key.clone(), shape));
        Ok(kept.filter(|until| *until > now).map(|until| millis(until.since(now))))
    }

    /// Remembers how long a pinned generation is kept at least: it may be replaced at any time.
    fn remember_pin(&self, selection: &Selection, shape: Shape, left: Duration) -> Duration {
        let left = left.min(selection.policy.pin_for);
        let until = self.store.now().after(left);
        self.l1.pins.insert((selection.key.clone(), shape), until);
        left
    }

    /// The shape of a pinned generation: from what L1 knows, else from the stream itself.
    pub(crate) async fn shape_of(
        &self,
        selection: &Selection,
        generation: Generation,
        window: Window,
    ) -> Result<Shape, EngineError> {
        if let Some(shape) = self.l1.shape_of(&selection.key, generation) {
            return Ok(shape);
        }
        let permit = self.permits.take()?;
        let described = self.store.pages.describe(&selection.key, generation).await?;
        drop(permit);
        match described {
            Some(described) => {
                let shape = Shape::described(generation, described);
                self.l1.shapes.insert((selection.key.clone(), generation), shape);
                Ok(shape)
            }
            // No stream: gone, or the current generation is empty.
            None => match self
                .heads
                .get(
                    &selection.key,
                    self.l1.heads.lookup(&selection.key),
                    window,
                    Form::Plain,
                )
                .await?
                .0
                .live()
            {
                Some(head) if head.generation == generation => Ok(Shape::from(head)),
                _ => Err(EngineError::Gone),
            },
        }
    }

    /// A pinned page from L1 alone, of a generation that this listing is known to have, and of no delete since.
    fn cut_from_l1(
        &self,
        selection: &Selection,
        shape: Shape,
        meta: PageMeta,
        plan: Option<&WindowPlan>,
        form: Form,
    ) -> Option<Page> {
        let (lookup, _) = self.l1.heads.peek(&selection.key);
        let (Lookup::Usable(state) | Lookup::Recheck(state)) = &lookup else {
            return None;
        };
        if shape.generation.id < state.pins_from() {
            return None;
        }
        let current = state.live().map(Shape::from);
        let known = current == Some(shape) || self.l1.pins.contains_key(&(selection.key.clone(), shape));
        if !known {
            return None;
        }
        let Some(plan) = plan else {
            return Some(Page::with_items(meta, PageItems::none()));
        };
        if let Some(packed) = self.packed_here(shape, plan, form) {
            return Some(Page::with_packed(meta, packed));
        }
        let items = self.l1.chunks.find(shape, plan).ok()?;
        Some(Page::with_items(meta, items))
    }
}
