//! Reading a page: the head, the chunks, and what to do where one is missing.
//!
//! Invariant 1 is kept here: head and chunks of a page are of one generation, and a page is whole or not served at all.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    from_l1::{Begun, Servable},
    page::{Page, PageFreshness, PageMeta, Place, Served, SkipItems, Wants, millis},
    selection::{Selection, invalid},
};
use crate::{
    engine::{
        Engine,
        declared::names::Existence,
        error::EngineError,
        fetching::heads::HeadFrom,
        l1::{chunk_cache::Partly, head_table::Lookup, items::Form, shape::Shape},
        refreshing::page_state::PageState,
    },
    listing::{Cursor, Freshness, Head, HeadState, Window, definition::Defined},
    store::Refused,
    telemetry::Layer,
};

// The futures of what is rare, or takes long anyway, are boxed: the one of a hit is made and dropped for every request, and
// is as large as the largest of its branches.

/// How often a page is begun anew because the listing moved under it. Each time a newer head was read.
const ATTEMPTS_MAX: u32 = 4;

impl Engine {
    /// One page. `skip_items` is asked once the meta is known: where it says true no chunk is read.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Gone`], [`EngineError::Invalid`] for a cursor of another listing, and the
    /// states of "nothing to serve": [`EngineError::NothingYet`], [`EngineError::RedisDown`], [`EngineError::Overloaded`].
    pub async fn page(
        self: &Arc<Self>,
        selection: &Selection,
        place: &Place,
        skip_items: SkipItems<'_>,
    ) -> Result<Page, EngineError> {
        let now = std::time::Instant::now();
        match self.page_here(selection, place, Form::Plain, skip_items, now) {
            Ok(page) => Ok(page),
            Err(begun) => {
                self.page_as(selection, place, Form::Plain, skip_items, now, begun)
                    .await
            }
        }
    }

    /// One page, its items packed if that is wanted: then as fragments, and as chunks only where a fragment is missing. The
    /// caller has looked at the clock just now, and perhaps asked [`Engine::page_here`] for it.
    ///
    /// # Errors
    /// Those of [`Engine::page`].
    pub async fn page_as(
        self: &Arc<Self>,
        selection: &Selection,
        place: &Place,
        form: Form,
        skip_items: SkipItems<'_>,
        began: std::time::Instant,
        begun: Option<Box<Begun>>,
    ) -> Result<Page, EngineError> {
        let wants = Wants { form, skip_items };
        let began = Instant::from_std(began);
        let page = match place {
            Place::Cursor(text) => {
                let cursor = Cursor::decode(text, &selection.key)
                    .ok()
                    .filter(|cursor| cursor.order == selection.order);
                let Some(cursor) = cursor else {
                    let why = match Cursor::decode(text, &selection.key) {
                        Err(error) => error.to_string(),
                        Ok(_) => "a cursor of the other order".to_owned(),
                    };
                    return Err(EngineError::Invalid(vec![invalid("cursor", why)]));
                };
                let window = self.window(selection, cursor.offset, cursor.limit);
                Box::pin(self.pinned_page(selection, Shape::from(&cursor), window, wants)).await
            }
            Place::Offset { offset, limit, pinned } => {
                let window = self.window(selection, *offset, *limit);
                match pinned {
                    None => self.current_page(selection, window, wants, began, begun).await,
                    Some(generation) => {
                        let shape = Box::pin(self.shape_of(selection, *generation, window)).await?;
                        Box::pin(self.pinned_page(selection, shape, window, wants)).await
                    }
                }
            }
        };
        let mut page = match page {
            // It was one of the names once, or never: nothing is left of it.
            Err(EngineError::Gone) if selection.existence == Existence::ByHead => return Err(EngineError::NotFound),
            Err(error @ (EngineError::RedisDown { .. } | EngineError::RedisRefuses { .. })) => {
                let refused = matches!(error, EngineError::RedisRefuses { .. });
                match Box::pin(self.direct_page(selection, place, refused)).await {
                    Some(page) => page?,
                    None => return Err(error),
                }
            }
            page => page?,
        };
        if !page.meta.served.l1_hit {
            // Whatever else the engine does takes microseconds.
            page.waited.redis = began.elapsed().saturating_sub(page.waited.origin);
        }
        self.finish(selection, &mut page, form);
        Ok(page)
    }

