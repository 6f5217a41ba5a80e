//! Reads of heads. A head is a hash a listing, and the only part of a listing that changes.

use std::sync::Arc;

use redis::Value;

use crate::{
    listing::{Generation, HeadState, ListingKey},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            head_codec::{StoredHead, decode_for_writing, decode_head, read_for_writing, read_head},
            kept_codec::KeptRead,
            keys::{ListingPlace, Partition},
        },
        wire::commands::Commands,
    },
};

/// Reads heads.
#[derive(Clone)]
pub struct HeadReads(pub(crate) Arc<Access>);

impl HeadReads {
    /// The head of a listing: one turn.
    pub async fn read(&self, key: &ListingKey) -> Result<HeadState, StoreError> {
        let head_key = self.0.keys.head(key);
        let mut turn = Commands::default();
        read_head(&mut turn, head_key.key());
        let mut replies = self.0.redis.read("read head", turn).await?.into_iter();
        seen_head(&self.0, key, &head_key, replies.next())
    }

    /// The head as a writer needs it.
    pub(crate) async fn read_for_writing(&self, key: &ListingKey, which: KeptRead) -> Result<StoredHead, StoreError> {
        let mut turn = Commands::default();
        read_for_writing(&mut turn, &self.0.keys, key, which);
        // Through the writing connection, which is the one that the next step needs anyway.
        let replies = self.0.redis.write("read head", turn).await?;
        let stored = decode_for_writing(&mut replies.into_iter(), &self.0.keys, key)?;
        self.0.seen.raise(Partition::of(key.name()), stored.state.id());
        Ok(stored)
    }

    /// The current generation of a listing, and those before it that may still be kept, newest first. Those that a rollback has
    /// undone are not among them.
    pub async fn kept_generations(
        &self,
        key: &ListingKey,
    ) -> Result<(Option<Generation>, Vec<Generation>), StoreError> {
        let head = self.read_for_writing(key, KeptRead::All).await?;
        let kept = head
            .kept
            .read
            .into_iter()
            .rev()
            .filter(|kept| !kept.is_undone)
            .map(|kept| kept.placed.generation)
            .collect();
        Ok((head.state.live().map(|head| head.generation), kept))
    }

    /// The heads of several listings, in batches of one turn each. One that cannot be read counts as absent: it must not
    /// hide all others.
    pub async fn read_all(&self, keys: &[ListingKey]) -> Result<Vec<HeadState>, StoreError> {
        const HEADS_A_TURN: usize = 100;
        let mut heads = Vec::with_capacity(keys.len());
        for batch in keys.chunks(HEADS_A_TURN) {
            let names: Vec<_> = batch.iter().map(|key| self.0.keys.head(key)).collect();
            let mut turn = Commands::default();
            for name in &names {
                read_head(&mut turn, name.key());
            }
            let replies = self.0.redis.read("read heads", turn).await?;
            for (name, reply) in names.iter().zip(replies) {
                heads.push(match decode_head(reply, name) {
                    Err(StoreError::Corrupt { .. }) => HeadState::Absent,
                    decoded => decoded?,
                });
            }
        }
        Ok(heads)
    }

    /// Where a listing's head lies.
    pub fn key(&self, key: &ListingKey) -> String {
        self.0.keys.head(key).into()
    }
}

/// Decodes a head and remembers the greatest id of its partition.
pub(super) fn seen_head(
    access: &Access,
    key: &ListingKey,
    head_key: &ListingPlace,
    reply: Option<Value>,
) -> Result<HeadState, StoreError> {
    let head = decode_head(reply.unwrap_or_default(), head_key)?;
    access.seen.raise(Partition::of(key.name()), head.id());
    Ok(head)
}
