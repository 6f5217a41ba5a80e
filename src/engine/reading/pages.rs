//! Pages of listings: the room's front. Two calls make a page: the first finds its meta, the second its items.
//!
//! The caller looks at the meta in between: a 304 needs no items. [`Pages::find_in_l1`] and [`Pages::items_in_l1`] come first. They
//! make no future: one is 2 KB, moved for each request. Where L1 lacks something they return `None`, and the page is
//! begun anew with [`Pages::find`] and [`Pages::items`].

use std::{sync::Arc, time::Duration};

use super::{
    current::{Attempts, Current, is_without_items},
    cutting::Cutter,
    fills::{Fills, FillsParts},
    fragments::Fragments,
    freshness::Freshener,
    oldest_stale::OldestStale,
    page::{Page, PageMeta, PageRequest, Place, Served, Waited},
    pins::{Pinned, Pins},
    read_ahead::ReadAhead,
    selection::{Selection, invalid},
    selector::Selector,
    without_redis::Direct,
};
use crate::{
    config::L1Config,
    engine::{
        coherence::announcer::Announcer,
        declared::{Declaration, names::Existence},
        error::EngineError,
        fetching::{
            chunks::Chunks,
            heads::{HeadFrom, Heads},
            lost_pushed::LostPushed,
            pushed_sorts::PushedSorts,
        },
        l1::{L1, head_table::Lookup, items::Form, shape::Shape},
        loads::permits::ReadPermits,
        refreshing::{frozen::Frozen, runs::Refresher},
    },
    listing::{Cursor, Generation, HeadState},
    store::Store,
    telemetry::{Layer, Metrics},
};

/// Finds pages.
pub struct Pages {
    /// Chooses listings.
    pub selector: Arc<Selector>,
    /// Deflates parts of pages, behind the requests.
    pub fragments: Arc<Fragments>,
    pub(crate) oldest_stale: Arc<OldestStale>,
    l1: Arc<L1>,
    freshener: Arc<Freshener>,
    cutter: Arc<Cutter>,
    current: Current,
    pins: Pins,
    direct: Direct,
    read_ahead: ReadAhead,
    metrics: Arc<Metrics>,
}

/// The parts that reading needs.
pub(crate) struct PagesParts<'a> {
    pub store: &'a Store,
    pub declaration: &'a Arc<Declaration>,
    pub l1: &'a Arc<L1>,
    pub l1_config: &'a L1Config,
    pub permits: &'a ReadPermits,
    pub heads: &'a Arc<Heads>,
    pub pushed_sorts: &'a Arc<PushedSorts>,
    pub lost_pushed: &'a Arc<LostPushed>,
    pub announcer: &'a Arc<Announcer>,
    pub refresher: &'a Arc<Refresher>,
    pub frozen: &'a Arc<Frozen>,
    pub metrics: &'a Arc<Metrics>,
    pub runtime: &'a tokio::runtime::Handle,
}

/// A page that was found: all but its items.
pub struct Found {
    /// Its meta.
    pub meta: PageMeta,
    /// The times that it waited so far.
    pub waited: Waited,
    rest: Rest,
}

/// Where the items of a found page are.
enum Rest {
    /// In the current generation.
    Current(Attempts),
    /// In a pinned generation that is still kept.
    Pinned,
    /// They came with the meta; `None` where they are lost.
    Whole(Option<Box<Page>>),
}

