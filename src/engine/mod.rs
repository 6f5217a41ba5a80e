//! Decides what is served: pages from L1, Redis or the origin; refreshes; writes; live subscriptions.
//!
//! [`Engine`] puts the parts together, starts the [`loops`] and stops them. A caller takes the part that it needs. The rooms, from the top
//! down; each uses only those below it:
//!
//! | room | what |
//! |---|---|
//! | `operations` | pushes, deletes and asked-for refreshes; inspection; freezing and rolling back; read counts |
//! | `reading` | a page: which listing, which generation, which items |
//! | `changing` | changes that shops tell of: recorded, and worked off |
//! | `purging` | caches behind this service are purged when listings change |
//! | `warm_up` | listings are refreshed before they are asked for |
//! | `refreshing` | when a family is due, which run refreshes it, what that reads and writes |
//! | `coherence` | every node shows the same: announcements, followers, the live checker |
//! | `fetching` | from Redis into L1 |
//! | `declared` | what the configuration declares |
//! | `l1` | what this process keeps |
//! | `loads` | coalescing, permits |

mod changing;
mod coherence;
mod declared;
mod error;
mod fetching;
mod l1;
mod limits;
mod loads;
mod loops;
mod operations;
mod purging;
mod reading;
mod refreshing;
pub mod warm_up;

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    changing::Surveys,
    coherence::{announcer::Announcer, purged::Purged},
    fetching::{heads::Heads, lost_pushed::LostPushed, pushed_sorts::PushedSorts},
    l1::L1,
    loads::permits::ReadPermits,
    loops::Loops,
    purging::Purger,
    refreshing::{due::coalesced::Coalesced, failures::Failures, latencies::Latencies, means::Means, runs::Refresher},
    warm_up::WarmUps,
};
pub use crate::store::Refused;
use crate::{
    cdn::Cdn,
    config::L1Config,
    listing::Definitions,
    origin::Origins,
    store::{ReadsNearby, Store},
    telemetry::Metrics,
};

pub use self::{
    changing::{Changes, ItemPlace, ItemPlaces},
    coherence::{
        followers::{Event, Follower, Followers},
        purged::Unpurged,
    },
    declared::Declaration,
    error::{Chain, EngineError, ParameterError},
    l1::{
        items::{Form, PackedItems, PackedPiece, PageItems},
        shape::Shape,
    },
    limits::EngineLimits,
    operations::{
        holds::{Holds, Rollback, RolledBack},
        inspect::{Explanation, InspectedChunk, Inspector, ListingEntry, ListingState, RedisTrouble},
        writes::{Push, PushOutcome, Writes},
    },
    reading::{
        page::{Page, PageFreshness, PageMeta, PageRequest, Place, Served, Waited},
        pages::{Found, Pages},
        selection::{Asked, DeclaredParameters, Lasts, Selection},
        selector::Selector,
    },
    refreshing::{
        due::origin_changes::OriginChanges,
        page_state::PageState,
        request::{RefreshFailure, Refreshed, Shrink},
    },
};
#[cfg(test)]
pub(crate) use self::{
    changing::{finding, holdings, ledger, outboxes},
    coherence::moves,
    l1::{head_table, shape::Layers},
    refreshing::{attempt::due_after, patching},
};

/// So much later than `l1.ttl` a CDN is purged again: by then every node shows what is new.
const SECOND_PURGE_AFTER: Duration = Duration::from_secs(2);

/// Everything the engine stands on.
pub struct EngineParts {
    /// Redis.
    pub store: Store,
    /// The configured origins.
    pub origins: Origins,
    /// The configured listings.
    pub definitions: Definitions,
    /// How large L1 may be, and how long its heads live.
    pub l1: L1Config,
    /// The caches behind this service that are purged.
    pub cdns: Vec<Cdn>,
    /// Bounds on work.
    pub limits: EngineLimits,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Whether this process refreshes what is due. Commands that only look, or write one listing, do not.
    pub refreshes_due: bool,
}

