//! Deleting: a tombstone outlives every refresh under way, so what was deleted stays deleted.

use std::time::Duration;

use redis::Value;

use super::{
    Store,
    announcements::{Announcement, LOG_ENTRIES_MAX, VERSION, deleted_body},
    draw::{hex, nonce},
    error::StoreError,
    keys::Partition,
    publish::{ATTEMPTS_MAX, generations_of, millis},
    reply, scripts,
};
use crate::listing::{Generation, HeadState, ListingKey, Policy};

/// The least life of a tombstone: longer than any refresh takes.
const TOMBSTONE_LIFE_LEAST: Duration = Duration::from_secs(600);

impl Store {
    /// Leaves tombstones; every generation of these listings is unlinked. Returns what to apply to L1; `existed` tells which
    /// had a current generation.
    ///
    /// A listing at a time: where one fails, those before it are deleted.
    pub async fn delete(
        &self,
        listings: &[ListingKey],
        policy: &Policy,
    ) -> Result<Vec<(Announcement, bool)>, StoreError> {
        let mut deleted = Vec::with_capacity(listings.len());
        for listing in listings {
            deleted.push(self.delete_one(listing, policy).await?);
        }
        Ok(deleted)
    }

    async fn delete_one(&self, listing: &ListingKey, policy: &Policy) -> Result<(Announcement, bool), StoreError> {
        const OPERATION: &str = "delete";
        let (keys, partition) = (&self.inner.keys, Partition::of(listing.name()));
        let (family, nonce) = (&listing.family, nonce());
        let (body_before, body_after) = deleted_body(listing);
        for _ in 0..ATTEMPTS_MAX {
            let before = self.read_head_for_writing(listing).await?;
            let mut key_names = vec![
                keys.head(listing),
                keys.last(partition),
                keys.log(partition),
                keys.names(partition),
                keys.due(partition),
                keys.failure(family),
            ];
            let generations = generations_of(&before);
            key_names.extend(
                generations
                    .into_iter()
                    .map(|generation| keys.stream(listing, generation)),
            );
            let mut call = scripts::DELETE.call(&key_names);
            call.arg(self.inner.seen.greatest(partition))
                .arg(hex(nonce))
                .arg(&before.as_read)
                .arg(millis(policy.pin_for.max(TOMBSTONE_LIFE_LEAST)))
                .arg(listing.to_string())
                .arg(family.to_string())
                .arg(LOG_ENTRIES_MAX)
                .arg(keys.channel())
                .arg(partition.0)
                .arg(VERSION)
                .arg(&body_before)
                .arg(body_after);
            let reply = self
                .inner
                .connections
                .script(OPERATION, &scripts::DELETE, &call)
                .await?;
            let reply = reply::answered(reply, OPERATION, &key_names[0])?;
            let parts = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            let mut parts = parts.into_iter();
            match parts.next().and_then(reply::text).as_deref() {
                Some("retry") => continue,
                Some("deleted") => {}
                _ => return Err(StoreError::odd_reply(OPERATION)),
            }
            let id = drawn_id(parts.next()).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            self.inner.seen.raise(partition, id);
            let announcement = Announcement {
                listing: listing.clone(),
                head: HeadState::Deleted(Generation { id, nonce }),
                written: None,
            };
            return Ok((announcement, before.state.live().is_some()));
        }
        Err(StoreError::unavailable(OPERATION, "others kept moving the head"))
    }
}

fn drawn_id(reply: Option<Value>) -> Option<u64> {
    u64::try_from(reply::integer(&reply?)?).ok()
}