    /// What is done with every page.
    pub(crate) fn finish(&self, selection: &Selection, page: &mut Page, form: Form) {
        self.count(page);
        self.read_ahead(selection, &page.meta, form);
        if form == Form::Packed && page.packed.is_none() && !page.meta.is_direct() {
            self.fragments.pack(page);
        }
    }

    pub(crate) fn window(&self, selection: &Selection, offset: u64, limit: std::num::NonZeroU32) -> Window {
        Window {
            offset,
            limit,
            direction: selection.direction,
        }
    }

    async fn current_page(
        self: &Arc<Self>,
        selection: &Selection,
        window: Window,
        wants: Wants<'_>,
        began: Instant,
        mut begun: Option<Box<Begun>>,
    ) -> Result<Page, EngineError> {
        let mut served = Served {
            l1_hit: true,
            ..Served::default()
        };
        let mut filling = Duration::ZERO;
        let deadline = began + self.fill_wait(&selection.policy).saturating_sub(selection.waited);
        let mut now = began;
        for _ in 0..ATTEMPTS_MAX {
            let (servable, partly) = match begun.take().map(|begun| *begun) {
                Some(Begun::Headed { servable, partly }) => (Some(servable), partly),
                looked => {
                    let known = match looked {
                        Some(Begun::Looked(lookup)) => lookup,
                        _ => self.l1.heads.lookup_at(&selection.key, now.into_std()),
                    };
                    let servable = self.head_to_serve(selection, known, window, wants.form, &mut served);
                    (servable.await?, None)
                }
            };
            let Some(servable) = servable else {
                served.filled = true;
                served.l1_hit = false;
                let began = Instant::now();
                served.collapsed |= Box::pin(self.fill(selection, deadline)).await?;
                filling += began.elapsed();
                now = Instant::now();
                continue;
            };
            let head = servable.head;
            if head.total == 0 && selection.existence == Existence::ByItems {
                return Err(EngineError::NotFound);
            }
            let meta = servable.meta(selection, window, served);
            match self.cut(selection, meta, window, wants, partly).await? {
                Some(mut page) => {
                    page.waited.origin = filling;
                    return Ok(page);
                }
                None => {
                    // Redis does not hold what the head promises. If it still names that generation, the stream is lost.
                    let again = Box::pin(self.heads.reread(&selection.key)).await?;
                    if again.live().is_some_and(|again| again.generation == head.generation) {
                        tracing::warn!(listing = %selection.key, generation = %head.generation, "chunks lost from redis");
                        let began = Instant::now();
                        served.collapsed |= Box::pin(self.refill(selection, deadline)).await?;
                        filling += began.elapsed();
                        served.filled = true;
                    }
                    served.l1_hit = false;
                    now = Instant::now();
                }
            }
        }
        Err(EngineError::NothingYet {
            reason: "the listing moves faster than it can be read",
            retry_after: Duration::from_secs(1),
        })
    }

    /// The head to serve, of which so much is known; `None` where there is nothing to serve.
    async fn head_to_serve(
        self: &Arc<Self>,
        selection: &Selection,
        known: Lookup,
        window: Window,
        form: Form,
        served: &mut Served,
    ) -> Result<Option<Servable>, EngineError> {
        let head = self.heads.get(&selection.key, known, window, form);
        let (mut state, mut from) = readable(selection, head.await)?;
        let mut servable = self.servable(selection, &state, from);
        if servable.is_none() && matches!(from, HeadFrom::Memory { .. }) {
            // Known but past its life: only Redis can tell, and a fill would wait for the same Redis.
            (state, from) = readable(selection, Box::pin(self.heads.awaited(&selection.key)).await)?;
            servable = self.servable(selection, &state, from);
        }
        if let HeadFrom::Redis { collapsed } = from {
            served.l1_hit = false;
            served.collapsed |= collapsed;
        }
        Ok(servable)
    }

