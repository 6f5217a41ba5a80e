//! A generation that is written and not published yet: where it lies, and what its head will say of it.

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

use super::in_flight::{deliver, unlink};
use crate::{
    listing::{Content, DataVersion, Delta, Generation, ListingKey, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            keys::ListingPlace,
            sidecar_codec::{Description, write_sidecar},
        },
        wire::commands::Commands,
    },
};

/// How long an unpublished stream outlives its writer's last batch.
pub(crate) const BUILDING_LIFE: Duration = Duration::from_secs(60);
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
}

/// Unlinks stream and sidecar of a generation that was not published, unless told that it may have been.
pub(super) struct Unpublished {
    pub access: Arc<Access>,
    keys: Option<[String; 2]>,
}

impl Unpublished {
    pub(super) fn new(access: Arc<Access>, draft: &Draft) -> Self {
        Self {
            access,
            keys: Some(draft.keys()),
        }
    }

    fn keep(&mut self) {
        self.keys = None;
    }

    pub(super) async fn unlink(&mut self) {
        if let Some(keys) = self.keys.take() {
            unlink(&self.access, &keys).await;
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(keys) = self.keys.take() {
            let access = self.access.clone();
            self.access.runtime.spawn(async move { unlink(&access, &keys).await });
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
        self.unpublished.keep();
    }

    /// A definite refusal: it is of no use any more.
    pub(crate) async fn unlink(self) {
        unlink(&self.unpublished.access, &self.written.draft.keys()).await;
    }

    /// Writes what it says of itself, and what its chunks come to, where it is whole.
    pub(super) async fn write_sidecar(&self, content: Option<&Content>) -> Result<(), StoreError> {
        let Written {
            draft,
            total,
            has_keys,
            delta,
            ..
        } = &self.written;
        let description = Description {
            total: *total,
            chunk_len: draft.chunk_len,
            has_keys: *has_keys,
            delta: delta.clone(),
        };
        let content = content.filter(|_| delta.is_none());
        let place = &draft.sidecar_key;
        let mut turn = Commands::default();
        turn.add(&redis::cmd("MULTI"));
        write_sidecar(&mut turn, place, draft.generation, &description, content);
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
