//! A generation that is written and not published yet: where it lies, and what its head will say of it.

use std::{fmt, num::NonZeroU32, sync::Arc};

use super::{
    fields::Fields,
    in_flight::{BUILDING_LIFE, deliver, unlink},
};
use crate::{
    listing::{Codec, Content, DataVersion, Delta, Generation, Head, HeadState, ListingKey, Timestamp},
    store::{
        access::Access,
        dictionaries::DictionaryScope,
        error::StoreError,
        layout::{
            kept_codec::Bytes,
            keys::ListingPlace,
            sidecar_codec::{Description, write_sidecar},
        },
        wire::commands::Commands,
    },
};

/// Where a generation lies, and what its head will say of it.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub key: ListingKey,
    pub generation: Generation,
    pub as_of: Timestamp,
    pub definition: u64,
    pub definition_version: u32,
    /// See [`GenerationWriter::of_version`].
    pub version: Option<DataVersion>,
    pub chunk_len: NonZeroU32,
    pub stream_key: ListingPlace,
    pub sidecar_key: ListingPlace,
    /// Whether its chunks are packed, and which others they are like.
    pub packing: Option<DictionaryScope>,
    /// The generation that it is a copy of, where it is one.
    pub copy_of: Option<Generation>,
}

impl Draft {
    fn keys(&self) -> [String; 2] {
        [self.stream_key.clone().into(), self.sidecar_key.clone().into()]
    }

    /// Whether a generation is undone by this one: this is a copy of it, or of one before it.
    pub(crate) fn undoes(&self, generation: &Generation) -> bool {
        self.copy_of.is_some_and(|from| generation.id >= from.id)
    }
}

/// All of a generation that was written aside.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub draft: Draft,
    pub total: u64,
    pub content: u128,
    /// Whether its sidecar has the sort keys of all items.
    pub has_keys: bool,
    /// Its delta; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
    /// How its chunks lie in Redis.
    pub codec: Codec,
    pub bytes: Bytes,
}

/// The head that what was written would be, after the one before it. Pins begin with the first head.
pub(crate) fn head_of(
    Written {
        draft,
        total,
        delta,
        codec,
        ..
    }: &Written,
    before: &HeadState,
) -> Head {
    Head {
        generation: draft.generation,
        total: *total,
        chunk_len: draft.chunk_len,
        as_of: draft.as_of,
        definition: draft.definition,
        definition_version: draft.definition_version,
        pins_from: before.pins_from().min(draft.generation.id),
        delta: delta.clone(),
        codec: *codec,
        next_change: None,
    }
}

/// Unlinks what was written of a generation that was not published, unless told that it may have been.
pub(super) struct Unpublished {
    pub access: Arc<Access>,
    keys: [String; 2],
    /// Columns, and the chunks of a delta.
    pub fields: Fields,
    may_be_published: bool,
}

impl Unpublished {
    pub(super) fn new(access: Arc<Access>, draft: &Draft) -> Self {
        Self {
            access,
            keys: draft.keys(),
            fields: Fields::of(draft.sidecar_key.clone()),
            may_be_published: false,
        }
    }

    /// All of it, now.
    pub(super) async fn unlink(&mut self) {
        self.may_be_published = true;
        unlink(&self.access, &self.keys).await;
        self.fields.delete(&self.access).await;
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if !self.may_be_published {
            let nothing = Fields::of(self.fields.place().clone());
            let mut left = Self {
                access: self.access.clone(),
                keys: std::mem::take(&mut self.keys),
                fields: std::mem::replace(&mut self.fields, nothing),
                may_be_published: true,
            };
            self.access.runtime.spawn(async move { left.unlink().await });
        }
    }
}

/// A generation all of whose chunks are written. Dropped without being published, it is unlinked.
#[must_use]
pub struct FinishedGeneration {
    pub(crate) written: Written,
    pub(super) unpublished: Unpublished,
}

impl FinishedGeneration {
    /// The listing it is of.
    pub fn key(&self) -> &ListingKey {
        &self.written.draft.key
    }

    /// Which generation it is.
    pub fn generation(&self) -> Generation {
        self.written.draft.generation
    }

    /// How many items it has.
    pub fn total(&self) -> u64 {
        self.written.total
    }

    /// Its content, see [`ContentHasher`].
    pub fn content(&self) -> u128 {
        self.written.content
    }

    /// From here on it may have been published, whatever becomes of the reply: it is left to its expiry.
    pub(crate) fn keep(&mut self) {
        self.unpublished.may_be_published = true;
    }

    /// The head that it would have.
    pub fn head(&self) -> Head {
        head_of(&self.written, &HeadState::Absent)
    }

    /// It goes back as far as another does.
    pub fn undoing_as(mut self, other: &Self) -> Self {
        self.written.draft.copy_of = other.written.draft.copy_of;
        self
    }

    /// It was not published after all.
    pub(crate) fn is_unpublished(&mut self) {
        self.unpublished.may_be_published = false;
    }

    /// Another generation stands on it: it is left to its expiry, unless that one is published.
    pub fn underlie(mut self) {
        self.keep();
    }

    /// A definite refusal: it is of no use any more.
    pub(crate) async fn unlink(mut self) {
        self.unpublished.unlink().await;
    }

    /// Writes what it says of itself, and what its chunks come to: of a delta those in its layers.
    pub(in crate::store::writing) async fn write_sidecar(&self, content: &Content) -> Result<(), StoreError> {
        let Written {
            draft,
            total,
            has_keys,
            delta,
            codec,
            ..
        } = &self.written;
        let description = Description {
            total: *total,
            chunk_len: draft.chunk_len,
            has_keys: *has_keys,
            delta: delta.clone(),
            codec: *codec,
        };
        let place = &draft.sidecar_key;
        let mut turn = Commands::default();
        turn.add(&redis::cmd("MULTI"));
        write_sidecar(&mut turn, place, draft.generation, &description, Some(content));
        let life = BUILDING_LIFE.as_millis() as u64;
        turn.add(redis::cmd("PEXPIRE").arg(place).arg(life));
        turn.add(&redis::cmd("EXEC"));
        deliver(self.unpublished.access.clone(), place.key().to_owned(), turn).await
    }
}

impl fmt::Debug for FinishedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, generation) = (self.key(), self.generation());
        write!(f, "FinishedGeneration({key} {generation}, {} items)", self.total())
    }
}