impl Pages {
    /// Nothing is read yet.
    pub(crate) fn new(parts: &PagesParts<'_>) -> Self {
        let PagesParts {
            store,
            declaration,
            l1,
            permits,
            heads,
            metrics,
            runtime,
            ..
        } = *parts;
        let chunks = Chunks::new(store.clone(), l1.clone(), permits.clone(), runtime.clone());
        let chunks = Arc::new(chunks);
        let fragments = Arc::new(Fragments::new(l1.clone(), metrics.clone(), runtime.clone()));
        let cutter = Arc::new(Cutter {
            l1: l1.clone(),
            chunks: chunks.clone(),
            fragments: fragments.clone(),
        });
        let freshener = Arc::new(Freshener {
            store: store.clone(),
            l1: l1.clone(),
            frozen: parts.frozen.clone(),
            refresher: parts.refresher.clone(),
        });
        let fills = Fills::new(FillsParts {
            store: store.clone(),
            permits: permits.clone(),
            refresher: parts.refresher.clone(),
            announcer: parts.announcer.clone(),
            heads: heads.clone(),
            l1: l1.clone(),
            pushed_sorts: parts.pushed_sorts.clone(),
            lost_pushed: parts.lost_pushed.clone(),
            l1_config: parts.l1_config,
            runtime: runtime.clone(),
        });
        Self {
            selector: Arc::new(Selector {
                store: store.clone(),
                declaration: declaration.clone(),
                l1: l1.clone(),
                frozen: parts.frozen.clone(),
                pushed_sorts: parts.pushed_sorts.clone(),
            }),
            fragments,
            oldest_stale: Arc::default(),
            l1: l1.clone(),
            freshener: freshener.clone(),
            cutter: cutter.clone(),
            current: Current {
                declaration: declaration.clone(),
                l1: l1.clone(),
                heads: heads.clone(),
                freshener,
                fills,
                cutter: cutter.clone(),
            },
            pins: Pins {
                store: store.clone(),
                l1: l1.clone(),
                permits: permits.clone(),
                heads: heads.clone(),
                chunks: chunks.clone(),
                cutter,
            },
            direct: Direct::new(
                store.clone(),
                declaration.clone(),
                l1.clone(),
                permits.clone(),
                metrics.clone(),
                runtime.clone(),
            ),
            read_ahead: ReadAhead::new(parts.l1_config.read_ahead, l1.clone(), chunks, metrics.clone()),
            metrics: metrics.clone(),
        }
    }

    /// The meta of a page, if L1 has a head that may be served. Counts as a read of the listing.
    pub fn find_in_l1(&self, request: PageRequest<'_>) -> Option<PageMeta> {
        let Place::Offset {
            offset,
            limit,
            pinned: None,
        } = request.place
        else {
            return None;
        };
        let selection = request.selection;
        let Lookup::Usable(state @ HeadState::Live(_)) = self.l1.heads.lookup_at(&selection.key, request.began) else {
            return None;
        };
        let servable = self.freshener.servable(selection, &state, HeadFrom::L1)?;
        let served = Served {
            l1_hit: true,
            ..Served::default()
        };
        let meta = servable.meta(selection, selection.window(*offset, *limit), served);
        (!is_without_items(selection, &meta)).then_some(meta)
    }

    /// The page, if L1 has its items too.
    pub fn items_in_l1(&self, request: PageRequest<'_>, meta: PageMeta) -> Option<Page> {
        let page = self.cutter.cut_from_l1(request, meta).ok()?;
        Some(self.finish(request, page))
    }

    /// The page without its items, for a caller that needs none.
    pub fn without_items(&self, request: PageRequest<'_>, meta: PageMeta, waited: Waited) -> Page {
        let page = Page {
            waited,
            ..Page::without_items(meta)
        };
        self.finish(request, page)
    }

    /// The meta of a page, wherever it is. To be called where [`Pages::find_in_l1`] or [`Pages::items_in_l1`] has returned `None`:
    /// they have counted the read.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Gone`], [`EngineError::Invalid`] for a cursor of another listing, and the
    /// states of "nothing to serve": [`EngineError::NothingYet`], [`EngineError::RedisDown`], [`EngineError::Overloaded`].
    pub async fn find(&self, request: PageRequest<'_>) -> Result<Found, EngineError> {
        let selection = request.selection;
        let found = match request.place {
            Place::Offset {
                offset,
                limit,
                pinned: None,
            } => {
                let mut attempts = self.current.attempts(request);
                let window = selection.window(*offset, *limit);
                let meta = self.current.find(request, window, &mut attempts).await;
                meta.map(|meta| Found {
                    meta,
                    waited: attempts.waited(),
                    rest: Rest::Current(attempts),
                })
            }
            Place::Offset {
                offset,
                limit,
                pinned: Some(generation),
            } => Box::pin(self.find_pinned(request, *generation, *offset, *limit)).await,
            Place::Cursor(text) => {
                let cursor = cursor(selection, text)?;
                let found = self
                    .pins
                    .find(request, Shape::from(&cursor), cursor.offset, cursor.limit);
                Box::pin(found).await.map(Found::from)
            }
        };
        match found {
            Err(error) => self.despite(request, error).await.map(Found::from),
            found => found,
        }
    }

