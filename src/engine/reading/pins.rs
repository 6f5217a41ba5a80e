//! Pinned pages: of a generation asked for by name or by cursor, kept for a while after it was replaced.
//!
//! Invariant 2 stands on them: links name a generation, and a page of it comes from it or is 410.
//! A delete makes pins disappear, so a pinned page needs a head that is as fresh as any page's; where Redis must be asked
//! for it, head, chunks and the time left come in one turn.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use super::{
    cutting::Cutter,
    page::{Page, PageFreshness, PageMeta, PageRequest, Served, millis},
    selection::Selection,
};
use crate::{
    engine::{
        error::EngineError,
        fetching::{chunks::Chunks, heads::OVERDUE},
        l1::{
            head_table::Lookup,
            items::{Form, PageItems},
            shape::{Layers, Shape},
        },
        refreshing::{means::Means, page_state::PageState},
    },
    listing::{Generation, Window},
};

/// Reads pinned pages.
pub(crate) struct Pins {
    pub means: Arc<Means>,
    pub chunks: Arc<Chunks>,
    pub cutter: Arc<Cutter>,
}

/// A pinned page that was found.
pub(crate) enum Pinned {
    /// L1 knows that its generation is kept.
    Kept(PageMeta),
    /// Redis was asked, and the items came along.
    Read(Page),
    /// Redis still keeps the generation, but not its items.
    Lost(PageMeta),
}

impl Pins {
    /// The meta of a page of this generation, with the items where Redis had to be asked.
    pub(crate) async fn find(
        &self,
        request: PageRequest<'_>,
        shape: Shape,
        offset: u64,
        limit: NonZeroU32,
    ) -> Result<Pinned, EngineError> {
        let selection = request.selection;
        let mut meta = PageMeta {
            generation: shape.generation,
            total: shape.total,
            chunk_len: shape.chunk_len,
            delta: None,
            offset,
            limit,
            order: selection.order,
            pinned: true,
            freshness: PageFreshness {
                ttl_ms: 0,
                state: PageState::Fresh,
                // It stays as it is.
                until_ms: PageFreshness::NEVER,
            },
            served: Served {
                l1_hit: true,
                ..Served::default()
            },
            narrowed: None,
        };
        // Anybody can make a cursor: one that says something else of a generation than is known of it leads nowhere.
        if let Some(known) = self.means.l1.layers_of(&selection.key, shape.generation) {
            if known.shape != shape {
                return Err(EngineError::Gone);
            }
            meta.delta = known.delta;
        }
        if let Some(kept_ms) = self.kept_ms(selection, shape)? {
            meta.freshness.ttl_ms = kept_ms;
            return Ok(Pinned::Kept(meta));
        }
        self.read(request, meta).await
    }

    /// The page with this meta, which is known to be kept.
    pub(crate) async fn items(&self, request: PageRequest<'_>, meta: PageMeta) -> Result<Page, EngineError> {
        if meta.matches().is_some() {
            // Its items lie apart, and what it was narrowed by was read of this very generation.
            return self.cutter.cut(request, meta).await?.ok_or(EngineError::Gone);
        }
        if let Ok(page) = self.cutter.cut_from_l1(request, meta.clone()) {
            return Ok(page);
        }
        match self.read(request, meta).await? {
            Pinned::Read(page) => Ok(page),
            Pinned::Kept(_) | Pinned::Lost(_) => Err(EngineError::Gone),
        }
    }

    async fn read(&self, request: PageRequest<'_>, meta: PageMeta) -> Result<Pinned, EngineError> {
        let shape = meta.shape();
        let read = self.read_from_redis(request, meta).await;
        if matches!(read, Err(EngineError::Gone)) {
            // It ended before its time, by one replacement too many: what was remembered of it ends too.
            self.means.l1.pins.invalidate(&(request.selection.key.clone(), shape));
        }
        read
    }

    async fn read_from_redis(&self, request: PageRequest<'_>, mut meta: PageMeta) -> Result<Pinned, EngineError> {
        let (selection, shape) = (request.selection, meta.shape());
        let window = selection.window(meta.offset, meta.limit);
        let plan = shape.plan(window);
        // One turn tells the head (a delete makes pins disappear), the time left and the chunks.
        meta.served.l1_hit = false;
        let first = shape.plan(Window { offset: 0, ..window });
        let Some(asked) = plan.as_ref().or(first.as_ref()) else {
            return self.read_empty(selection, meta).await.map(Pinned::Read);
        };
        // Its chunks may all be here.
        let from_l1 = {
            let mut meta = meta.clone();
            meta.freshness.state = PageState::RedisDown;
            meta.served.l1_hit = true;
            self.last_known(request, shape, meta)
        };
        let refused = |mut page: Page| {
            page.meta.freshness.state = PageState::RedisRefuses;
            page
        };
        if !self.means.store.admits_reads() && (from_l1.is_some() || !self.means.store.refuses_connections()) {
            let page = from_l1.ok_or_else(EngineError::redis_down)?;
            return Ok(Pinned::Read(match self.means.store.refuses_connections() {
                true => refused(page),
                false => page,
            }));
        }
        let patience = from_l1.is_some().then_some(OVERDUE);
        let asked = self
            .chunks
            .read_pinned(&selection.key, &meta.layers(), asked, patience)
            .await;
        let (pinned, read) = match (asked, from_l1) {
            (Ok(None) | Err(EngineError::RedisDown { .. } | EngineError::Overloaded { .. }), Some(page)) => {
                return Ok(Pinned::Read(page));
            }
            (Err(EngineError::RedisRefuses { .. }), Some(page)) => return Ok(Pinned::Read(refused(page))),
            (Err(EngineError::Corrupt), _) => return Err(EngineError::Gone),
            (answer, _) => answer?.ok_or_else(EngineError::redis_down)?,
        };
        let (Some(left), false) = (pinned.left, shape.generation.id < pinned.head.pins_from()) else {
            return Err(EngineError::Gone);
        };
        // Invariant 1: where the head still names the generation it says best what belongs to it; else the generation itself
        // does. A cursor that says something else was made up, or the stream was damaged.
        let current = pinned.head.live().map(Layers::from);
        let current = current.filter(|current| current.shape.generation == shape.generation);
        match current.or(pinned.layers) {
            Some(said) if said.shape == shape => meta.delta = said.delta,
            _ => return Err(EngineError::Gone),
        }
        let left = self.remember_pin(selection, shape, left);
        meta.freshness.ttl_ms = millis(left);
        Ok(match (plan, read) {
            (None, _) => Pinned::Read(Page::with_items(meta, PageItems::none())),
            (Some(_), Some(read)) => {
                meta.served.collapsed = read.collapsed;
                Pinned::Read(Page::with_items(meta, read.items))
            }
            // The stream is there but not as the cursor says: half lost, or the cursor was made up.
            (Some(_), None) => Pinned::Lost(meta),
        })
    }

