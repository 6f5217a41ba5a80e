//! Which head of a listing may be served: from L1, or read from Redis, by one load for all who wait.

use std::{ops::Range, sync::Arc, time::Duration};

use super::lost_pushed::LostPushed;
use crate::{
    engine::{
        error::EngineError,
        l1::{L1, head_table::Lookup, items::Form, shape::Layers},
        loads::{
            coalesce::{Coalescer, Joined},
            permits::ReadPermits,
        },
    },
    listing::{HeadState, ListingKey, Window},
    store::Store,
};

/// A head that is known and too old is served all the same when its reading takes longer: the reading goes on behind.
pub(crate) const OVERDUE: Duration = Duration::from_millis(2);

/// Reads heads.
pub(crate) struct Heads {
    store: Store,
    l1: Arc<L1>,
    lost_pushed: Arc<LostPushed>,
    permits: ReadPermits,
    loads: Coalescer<ListingKey, Result<HeadState, EngineError>>,
}

/// Where a head came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFrom {
    /// Known here.
    L1,
    /// Read just now.
    Redis {
        /// By somebody else's load.
        collapsed: bool,
    },
    /// Redis did not answer, has not yet, or refused; this is the last that was known.
    Memory {
        /// Whether Redis refused.
        refused: bool,
    },
}

impl Heads {
    /// Loads run where they are asked for first, and on `runtime` where nobody waits for them any more.
    pub(crate) fn new(
        store: Store,
        l1: Arc<L1>,
        lost_pushed: Arc<LostPushed>,
        permits: ReadPermits,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self {
            store,
            l1,
            lost_pushed,
            permits,
            loads: Coalescer::led_by_the_first(runtime),
        }
    }

    /// The head of a listing, of which so much is known here. Where Redis must be asked, the chunks that `window` would need of
    /// the last known generation are asked for in the same turn.
    pub(crate) async fn get(
        &self,
        key: &ListingKey,
        lookup: Lookup,
        window: Window,
        form: Form,
    ) -> Result<(HeadState, HeadFrom), EngineError> {
        match lookup {
            Lookup::Usable(state) => Ok((state, HeadFrom::L1)),
            Lookup::Unknown => Box::pin(self.load(key, None)).await,
            Lookup::Recheck(known) if known.live().is_some() => {
                let speculation = self.speculation(&known, window, form);
                let remembered = |refused| Ok((known, HeadFrom::Memory { refused }));
                // Behind an open breaker no request even waits.
                if !self.store.admits_reads() {
                    return remembered(self.store.refuses_connections());
                }
                match Box::pin(self.load_within(key, speculation)).await {
                    // Nothing yet: a load that broke off, or a reply that is too large.
                    None
                    | Some(Err(
                        EngineError::RedisDown { .. } | EngineError::Overloaded { .. } | EngineError::NothingYet { .. },
                    )) => remembered(false),
                    Some(Err(EngineError::RedisRefuses { .. })) => remembered(true),
                    Some(answer) => answer,
                }
            }
            Lookup::Recheck(_) => Box::pin(self.load(key, None)).await,
        }
    }

    /// The head as Redis has it, however long that takes: the known head is of no use.
    pub(crate) async fn awaited(&self, key: &ListingKey) -> Result<(HeadState, HeadFrom), EngineError> {
        self.load(key, None).await
    }

    /// The head of a listing of which no chunk is wanted.
    pub(crate) async fn current(&self, key: &ListingKey) -> Result<HeadState, EngineError> {
        match self.l1.heads.lookup(key) {
            Lookup::Usable(state) => Ok(state),
            _ => self.load(key, None).await.map(|(state, _)| state),
        }
    }

    /// The head as Redis has it now, whatever L1 says.
    pub(crate) async fn reread(&self, key: &ListingKey) -> Result<HeadState, EngineError> {
        // Not a load that began before the caller had its doubt.
        self.loads.detach(key);
        self.load(key, None).await.map(|(state, _)| state)
    }

    /// A head moved: from here on a request gets it, or a newer one.
    pub(crate) fn announce(&self, key: &ListingKey, head: HeadState, insist: bool) {
        self.l1.heads.announce(key, head, insist);
        self.loads.detach(key);
    }

    /// Redis may have lost its memory.
    pub(crate) fn begin_epoch(&self) {
        self.l1.heads.begin_epoch();
    }

    /// What to ask for besides the head: chunks of the last known generation that are not here and will be needed.
    fn speculation(&self, known: &HeadState, window: Window, form: Form) -> Option<(Layers, Range<u64>)> {
        let layers = Layers::from(known.live()?);
        let plan = layers.shape.plan(window)?;
        let missing = self.l1.chunks.find(&layers, &plan).err()?.missing;
        if form == Form::Packed && self.l1.chunks.has_fragments(&layers, &plan) {
            return None;
        }
        Some((layers, missing))
    }

    async fn load(
        &self,
        key: &ListingKey,
        speculation: Option<(Layers, Range<u64>)>,
    ) -> Result<(HeadState, HeadFrom), EngineError> {
        let _permit = self.permits.wait()?;
        let joined = self.loads.join(key, || self.loading(key, speculation)).await;
        loaded(joined)
    }

    /// The same, until the load is overdue; it goes on then.
    async fn load_within(
        &self,
        key: &ListingKey,
        speculation: Option<(Layers, Range<u64>)>,
    ) -> Option<Result<(HeadState, HeadFrom), EngineError>> {
        let _permit = match self.permits.wait() {
            Ok(permit) => permit,
            Err(overloaded) => return Some(Err(overloaded)),
        };
        let load = || self.loading(key, speculation);
        self.loads.join_within(key, OVERDUE, load).await.map(loaded)
    }

    fn loading(
        &self,
        key: &ListingKey,
        speculation: Option<(Layers, Range<u64>)>,
    ) -> impl Future<Output = Result<HeadState, EngineError>> + Send + use<> {
        let (heads, pages) = (self.store.heads.clone(), self.store.pages.clone());
        let (l1, permits, key) = (self.l1.clone(), self.permits.clone(), key.clone());
        let lost_pushed = self.lost_pushed.clone();
        async move {
            let _permit = permits.take()?;
            let was_there = l1.heads.peek(&key).0.head().is_some();
            let load = l1.heads.begin_load(&key);
            let read = match speculation {
                None => heads.read(&key).await,
                Some((layers, range)) => {
                    let first = range.start;
                    let (generation, delta) = (layers.shape.generation, layers.delta.as_deref());
                    let read = pages.read(&key, generation, delta, range).await;
                    read.map(|(state, chunks)| {
                        let whole = layers.shape.whole_chunks(first, &chunks);
                        let chunks: Vec<_> = chunks.into_iter().take(whole).map(Arc::new).collect();
                        l1.chunks.insert(&layers, first, &chunks);
                        state
                    })
                }
            };
            let state = match read.map_err(EngineError::from) {
                // Perhaps nobody waits for this load: the next request must meet the damage, or nobody mends it.
                Err(EngineError::Corrupt) => {
                    load.damaged();
                    return Err(EngineError::Corrupt);
                }
                read => read?,
            };
            let state = load.finish(state);
            if was_there && state == HeadState::Absent {
                lost_pushed.head_is_gone(&key);
            }
            Ok(state)
        }
    }
}

fn loaded(joined: Joined<Result<HeadState, EngineError>>) -> Result<(HeadState, HeadFrom), EngineError> {
    let collapsed = joined.collapsed;
    let state = joined.value.unwrap_or(Err(EngineError::broken_load()))?;
    Ok((state, HeadFrom::Redis { collapsed }))
}
