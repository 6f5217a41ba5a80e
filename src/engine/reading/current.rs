//! Pages of the current generation that are not in L1: the head, the chunks, and what to do where one is missing.
//!
//! Head and chunks of a page are of one generation. Where Redis does not hold what a head promises, the page is begun anew with a
//! newer head.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    cutting::Cutter,
    fills::Fills,
    freshness::{Freshener, Servable},
    narrowing::Narrower,
    page::{Page, PageMeta, PageRequest, Served, Waited},
    selection::Selection,
};
use crate::{
    engine::{
        declared::names::Existence, error::EngineError, fetching::heads::HeadFrom, l1::head_table::Lookup,
        refreshing::means::Means,
    },
    listing::{Generation, HeadState, Window},
};

// The futures of what is rare, or takes long anyway, are boxed: a future is as large as the largest of its branches.

/// How often a page is begun anew because the listing moved under it. Each time a newer head was read.
const ATTEMPTS_MAX: u32 = 4;

/// Reads pages of current generations.
pub(crate) struct Current {
    pub means: Arc<Means>,
    pub freshener: Arc<Freshener>,
    pub fills: Fills,
    pub cutter: Arc<Cutter>,
    pub narrower: Arc<Narrower>,
}

/// How far a page has come that may have to be begun anew.
pub(crate) struct Attempts {
    left: u32,
    deadline: Instant,
    served: Served,
    filling: Duration,
    /// Whether the head table has counted the read.
    is_counted: bool,
}

impl Attempts {
    /// The times that the page waited.
    pub(crate) fn waited(&self) -> Waited {
        Waited {
            origin: self.filling,
            ..Waited::default()
        }
    }

    /// Waits for a fill.
    async fn fill(&mut self, filled: impl Future<Output = Result<bool, EngineError>>) -> Result<(), EngineError> {
        let began = Instant::now();
        self.served.collapsed |= filled.await?;
        self.filling += began.elapsed();
        self.served.filled = true;
        Ok(())
    }
}

impl Current {
    /// No attempt yet. A read of a listing that is known was counted before.
    pub(crate) fn attempts(&self, request: PageRequest<'_>) -> Attempts {
        let fill_wait = self.means.declaration.fill_wait(&request.selection.policy);
        Attempts {
            left: ATTEMPTS_MAX,
            deadline: Instant::from_std(request.began) + fill_wait.saturating_sub(request.selection.waited),
            served: Served {
                l1_hit: true,
                ..Served::default()
            },
            filling: Duration::ZERO,
            is_counted: true,
        }
    }

    /// The meta of a page, once there is a head that may be served.
    pub(crate) async fn find(
        &self,
        request: PageRequest<'_>,
        window: Window,
        attempts: &mut Attempts,
    ) -> Result<PageMeta, EngineError> {
        let selection = request.selection;
        while attempts.left > 0 {
            attempts.left -= 1;
            let known = match attempts.is_counted {
                true => self.means.l1.heads.peek(&selection.key).0,
                false => self.means.l1.heads.lookup(&selection.key),
            };
            attempts.is_counted = known != Lookup::Unknown;
            if let Some(servable) = self.head_to_serve(request, known, window, &mut attempts.served).await? {
                let mut meta = servable.meta(selection, window, attempts.served);
                if is_without_items(selection, &meta) {
                    return Err(EngineError::NotFound);
                }
                if selection.filters().is_none() {
                    return Ok(meta);
                }
                let deadline = attempts.deadline.into_std();
                if Box::pin(self.narrower.narrow(selection, &mut meta, deadline)).await? {
                    attempts.served.l1_hit &= meta.served.l1_hit;
                    return Ok(meta);
                }
                self.mend(request, meta.generation, attempts).await?;
                continue;
            }
            attempts.served.l1_hit = false;
            let filled = Box::pin(self.fills.fill(selection, attempts.deadline));
            attempts.fill(filled).await?;
        }
        Err(EngineError::NothingYet {
            reason: "the listing moves faster than it can be read",
            retry_after: Duration::from_secs(1),
        })
    }

    /// The page with this meta, or a later one where its chunks are lost.
    pub(crate) async fn items(
        &self,
        request: PageRequest<'_>,
        mut meta: PageMeta,
        mut attempts: Attempts,
    ) -> Result<Page, EngineError> {
        let window = request.selection.window(meta.offset, meta.limit);
        loop {
            let generation = meta.generation;
            if let Some(mut page) = self.cutter.cut(request, meta).await? {
                page.waited = attempts.waited();
                return Ok(page);
            }
            self.mend(request, generation, &mut attempts).await?;
            meta = Box::pin(self.find(request, window, &mut attempts)).await?;
        }
    }

    /// Redis does not hold what the head promised. If it still names that generation, the stream is lost, and the listing refilled.
    async fn mend(
        &self,
        request: PageRequest<'_>,
        generation: Generation,
        attempts: &mut Attempts,
    ) -> Result<(), EngineError> {
        let key = &request.selection.key;
        let again = Box::pin(self.means.heads.reread(key)).await?;
        if let Some(head) = again.live().filter(|again| again.generation == generation) {
            tracing::warn!(listing = %key, %generation, "chunks lost from redis");
            let refilled = Box::pin(self.fills.refill(request.selection, head, attempts.deadline));
            attempts.fill(refilled).await?;
        }
        attempts.served.l1_hit = false;
        Ok(())
    }

    /// The head to serve, of which so much is known; `None` where there is nothing to serve.
    async fn head_to_serve(
        &self,
        request: PageRequest<'_>,
        known: Lookup,
        window: Window,
        served: &mut Served,
    ) -> Result<Option<Servable>, EngineError> {
        let selection = request.selection;
        let head = self.means.heads.get(&selection.key, known, window, request.form);
        let (mut state, mut from) = readable(selection, head.await)?;
        let mut servable = self.freshener.servable(selection, &state, from);
        if servable.is_none() && matches!(from, HeadFrom::Memory { .. }) {
            // Known but past its life: only Redis can tell, and a fill would wait for the same Redis.
            (state, from) = readable(selection, Box::pin(self.means.heads.awaited(&selection.key)).await)?;
            servable = self.freshener.servable(selection, &state, from);
        }
        if let HeadFrom::Redis { collapsed } = from {
            served.l1_hit = false;
            served.collapsed |= collapsed;
        }
        Ok(servable)
    }
}

/// Whether the listing is there only as far as it has items, and has none.
pub(crate) fn is_without_items(selection: &Selection, meta: &PageMeta) -> bool {
    meta.total == 0 && selection.existence == Existence::ByItems
}

/// A head that cannot be read is as good as none, where a refill replaces it. A pushed listing is not known not to exist.
fn readable(
    selection: &Selection,
    read: Result<(HeadState, HeadFrom), EngineError>,
) -> Result<(HeadState, HeadFrom), EngineError> {
    match read {
        Err(EngineError::Corrupt) if selection.defined.is_some() => Ok((HeadState::Absent, HeadFrom::L1)),
        read => read,
    }
}