    async fn find_pinned(
        &self,
        request: PageRequest<'_>,
        generation: Generation,
        offset: u64,
        limit: std::num::NonZeroU32,
    ) -> Result<Found, EngineError> {
        let window = request.selection.window(offset, limit);
        let shape = self.pins.shape_of(request.selection, generation, window).await?;
        self.pins.find(request, shape, offset, limit).await.map(Found::from)
    }

    /// The page that was found, with its items. It is of a newer generation than its meta was where the listing has moved meanwhile.
    ///
    /// # Errors
    /// Those of [`Pages::find`].
    pub async fn items(&self, request: PageRequest<'_>, found: Found) -> Result<Page, EngineError> {
        let page = match found.rest {
            Rest::Current(attempts) => self.current.items(request, found.meta, attempts).await,
            Rest::Pinned => Box::pin(self.pins.items(request, found.meta)).await,
            Rest::Whole(page) => page.map(|page| *page).ok_or(EngineError::Gone),
        };
        let page = match page {
            Err(error) => self.despite(request, error).await?,
            Ok(page) => page,
        };
        Ok(self.finish(request, page))
    }

    /// The page from the origin where Redis failed, if that is allowed.
    async fn despite(&self, request: PageRequest<'_>, error: EngineError) -> Result<Page, EngineError> {
        let refused = matches!(error, EngineError::RedisRefuses { .. });
        match error {
            // It was one of the names once, or never: nothing is left of it.
            EngineError::Gone if request.selection.existence == Existence::ByHead => Err(EngineError::NotFound),
            EngineError::RedisDown { .. } | EngineError::RedisRefuses { .. } => {
                let page = self.direct.page(request.selection, request.place, refused);
                Box::pin(page).await.unwrap_or(Err(error))
            }
            error => Err(error),
        }
    }

    /// The last step of every page: it is counted, the next one is read ahead, fragments are looked for.
    fn finish(&self, request: PageRequest<'_>, mut page: Page) -> Page {
        let served = page.meta.served;
        if !served.l1_hit {
            // Whatever else the engine does takes microseconds.
            page.waited.redis = request.began.elapsed().saturating_sub(page.waited.origin);
        }
        let layer = match served {
            Served { filled: true, .. } => Layer::Origin,
            Served { l1_hit: true, .. } => Layer::L1,
            _ => Layer::Redis,
        };
        self.metrics.pages_from(layer).inc();
        if let Some(stale_ms) = page.meta.freshness.stale_ms() {
            self.metrics.pages_stale.inc();
            self.oldest_stale.saw(Duration::from_millis(stale_ms));
        }
        self.read_ahead.begin(request.selection, &page.meta, request.form);
        if request.form == Form::Packed && page.packed.is_none() && !page.meta.is_direct() {
            self.fragments.pack(&mut page);
        }
        page
    }
}

impl From<Pinned> for Found {
    fn from(pinned: Pinned) -> Self {
        let (meta, rest) = match pinned {
            Pinned::Kept(meta) => (meta, Rest::Pinned),
            Pinned::Read(page) => return Self::from(page),
            Pinned::Lost(meta) => (meta, Rest::Whole(None)),
        };
        Self {
            meta,
            waited: Waited::default(),
            rest,
        }
    }
}

impl From<Page> for Found {
    fn from(page: Page) -> Self {
        Self {
            meta: page.meta.clone(),
            waited: page.waited,
            rest: Rest::Whole(Some(Box::new(page))),
        }
    }
}

fn cursor(selection: &Selection, text: &str) -> Result<Cursor, EngineError> {
    let why = match Cursor::decode(text, &selection.key) {
        Ok(cursor) if cursor.order == selection.order => return Ok(cursor),
        Ok(_) => "a cursor of the other order".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(EngineError::Invalid(vec![invalid("cursor", why)]))
}
