//! Pages of listings: the room's front. Two calls make a page: the first finds its meta, the second its items.
//!
//! The caller looks at the meta in between: a 304 needs no items. [`Pages::find_in_l1`] and [`Pages::items_in_l1`] come first. They
//! make no future: one is 2 KB, moved for each request. Where L1 lacks something they return `None`, and the page is
//! begun anew with [`Pages::find`] and [`Pages::items`].

use std::{sync::Arc, time::Duration};

use super::{
    current::{Attempts, Current, is_without_items},
    cutting::Cutter,
    fills::Fills,
    fragments::Fragments,
    freshness::{Freshener, OldestStale},
    narrowing::Narrower,
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
        declared::names::Existence,
        error::EngineError,
        fetching::{chunks::Chunks, columns::FilterColumns, heads::HeadFrom},
        l1::{head_table::Lookup, items::Form, shape::Shape},
        refreshing::{means::Means, runs::Refresher},
    },
    listing::{Cursor, Generation, HeadState},
    telemetry::Layer,
};

/// Finds pages.
pub struct Pages {
    /// Chooses listings.
    pub selector: Arc<Selector>,
    /// Deflates parts of pages, behind the requests.
    pub fragments: Arc<Fragments>,
    pub(crate) oldest_stale: Arc<OldestStale>,
    means: Arc<Means>,
    freshener: Arc<Freshener>,
    cutter: Arc<Cutter>,
    narrower: Arc<Narrower>,
    current: Current,
    pins: Pins,
    direct: Direct,
    read_ahead: ReadAhead,
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
    /// Whether a CDN may keep a page for `cdn_max_age`: where CDNs are purged, as long as each is purged in time.
    pub fn cdns_are_purged(&self) -> bool {
        self.means.purged.in_time()
    }

    /// Nothing is read yet.
    pub(crate) fn new(refresher: &Arc<Refresher>, l1_config: &L1Config) -> Self {
        let means = &refresher.means;
        let chunks = Arc::new(Chunks::new(
            means.store.clone(),
            means.l1.clone(),
            means.permits.clone(),
            means.runtime.clone(),
        ));
        let fragments = Arc::new(Fragments::new(means.clone()));
        let cutter = Arc::new(Cutter {
            l1: means.l1.clone(),
            chunks: chunks.clone(),
            fragments: fragments.clone(),
        });
        let narrower = Arc::new(Narrower {
            l1: means.l1.clone(),
            columns: FilterColumns::new(
                means.store.clone(),
                means.l1.clone(),
                means.permits.clone(),
                means.metrics.clone(),
                means.runtime.clone(),
            ),
        });
        let freshener = Arc::new(Freshener {
            means: means.clone(),
            refresher: refresher.clone(),
        });
        Self {
            selector: Arc::new(Selector { means: means.clone() }),
            fragments,
            oldest_stale: Arc::default(),
            means: means.clone(),
            freshener: freshener.clone(),
            cutter: cutter.clone(),
            narrower: narrower.clone(),
            current: Current {
                means: means.clone(),
                freshener,
                fills: Fills::new(refresher.clone(), l1_config),
                cutter: cutter.clone(),
                narrower,
            },
            pins: Pins {
                means: means.clone(),
                chunks: chunks.clone(),
                cutter,
            },
            direct: Direct::new(means.clone()),
            read_ahead: ReadAhead::new(l1_config.read_ahead, means.clone(), chunks),
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
        let Lookup::Usable(state @ HeadState::Live(_)) = self.means.l1.heads.lookup_at(&selection.key, request.began)
        else {
            return None;
        };
        let servable = self.freshener.servable(selection, &state, HeadFrom::L1)?;
        let served = Served {
            l1_hit: true,
            ..Served::default()
        };
        let mut meta = servable.meta(selection, selection.window(*offset, *limit), served);
        self.narrower.narrow_from_l1(selection, &mut meta)?;
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
                let (shape, offset, limit) = (Shape::from(&cursor), cursor.offset, cursor.limit);
                let found = Box::pin(self.pins.find(request, shape, offset, limit)).await;
                match found {
                    Ok(pinned) => Box::pin(self.narrowed(request, pinned)).await,
                    Err(error) => Err(error),
                }
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
        let pinned = self.pins.find(request, shape, offset, limit).await?;
        self.narrowed(request, pinned).await
    }

    /// A pinned page, narrowed by filters. What came along of its items is then of no use.
    async fn narrowed(&self, request: PageRequest<'_>, pinned: Pinned) -> Result<Found, EngineError> {
        let selection = request.selection;
        if selection.filters().is_none() {
            return Ok(Found::from(pinned));
        }
        let mut meta = match pinned {
            Pinned::Kept(mut meta) => {
                self.pins.complete(selection, &mut meta).await?;
                meta
            }
            Pinned::Lost(meta) => meta,
            Pinned::Read(page) => page.meta,
        };
        let fill_wait = self.means.declaration.fill_wait(&selection.policy);
        let deadline = request.began + fill_wait.saturating_sub(selection.waited);
        match self.narrower.narrow(selection, &mut meta, deadline).await? {
            true => Ok(Found {
                meta,
                waited: Waited::default(),
                rest: Rest::Pinned,
            }),
            false => Err(EngineError::Gone),
        }
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
            // A page straight from the origin is not filtered.
            EngineError::RedisDown { .. } | EngineError::RedisRefuses { .. }
                if request.selection.filters().is_none() =>
            {
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
        self.means.metrics.pages_from(layer).inc();
        if let Some(stale_ms) = page.meta.freshness.stale_ms() {
            self.means.metrics.pages_stale.inc();
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
    let why = match Cursor::decode(text, &selection.key, selection.filters_hash()) {
        Ok(cursor) if cursor.order == selection.order => return Ok(cursor),
        Ok(_) => "a cursor of the other order".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(EngineError::Invalid(vec![invalid("cursor", why)]))
}
