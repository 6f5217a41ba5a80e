//! Heads: which generation of a listing is current.

use std::{num::NonZeroU32, sync::Arc};

use super::{codec::Codec, delta::Delta, generation::Generation, policy::Timestamp};

/// The small mutable part of a listing: it names the current generation and says what a reader must know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The current generation.
    pub generation: Generation,
    /// How many items it has, exactly.
    pub total: u64,
    /// Items a chunk; only the last chunk may have fewer.
    pub chunk_len: NonZeroU32,
    /// When the reading of its items began.
    pub as_of: Timestamp,
    /// Hash of the definition that shaped it, see [`Definition::hash_of`](super::Definition::hash_of); 0 for pushed listings.
    pub definition: u64,
    /// The edition of that definition, see [`Policy::definition_version`](super::Policy::definition_version).
    pub definition_version: u32,
    /// Generations with a smaller id were forgotten by a delete: pins of them are gone, wherever a copy may linger.
    pub pins_from: u64,
    /// The delta of the generation; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
    /// How its chunks lie in Redis.
    pub codec: Codec,
    /// When something of it begins or ends next, as the definition's `next_change_query` has told.
    pub next_change: Option<Timestamp>,
}

impl Head {
    /// How many chunks it has, its base's among them.
    pub fn chunks(&self) -> u64 {
        self.total.div_ceil(self.chunk_len.get().into())
    }

    /// Entries that the stream of its group has.
    pub fn group_chunks(&self) -> u64 {
        self.delta
            .as_ref()
            .map_or_else(|| self.chunks(), |delta| delta.base_chunks)
    }

    /// How many of its chunks lie beside that stream.
    pub fn layered_chunks(&self) -> u64 {
        self.delta.as_ref().map_or(0, |delta| delta.layered())
    }

    /// The instant from which its items are old; `None` where none is known, or they were read since.
    pub fn awaits(&self) -> Option<Timestamp> {
        self.next_change.filter(|next| *next > self.as_of)
    }

    /// Whether such an instant has come.
    pub fn is_overtaken(&self, now: Timestamp) -> bool {
        self.awaits().is_some_and(|next| next <= now)
    }

    /// Whether its items were read at a time or later, as far as that can be told at `now`.
    pub fn is_read_since(&self, since: Timestamp, now: Timestamp) -> bool {
        self.as_of >= since && !self.as_of.is_ahead_of(now)
    }
}

/// The known state of a listing's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadState {
    /// Redis has no head: never filled, expired or evicted. Counts as generation 0.
    Absent,
    /// A tombstone: the listing was deleted by the write that drew this generation.
    Deleted(Generation),
    /// There is a current generation.
    Live(Head),
}

impl HeadState {
    /// The id that orders heads: [`HeadState::Absent`] comes before every other.
    pub fn id(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Deleted(generation) => generation.id,
            Self::Live(head) => head.generation.id,
        }
    }

    /// The head, where there is a current generation.
    pub fn live(&self) -> Option<&Head> {
        match self {
            Self::Live(head) => Some(head),
            _ => None,
        }
    }

    /// The least id a pin may have. Without a head there is none: nobody knows any more which of them a recall has ended.
    pub fn pins_from(&self) -> u64 {
        match self {
            Self::Absent => u64::MAX,
            Self::Deleted(generation) => generation.id,
            Self::Live(head) => head.pins_from,
        }
    }

    /// Whether this is as new as `other` or newer. Of two spellings of one generation the later confirmed one is newer.
    pub fn supersedes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Live(this), Self::Live(that)) if this.generation.id == that.generation.id => {
                this.as_of >= that.as_of
            }
            _ => self.id() >= other.id(),
        }
    }
}
