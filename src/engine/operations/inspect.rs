//! Answers for operators: the list of listings, the state of one, its events.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use super::check_sort::check_sort;
use crate::{
    engine::{
        coherence::followers::{Event, Follower, Followers},
        error::EngineError,
        l1::head_table::Lookup,
        reading::selection::Selection,
        refreshing::means::Means,
    },
    listing::{
        Family, Freshness, Generation, Head, HeadState, Item, ListingKey, ListingName, Policy, SortName, StoredSort,
        Timestamp, definition::Resolved, name::encode_segment,
    },
    store::Refused,
};

/// One entry of the list of listings.
#[derive(Clone, Debug)]
pub struct ListingEntry {
    /// Which listing.
    pub listing: ListingKey,
    /// Its current generation.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// How long ago its items were read.
    pub age: Duration,
    /// How it stands.
    pub state: ListingState,
}

/// How a listing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListingState {
    /// Younger than `fresh_for`.
    Fresh,
    /// Served while it is being refreshed.
    Stale,
    /// Past `keep_for`.
    Expired,
    /// Redis has no head.
    Absent,
    /// A tombstone.
    Deleted,
}

impl ListingState {
    /// Each state once.
    pub const ALL: [Self; 5] = [Self::Fresh, Self::Stale, Self::Expired, Self::Absent, Self::Deleted];

    /// The state in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
            Self::Absent => "absent",
            Self::Deleted => "deleted",
        }
    }
}

/// All that can be said of one listing.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which listing.
    pub listing: ListingKey,
    /// Its head's key in Redis.
    pub head_key: String,
    /// Its stream's key in Redis.
    pub stream_key: Option<String>,
    /// Its current generation.
    pub generation: Option<Generation>,
    /// Its items.
    pub total: u64,
    /// Items a chunk.
    pub chunk_len: Option<NonZeroU32>,
    /// Its chunks.
    pub chunks: u64,
    /// The memory of its stream in Redis, which is its base's where it names one.
    pub bytes: Option<u64>,
    /// The memory of its sidecar in Redis.
    pub sidecar_bytes: Option<u64>,
    /// The memory of all that was changed since its base, in Redis.
    pub deltas_bytes: Option<u64>,
    /// How its chunks lie in Redis: `plain`, `packed`, or `packed <dictionary>`.
    pub codec: Option<String>,
    /// The generation that holds the chunks which have not changed since; `@<listing>` behind it where that is another listing's.
    pub base: Option<String>,
    /// The chunks that have changed since its base, where it names one: `17-18,40`, from 0 on.
    pub changed: Option<String>,
    /// How it stands.
    pub state: ListingState,
    /// Until when it is fresh.
    pub fresh_until: Option<Timestamp>,
    /// The lease on its family: for which generation, and for how long still.
    pub lease: Option<(Generation, Duration)>,
    /// When its family is due.
    pub next_refresh: Option<Timestamp>,
    /// When something of it begins or ends next, where that is known.
    pub next_change: Option<Timestamp>,
    /// Until when it is not refreshed.
    pub frozen_until: Option<Timestamp>,
    /// Why the last refresh failed, if it did.
    pub last_error: Option<String>,
    /// Why the names that exist could not be read last.
    pub names_error: Option<String>,
    /// Its state in this process.
    pub l1: Option<Known>,
    /// The trouble with Redis.
    pub redis: Option<RedisTrouble>,
}

/// One chunk as it lies in Redis.
#[derive(Clone, Debug, Default)]
pub struct InspectedChunk {
    /// The current generation; `None` where there is none.
    pub generation: Option<Generation>,
    /// How many chunks that has.
    pub chunks: u64,
    /// The chunk's items; `None` where there is no such chunk, or it is lost.
    pub items: Option<Vec<Item>>,
}

/// The trouble with Redis, as far as it is known without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTrouble {
    /// It does not answer.
    Down,
    /// It answers, and refuses this.
    Refusing(Vec<Refused>),
    /// It takes no more data.
    Full,
    /// It answers, but this process does not hear announcements; where Redis refuses that, this is what it says.
    Deaf(Vec<Refused>),
}

impl RedisTrouble {
    /// All that [`Self::as_str`] says.
    pub const WORDS: [&'static str; 4] = ["down", "refusing", "full", "deaf"];

    /// The trouble in one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Refusing(_) => "refusing",
            Self::Full => "full",
            Self::Deaf(_) => "deaf",
        }
    }

    /// The refused commands.
    pub fn refused(&self) -> &[Refused] {
        match self {
            Self::Refusing(refused) | Self::Deaf(refused) => refused,
            Self::Down | Self::Full => &[],
        }
    }
}