    /// An empty generation has no stream: it is there as long as the head names it.
    async fn read_empty(&self, selection: &Selection, mut meta: PageMeta) -> Result<Page, EngineError> {
        let head = self.means.heads.reread(&selection.key).await?;
        match head.live() {
            Some(head) if head.generation == meta.generation && head.total == 0 => {
                meta.freshness.ttl_ms = millis(selection.policy.pin_for);
                Ok(Page::with_items(meta, PageItems::none()))
            }
            _ => Err(EngineError::Gone),
        }
    }

    /// Milliseconds that a pinned generation is kept at least, where L1 alone can tell; 410 where L1 knows of a delete.
    fn kept_ms(&self, selection: &Selection, shape: Shape) -> Result<Option<i64>, EngineError> {
        let Lookup::Usable(state) = self.means.l1.heads.lookup(&selection.key) else {
            return Ok(None);
        };
        if shape.generation.id < state.pins_from() {
            return Err(EngineError::Gone);
        }
        if state.live().is_some_and(|head| Shape::from(head) == shape) {
            return Ok(Some(millis(selection.policy.pin_for)));
        }
        let now = self.means.store.now();
        let kept = self.means.l1.pins.get(&(selection.key.clone(), shape));
        Ok(kept.filter(|until| *until > now).map(|until| millis(until.since(now))))
    }

    /// Remembers how long a pinned generation is kept at least: it may be replaced at any time.
    fn remember_pin(&self, selection: &Selection, shape: Shape, left: Duration) -> Duration {
        let left = left.min(selection.policy.pin_for);
        let until = self.means.store.now().after(left);
        self.means.l1.pins.insert((selection.key.clone(), shape), until);
        left
    }

    /// The shape of a pinned generation.
    pub(crate) async fn shape_of(
        &self,
        selection: &Selection,
        generation: Generation,
        window: Window,
    ) -> Result<Shape, EngineError> {
        Ok(self.layers_of(selection, generation, window).await?.shape)
    }

    /// The layers of a pinned generation: L1 knows them, or the generation says them of itself.
    ///
    /// They are looked up once: when its head moves, L1 may know them no more.
    async fn layers_of(
        &self,
        selection: &Selection,
        generation: Generation,
        window: Window,
    ) -> Result<Layers, EngineError> {
        if let Some(known) = self.means.l1.layers_of(&selection.key, generation) {
            return Ok(known);
        }
        let permit = self.means.permits.take()?;
        let described = self.means.store.pages.describe(&selection.key, generation).await?;
        drop(permit);
        match described {
            Some(described) => {
                let layers = Layers::described(generation, described);
                let key = (selection.key.clone(), generation);
                self.means.l1.layers.insert(key, layers.clone());
                Ok(layers)
            }
            // Gone, or what the current generation says of itself is lost.
            None => {
                let known = self.means.l1.heads.lookup(&selection.key);
                let head = self.means.heads.get(&selection.key, known, window, Form::Plain);
                match head.await?.0.live() {
                    Some(head) if head.generation == generation => Ok(Layers::from(head)),
                    _ => Err(EngineError::Gone),
                }
            }
        }
    }

    /// Completes the meta of a page that is kept by what its generation takes from others.
    pub(crate) async fn complete(&self, selection: &Selection, meta: &mut PageMeta) -> Result<(), EngineError> {
        let window = selection.window(meta.offset, meta.limit);
        let layers = self.layers_of(selection, meta.generation, window).await?;
        // Anybody can make a cursor that says something else of the generation.
        if layers.shape != meta.shape() {
            return Err(EngineError::Gone);
        }
        meta.delta = layers.delta;
        Ok(())
    }

    /// A pinned page from L1 alone, of a generation that this listing is known to have, and of no delete since.
    fn last_known(&self, request: PageRequest<'_>, shape: Shape, meta: PageMeta) -> Option<Page> {
        let key = &request.selection.key;
        let (Lookup::Usable(state) | Lookup::Recheck(state)) = self.means.l1.heads.peek(key).0 else {
            return None;
        };
        if shape.generation.id < state.pins_from() {
            return None;
        }
        let is_current = state.live().map(Shape::from) == Some(shape);
        if !is_current && !self.means.l1.pins.contains_key(&(key.clone(), shape)) {
            return None;
        }
        self.cutter.cut_from_l1(request, meta).ok()
    }
}