/// The engine. Shared by all workers in an `Arc`.
pub struct Engine {
    store: Store,
    /// Pages of listings.
    pub pages: Pages,
    /// The declaration.
    pub declaration: Arc<Declaration>,
    /// Pushes, deletes and refreshes.
    pub writes: Writes,
    /// Answers what operators ask.
    pub inspector: Inspector,
    /// Freezes names, and rolls listings back.
    pub holds: Holds,
    /// Warms listings up.
    pub warm_ups: WarmUps,
    /// Changes that shops tell of.
    pub changes: Changes,
    /// Live subscriptions.
    pub followers: Arc<Followers>,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Engine {
    /// Starts the engine on the current runtime: it hears announcements from here on.
    pub fn start(parts: EngineParts) -> Arc<Self> {
        let EngineParts {
            store,
            origins,
            definitions,
            l1: l1_config,
            cdns,
            limits,
            metrics,
            refreshes_due,
        } = parts;
        let runtime = Handle::current();
        let l1 = Arc::new(L1::new(&l1_config));
        let permits = ReadPermits::new(limits.redis_reads_max, limits.redis_waiters_max);
        let declaration = Declaration::new(definitions, origins, limits.clone(), runtime.clone());
        let declaration = Arc::new(declaration);
        let lost_pushed = Arc::new(LostPushed::new(store.clone(), declaration.clone(), metrics.clone()));
        let heads = Arc::new(Heads::new(
            store.clone(),
            l1.clone(),
            lost_pushed.clone(),
            permits.clone(),
            runtime.clone(),
        ));
        let pushed_sorts = Arc::new(PushedSorts::new(
            store.clone(),
            permits.clone(),
            lost_pushed.clone(),
            l1_config.ttl,
        ));
        let followers = Arc::new(Followers::new(limits.followers_max, metrics.clone()));
        let announcer = Arc::new(Announcer::new(
            heads.clone(),
            pushed_sorts.clone(),
            lost_pushed.clone(),
            followers.clone(),
            metrics.clone(),
        ));
        let cdns: Vec<_> = cdns.into_iter().map(Arc::new).collect();
        let purged = Purged::new(cdns.iter().map(|cdn| cdn.config.name.clone()).collect());
        let means = Arc::new(Means {
            store: store.clone(),
            declaration: declaration.clone(),
            l1,
            permits,
            heads,
            pushed_sorts,
            lost_pushed,
            announcer,
            frozen: Arc::default(),
            purged: Arc::new(purged),
            failures: Failures::new(store.clone()),
            latencies: Latencies::default(),
            metrics: metrics.clone(),
            runtime,
        });
        let waiting_max = limits.refreshes_waiting_max;
        let refresher = Arc::new(Refresher::new(means.clone(), waiting_max));
        let coalesced = Arc::new(Coalesced::new(refresher.clone(), waiting_max));
        let pages = Pages::new(&refresher, &l1_config);
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let loops = Loops {
            means: means.clone(),
            refresher: refresher.clone(),
            coalesced: coalesced.clone(),
            oldest_stale: pages.oldest_stale.clone(),
            surveys: Arc::new(Surveys::new(means.clone())),
            feed_troubles: Arc::default(),
        };
        loops.start(&tasks, &stopping, refreshes_due);
        if refreshes_due {
            let purger = Purger {
                means: means.clone(),
                cdns,
                second_after: l1_config.ttl + SECOND_PURGE_AFTER,
                tasks: tasks.clone(),
            };
            purger.start(&stopping);
        }
        Arc::new(Self {
            pages,
            writes: Writes {
                means: means.clone(),
                refresher: refresher.clone(),
                coalesced,
            },
            inspector: Inspector {
                means: means.clone(),
                followers: followers.clone(),
            },
            holds: Holds { means: means.clone() },
            changes: Changes {
                means: means.clone(),
                surveys: loops.surveys,
                troubles: loops.feed_troubles,
            },
            warm_ups: WarmUps { means, refresher },
            store,
            declaration,
            followers,
            metrics,
            tasks,
            stopping,
        })
    }

    /// Stops background work and waits for it, at most so long. A refresh cut off leaves nothing behind: its lease lapses.
    pub async fn shut_down(&self, within: Duration) {
        self.followers.close();
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
    }

    /// Reads pages from Redis on the runtime of the caller while the returned value lives: for workers of one thread.
    pub fn read_nearby(&self) -> WorkerReads {
        WorkerReads {
            _reads: self.store.read_nearby(),
        }
    }
}

/// Keeps a worker's reads of Redis on its own thread.
pub struct WorkerReads {
    _reads: ReadsNearby,
}