/// A head in L1.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Which generation; `None` where there is known to be none.
    pub generation: Option<Generation>,
    /// How old the knowledge is.
    pub age: Duration,
    /// Whether pages are served by it.
    pub servable: bool,
}

/// Answers what operators ask.
pub struct Inspector {
    pub(crate) means: Arc<Means>,
    pub(crate) followers: Arc<Followers>,
}

impl Inspector {
    /// Listings in the order of their keys, from after one on, whose name begins with a prefix.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn listings(
        &self,
        prefix: &str,
        after: Option<&ListingKey>,
        limit: usize,
    ) -> Result<Vec<ListingEntry>, EngineError> {
        let store = &self.means.store;
        let now = store.now();
        let listings = store.names.list(&encode_segment(prefix), after, limit).await?;
        let entry = |(listing, state): (ListingKey, HeadState)| {
            let head = state.live()?;
            Some(ListingEntry {
                generation: head.generation,
                total: head.total,
                age: now.since(head.as_of),
                state: self.state_of(&listing, &state, now),
                listing,
            })
        };
        Ok(listings.into_iter().filter_map(entry).collect())
    }

    /// How one listing stands, in Redis and here.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn explain(&self, selection: &Selection) -> Result<Explanation, EngineError> {
        let key = &selection.key;
        let state = self.means.store.heads.read(key).await?;
        let head = state.live();
        let generation = head.map(|head| head.generation);
        let delta = head.and_then(|head| head.delta.as_deref());
        let [bytes, sidecar_bytes, deltas_bytes] = match head {
            Some(head) => self.means.store.pages.bytes(key, head).await?,
            None => [None; 3],
        };
        let now = self.means.store.now();
        let lease = self.means.store.draws.lease_state(&key.family).await?;
        let failure = self.means.store.failures.last(&key.family).await?;
        let l1 = match self.means.l1.heads.peek(key) {
            (Lookup::Unknown, _) => None,
            (lookup, age) => Some(Known {
                generation: lookup.head().map(|head| head.generation),
                age,
                servable: matches!(lookup, Lookup::Usable(_)),
            }),
        };
        Ok(Explanation {
            head_key: self.means.store.heads.key(key),
            stream_key: head.map(|head| {
                let (of, base) = delta.map_or((key, head.generation), |delta| (delta.base_listing(key), delta.base));
                self.means.store.pages.stream_key(of, base)
            }),
            generation,
            total: head.map_or(0, |head| head.total),
            chunk_len: head.map(|head| head.chunk_len),
            chunks: head.map_or(0, Head::chunks),
            bytes,
            sidecar_bytes,
            deltas_bytes: deltas_bytes.filter(|_| delta.is_some()),
            codec: head.map(|head| head.codec.to_string()),
            base: delta.map(|delta| match &delta.base_of {
                None => delta.base.to_string(),
                Some(listing) => format!("{}@{listing}", delta.base),
            }),
            changed: delta.map(|delta| delta.changed().to_string()),
            state: self.state_of(key, &state, now),
            fresh_until: head
                .filter(|head| selection.defined.is_some() && !self.is_reshaped(key, head))
                .map(|head| {
                    let until = head.as_of.after(selection.policy.fresh_for);
                    head.awaits().map_or(until, |next| until.min(next))
                }),
            lease: lease.map(|lease| (lease.generation, lease.left)),
            next_change: head.and_then(Head::awaits),
            next_refresh: self.means.store.due.time_of(&key.family).await?,
            frozen_until: self.means.frozen.until(key.name(), now),
            last_error: failure.map(|failure| failure.error).or_else(|| {
                let error = self.means.failures.last_error(&key.family);
                error.map(|error| error.to_string())
            }),
            names_error: selection.defined.as_ref().and_then(|defined| {
                let failure = self.means.declaration.get().names.failure(&defined.definition);
                failure.map(|why| why.to_string())
            }),
            l1,
            redis: self.redis_trouble(),
            listing: key.clone(),
        })
    }

    /// One chunk of a listing's current generation, with the ids of its items.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`], and [`EngineError::Corrupt`] where something else lies in its place.
    pub async fn chunk(&self, selection: &Selection, index: u64) -> Result<InspectedChunk, EngineError> {
        let (key, exports) = (&selection.key, self.means.store.exports());
        let Some(current) = exports.current(key).await? else {
            return Ok(InspectedChunk::default());
        };
        let chunks = current.total.div_ceil(current.chunk_len.get().into());
        let items = match index < chunks {
            true => exports.items(key, &current, index..index + 1).await?.pop(),
            false => None,
        };
        Ok(InspectedChunk {
            generation: Some(current.generation),
            chunks,
            items,
        })
    }

    /// The trouble with Redis, as far as it is known without asking; the worst of several.
    pub fn redis_trouble(&self) -> Option<RedisTrouble> {
        if !self.means.store.is_up() && !self.means.store.refuses_connections() {
            return Some(RedisTrouble::Down);
        }
        let refused = self.means.store.refused();
        if refused.iter().any(|refused| !refused.is_of_subscription()) {
            Some(RedisTrouble::Refusing(refused))
        } else if self.means.store.is_full() {
            Some(RedisTrouble::Full)
        } else {
            self.means.store.is_deaf().then_some(RedisTrouble::Deaf(refused))
        }
    }

    /// Listings, and patterns' names, whose origin was not believed on this node, at most a given number.
    pub fn refused(&self, limit: usize) -> Vec<String> {
        let names = self.means.declaration.get().names.doubted(limit);
        let names = names.into_iter().map(|pattern| format!("names of {pattern}"));
        let listings = self.means.failures.refused(limit);
        names
            .chain(listings.iter().map(Family::to_string))
            .take(limit)
            .collect()
    }

    /// The patterns whose last read of names failed, at most `limit`.
    pub fn names_unread(&self, limit: usize) -> Vec<String> {
        let unread = self.means.declaration.get().names.unread(limit);
        unread.into_iter().map(String::from).collect()
    }

    /// A live subscription to a name. Its first events are the current heads.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] beyond the limit on followers, [`EngineError::NotFound`] for a name that cannot exist,
    /// [`EngineError::Invalid`] for a sort that it does not have.
    pub async fn follow(&self, name: &ListingName, sort: Option<&SortName>) -> Result<Follower, EngineError> {
        let family = match self.means.declaration.resolve(name) {
            Resolved::Unknown => return Err(EngineError::NotFound),
            // A listing that is not there yet may be pushed at any time.
            Resolved::Pushed(_) => Family::plain(name.clone()),
            Resolved::Defined(defined) => {
                let (frozen, now) = (&self.means.frozen, self.means.store.now());
                check_sort(&self.means.declaration, frozen, now, (&defined, name), sort).await?;
                defined.default_family(name)
            }
        };
        // First the subscription, then the heads: a publish in between is heard.
        let mut follower = self.followers.follow(&family, sort)?;
        for listing in self.followed(&family, sort).await? {
            let state = self.means.heads.current(&listing).await?;
            if let Some(event) = Event::of(&listing, &state) {
                follower.begin_with(event);
            }
        }
        Ok(follower)
    }

    /// The listings of a family, its descending streams left out.
    async fn followed(&self, family: &Family, sort: Option<&SortName>) -> Result<Vec<ListingKey>, EngineError> {
        let sorts: Vec<SortName> = match self.means.declaration.resolve(&family.name) {
            Resolved::Defined(defined) => defined.definition.sorts.iter().map(|sort| sort.name.clone()).collect(),
            Resolved::Pushed(_) | Resolved::Unknown => self.means.pushed_sorts.of(&family.name).await?.to_vec(),
        };
        let wanted = sorts.into_iter().filter(|one| sort.is_none_or(|sort| one == sort));
        Ok(wanted.map(|sort| family.listing(StoredSort::ascending(sort))).collect())
    }

    fn state_of(&self, listing: &ListingKey, state: &HeadState, now: Timestamp) -> ListingState {
        let head = match state {
            HeadState::Absent => return ListingState::Absent,
            HeadState::Deleted(_) => return ListingState::Deleted,
            HeadState::Live(head) => head,
        };
        let policy: Arc<Policy> = match self.means.declaration.resolve(listing.name()) {
            Resolved::Defined(defined) => defined.definition.policy.clone(),
            // A pushed listing is the truth until it is pushed again.
            Resolved::Pushed(_) | Resolved::Unknown => return ListingState::Fresh,
        };
        match policy.freshness(head.as_of, now) {
            Freshness::Fresh(_) if !self.is_reshaped(listing, head) && !head.is_overtaken(now) => ListingState::Fresh,
            Freshness::Fresh(_) | Freshness::Stale(_) => ListingState::Stale,
            Freshness::Expired => ListingState::Expired,
        }
    }

    /// Whether the definition has changed since.
    fn is_reshaped(&self, listing: &ListingKey, head: &Head) -> bool {
        match self.means.declaration.resolve(listing.name()) {
            Resolved::Defined(defined) => defined.definition.reshapes(&listing.stored, head),
            Resolved::Pushed(_) | Resolved::Unknown => false,
        }
    }
}