    /// The head to serve and how fresh it is; `None` where there is nothing to serve. A stale one starts a refresh.
    pub(crate) fn servable(
        self: &Arc<Self>,
        selection: &Selection,
        state: &HeadState,
        from: HeadFrom,
    ) -> Option<Servable> {
        let head = *state.live()?;
        let Some(defined) = &selection.defined else {
            // A pushed listing is the truth until it is pushed again; max_age says how often to ask.
            let ttl_ms = millis(selection.policy.fresh_for);
            let state = if let HeadFrom::Memory { refused } = from {
                let (_, known_for) = self.l1.heads.peek(&selection.key);
                (known_for <= selection.policy.stale_if_error).then_some(())?;
                PageState::from_memory(refused)
            } else {
                PageState::Fresh
            };
            let freshness = PageFreshness { ttl_ms, state };
            return Some(Servable { head, freshness });
        };
        let reshaped = defined.definition.reshapes(&selection.key.stored, &head);
        let now = self.store.now();
        let frozen = self.frozen.until(selection.key.name(), now);
        let stale_for = match selection.policy.freshness(head.as_of, now) {
            Freshness::Fresh(left) if !reshaped => {
                let state = if let HeadFrom::Memory { refused } = from {
                    PageState::from_memory(refused)
                } else {
                    self.refresh_early(selection, defined, &head, left);
                    PageState::Fresh
                };
                let ttl_ms = millis(left);
                let freshness = PageFreshness { ttl_ms, state };
                return Some(Servable { head, freshness });
            }
            Freshness::Fresh(_) => Duration::ZERO,
            Freshness::Stale(by) => by,
            Freshness::Expired => {
                frozen?;
                now.since(head.as_of).saturating_sub(selection.policy.fresh_for)
            }
        };
        let state = if let HeadFrom::Memory { refused } = from {
            (stale_for <= selection.policy.stale_if_error).then_some(())?;
            PageState::from_memory(refused)
        } else if frozen.is_some() {
            PageState::OriginError
        } else if let Some(state) = self
            .refresher
            .why_backing_off(&defined.definition, &selection.key.family)
        {
            state
        } else {
            if !defined.definition.is_outdated(&head) {
                drop(self.refresher.trigger(defined, &selection.key));
            }
            self.refreshing()
        };
        self.metrics.pages_stale.inc();
        self.oldest_stale.saw(stale_for);
        let ttl_ms = -millis(stale_for).max(1);
        let freshness = PageFreshness { ttl_ms, state };
        Some(Servable { head, freshness })
    }

    /// What a stale page says when its refresh has just begun: that it will fail, where this process knows so.
    fn refreshing(&self) -> PageState {
        if self.store.refused().iter().any(Refused::is_of_refreshes) {
            PageState::RedisRefuses
        } else if self.store.is_full() {
            PageState::RedisFull
        } else {
            PageState::Refreshing
        }
    }

    /// What is read near the end of its freshness is refreshed before it is stale.
    fn refresh_early(&self, selection: &Selection, defined: &Defined, head: &Head, left: Duration) {
        // A generation's nonce is as good as chance, and the same for all who read it.
        let spread = f64::from(head.generation.nonce) / f64::from(u32::MAX);
        if selection.policy.is_early(left, spread)
            && !defined.definition.is_outdated(head)
            && self.frozen_until(selection.key.name()).is_none()
            && self
                .refresher
                .backing_off(&defined.definition, &selection.key.family)
                .is_none()
        {
            drop(self.refresher.trigger_after(defined, &selection.key, head.as_of));
        }
    }

