//! L1 heads: the head table in shards, behind locks that are held for no longer than a look.

use std::{
    hash::BuildHasher,
    time::{Duration, Instant},
};

use super::head_table::{HeadTable, HeadTableLimits, Lookup, Ticket};
use crate::{
    config::L1Config,
    engine::loads::sync::RwLock,
    listing::{HeadState, ListingKey},
};

use foldhash::quality::RandomState;

const SHARDS: usize = 32;

/// The heads this process knows.
pub(crate) struct HeadCache {
    shards: Vec<RwLock<HeadTable>>,
    hasher: RandomState,
    started: Instant,
}

/// A load under way; ends when dropped, at the latest.
pub(crate) struct HeadLoad<'a> {
    cache: &'a HeadCache,
    key: ListingKey,
    ticket: Option<Ticket>,
}

impl HeadLoad<'_> {
    /// Redis answered. Returns the head to serve, which is newer where an announcement came meanwhile.
    pub(crate) fn finish(mut self, loaded: HeadState) -> HeadState {
        self.end(Some(loaded.clone())).unwrap_or(loaded)
    }

    /// Redis holds no readable head: the known head must not hide that.
    pub(crate) fn damaged(mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.cache.shard(&self.key).write().end_damaged_load(&self.key, ticket);
        }
    }

    fn end(&mut self, loaded: Option<HeadState>) -> Option<HeadState> {
        let ticket = self.ticket.take()?;
        let now = self.cache.now();
        self.cache
            .shard(&self.key)
            .write()
            .end_load(&self.key, ticket, loaded, now)
    }
}

impl Drop for HeadLoad<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl HeadCache {
    /// An empty cache.
    pub(crate) fn new(config: &L1Config) -> Self {
        let limits = HeadTableLimits {
            ttl_ms: u64::try_from(config.ttl.as_millis()).unwrap_or(u64::MAX),
            heads_max: config.heads_max.div_ceil(SHARDS),
            absent_max: config.absent_max.div_ceil(SHARDS),
        };
        let shard = |_| RwLock::new(HeadTable::new(limits, fastrand::u64(..)));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher: RandomState::default(),
            started: Instant::now(),
        }
    }

    /// What may be served of a listing. Counts as a read of it.
    pub(crate) fn lookup(&self, key: &ListingKey) -> Lookup {
        self.lookup_at(key, Instant::now())
    }

    /// The same for a caller that has just looked at the clock.
    pub(crate) fn lookup_at(&self, key: &ListingKey, now: Instant) -> Lookup {
        self.shard(key).read().lookup(key, self.millis(now))
    }

    /// The last head that is known of a listing. Counts as no read.
    pub(crate) fn last_known(&self, key: &ListingKey) -> Option<HeadState> {
        self.shard(key).read().last_known(key)
    }

    /// What may be served of a listing, with the age of the knowledge. Counts as no read.
    pub(crate) fn peek(&self, key: &ListingKey) -> (Lookup, Duration) {
        let (lookup, age_ms) = self.shard(key).read().peek(key, self.now());
        (lookup, Duration::from_millis(age_ms))
    }

    /// A head that would be served now, chosen by chance.
    pub(crate) fn sample(&self) -> Option<(ListingKey, HeadState)> {
        let mut random = fastrand::Rng::new();
        let first = random.usize(..SHARDS);
        // Shards may be empty, and a chosen head too old.
        let shards = (0..SHARDS).map(|at| &self.shards[(first + at) % SHARDS]);
        shards.into_iter().find_map(|shard| {
            let shard = shard.read();
            let (key, state) = shard.sample(self.now(), &mut random)?;
            Some((key.clone(), state))
        })
    }

    /// To be called before Redis is asked for a head.
    pub(crate) fn begin_load(&self, key: &ListingKey) -> HeadLoad<'_> {
        HeadLoad {
            cache: self,
            key: key.clone(),
            ticket: Some(self.shard(key).write().begin_load(key, self.now())),
        }
    }

    /// A head moved; with `insist` it is kept even if nobody here asked for the listing yet.
    pub(crate) fn announce(&self, key: &ListingKey, head: HeadState, insist: bool) {
        self.shard(key).write().announce(key, head, insist, self.now());
    }

    /// Redis may have lost its memory.
    pub(crate) fn begin_epoch(&self) {
        for shard in &self.shards {
            shard.write().begin_epoch();
        }
    }

    /// Takes the read counts since the last call.
    pub(crate) fn take_reads(&self, mut each: impl FnMut(&ListingKey, u32)) {
        for shard in &self.shards {
            shard.read().take_reads(&mut each);
        }
    }

    /// How many heads are kept, absent ones among them.
    #[allow(clippy::len_without_is_empty)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    fn shard(&self, key: &ListingKey) -> &RwLock<HeadTable> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    fn now(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}
