//! Deleting: a tombstone outlives every refresh under way, so a deleted listing stays deleted.

use std::time::Duration;

use redis::{Cmd, Value};

use super::lives::{Named, generations_of};
use crate::{
    listing::{ListingKey, Policy},
    store::{
        layout::{
            announcements::{LOG_ENTRIES_MAX, VERSION, deleted_body},
            head_codec::StoredHead,
            keys::{Keys, Partition},
            numbers::{hex, millis},
        },
        scripts,
        wire::reply,
    },
};

/// The least life of a tombstone: longer than any refresh takes.
const TOMBSTONE_LIFE_LEAST: Duration = Duration::from_secs(600);

/// One call of the script.
pub(crate) struct Deleting<'a> {
    pub listing: &'a ListingKey,
    /// The greatest id seen in the partition.
    pub seen: u64,
    pub nonce: u32,
    /// The head when it was read.
    pub before: &'a StoredHead,
    pub policy: &'a Policy,
}

impl Deleting<'_> {
    pub(crate) fn call(&self, keys: &Keys) -> Cmd {
        let (listing, family, partition) = (self.listing, &self.listing.family, Partition::of(self.listing.name()));
        let (body_before, body_after) = deleted_body(listing);
        let mut key_names = vec![
            keys.head(listing).into(),
            keys.last(partition),
            keys.log(partition),
            keys.names(partition),
            keys.due(partition),
            keys.failure(family),
            keys.kept(listing).into(),
        ];
        let generations = Named::new(keys, listing, &generations_of(self.before), key_names.len());
        key_names.extend_from_slice(generations.keys());
        let mut call = scripts::DELETE.call(&key_names);
        call.arg(self.seen)
            .arg(hex(self.nonce))
            .arg(&self.before.as_read)
            .arg(millis(self.policy.pin_for.max(TOMBSTONE_LIFE_LEAST)))
            .arg(listing.to_string())
            .arg(family.to_string())
            .arg(LOG_ENTRIES_MAX)
            .arg(keys.channel())
            .arg(partition.0)
            .arg(VERSION)
            .arg(body_before)
            .arg(body_after)
            .arg(generations.count());
        generations.add_arguments(&mut call);
        call
    }
}

/// The id that was drawn; `Some(None)` where the head is not what was read.
pub(crate) fn decode(reply: Value) -> Option<Option<u64>> {
    let mut parts = reply::array(reply)?.into_iter();
    match parts.next().and_then(reply::text)?.as_str() {
        "retry" => Some(None),
        "deleted" => Some(Some(reply::unsigned(&parts.next()?)?)),
        _ => None,
    }
}