    /// Cuts a page out of a generation; `None` where chunks are lost. What was found of its items is not looked for again.
    pub(crate) async fn cut(
        &self,
        selection: &Selection,
        mut meta: PageMeta,
        window: Window,
        wants: Wants<'_>,
        partly: Option<Partly>,
    ) -> Result<Option<Page>, EngineError> {
        let partly = match partly {
            Some(partly) => partly,
            None => match self.cut_here(meta.clone(), window, wants) {
                Ok(page) => return Ok(Some(page)),
                Err(partly) => partly,
            },
        };
        match self.chunks.read(&selection.key, meta.shape(), partly).await {
            Ok(Some(read)) => {
                meta.served.l1_hit = false;
                meta.served.collapsed |= read.collapsed;
                Ok(Some(Page::with_items(meta, read.items)))
            }
            Ok(None) | Err(EngineError::Corrupt) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the first fill of a listing. Says whether somebody else had begun it.
    async fn fill(self: &Arc<Self>, selection: &Selection, deadline: Instant) -> Result<bool, EngineError> {
        let Some(defined) = &selection.defined else {
            return Err(self.missing_pushed(selection).await);
        };
        if selection.existence == Existence::ByHead {
            return Err(EngineError::NotFound);
        }
        if selection.existence == Existence::Unknown {
            // It may be any scanner's invention: the origin is asked for what exists only.
            return Err(EngineError::NothingYet {
                reason: "the names that exist could not be read",
                retry_after: Duration::from_secs(1),
            });
        }
        if self.is_known(selection) {
            self.fills.wait(defined, &selection.key, deadline).await
        } else {
            self.fills.wait_for_unknown(defined, &selection.key, deadline).await
        }
    }

    /// Whether an enumeration or a head tells of the name. Anybody can make up others.
    pub(crate) fn is_known(&self, selection: &Selection) -> bool {
        let has_head = |state| state != HeadState::Absent;
        selection.existence == Existence::Enumerated || self.l1.heads.last_known(&selection.key).is_some_and(has_head)
    }

    /// Fills a listing anew whose stream was lost. Says whether somebody else had begun it.
    async fn refill(self: &Arc<Self>, selection: &Selection, deadline: Instant) -> Result<bool, EngineError> {
        let Some(defined) = &selection.defined else {
            self.lost_pushed.tell(&selection.key);
            return Err(EngineError::NotFound);
        };
        if selection.existence == Existence::ByHead {
            return Err(EngineError::NotFound);
        }
        self.fills.wait_anew(defined, &selection.key, deadline).await
    }

    /// Why a pushed listing is not there: no such name, or no such sort of it.
    async fn missing_pushed(&self, selection: &Selection) -> EngineError {
        match self.pushed_sorts.of(selection.key.name()).await {
            Err(error) => error,
            Ok(sorts) if sorts.is_empty() || sorts.contains(selection.key.sort()) => EngineError::NotFound,
            Ok(sorts) => {
                let sorts: Vec<_> = sorts.iter().map(|sort| sort.as_str()).collect();
                let detail = format!("unknown; this listing has {}", sorts.join(", "));
                EngineError::Invalid(vec![invalid("sort", detail)])
            }
        }
    }

    fn count(&self, page: &Page) {
        let served = page.meta.served;
        let layer = match served {
            Served { filled: true, .. } => Layer::Origin,
            Served { l1_hit: true, .. } => Layer::L1,
            _ => Layer::Redis,
        };
        self.metrics.pages_from(layer).inc();
    }
}

/// A head that cannot be read is as good as none, where a refill replaces it. What was pushed is not known not to exist.
fn readable(
    selection: &Selection,
    read: Result<(HeadState, HeadFrom), EngineError>,
) -> Result<(HeadState, HeadFrom), EngineError> {
    match read {
        Err(EngineError::Corrupt) if selection.defined.is_some() => Ok((HeadState::Absent, HeadFrom::L1)),
        read => read,
    }
}
