//! Fields of a hash on their way to Redis: the segments of a generation's columns, and the chunks of a delta.

use std::sync::Arc;

use redis::Value;

use super::in_flight::BUILDING_LIFE;
use crate::store::{
    access::Access,
    error::StoreError,
    layout::keys::ListingPlace,
    wire::{commands::Commands, reply},
};

const OPERATION: &str = "write generation";
/// Bytes that wait before they are sent.
const WAITING_MAX: usize = 512 * 1024;
/// Fields that wait before they are sent: more would make a neighbour's small call wait.
const WAITING_FIELDS_MAX: usize = 400;
/// Fields that are deleted at once.
const DELETED_AT_ONCE: usize = 1000;

/// Fields of one hash, which may be there already: those of other generations stay, and its life is never shortened.
pub(super) struct Fields {
    place: ListingPlace,
    waiting: Commands,
    bytes: u64,
    /// Of all that were added, where others are in the hash: to delete them one by one.
    names: Option<Vec<String>>,
    begun: bool,
}

impl Fields {
    /// Of a hash that is one generation's.
    pub(super) fn of(place: ListingPlace) -> Self {
        Self {
            place,
            waiting: Commands::default(),
            bytes: 0,
            names: None,
            begun: false,
        }
    }

    /// Of a hash that others write too.
    pub(super) fn among_others(place: ListingPlace) -> Self {
        Self {
            names: Some(Vec::new()),
            ..Self::of(place)
        }
    }

    /// The hash.
    pub(super) fn place(&self) -> &ListingPlace {
        &self.place
    }

    /// Bytes of all that were added.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds one.
    pub(super) fn add(&mut self, field: String, value: &[u8]) {
        self.begin();
        self.waiting
            .call(&[b"HSET", self.place.key().as_bytes(), field.as_bytes(), value]);
        self.bytes += (field.len() + value.len()) as u64;
        if let Some(names) = &mut self.names {
            names.push(field);
        }
    }

    /// Fields and expiry come together or not at all: nothing without expiry is ever left behind.
    fn begin(&mut self) {
        if self.waiting.is_empty() {
            self.waiting.add(&redis::cmd("MULTI"));
        }
    }

    /// Sends what waits, where that is much. With it the life begins anew.
    pub(super) async fn send_much(&mut self, access: &Arc<Access>) -> Result<(), StoreError> {
        match self.waiting.bytes() >= WAITING_MAX || self.waiting.len() >= WAITING_FIELDS_MAX {
            true => self.send(access).await,
            false => Ok(()),
        }
    }

    /// Sends what waits. With it the life begins anew.
    pub(super) async fn send(&mut self, access: &Arc<Access>) -> Result<(), StoreError> {
        if self.waiting.is_empty() && !self.begun {
            return Ok(());
        }
        self.begin();
        let life = BUILDING_LIFE.as_millis() as u64;
        // GT alone does nothing to a key without expiry.
        for condition in ["NX", "GT"] {
            let mut expire = redis::cmd("PEXPIRE");
            self.waiting.add(expire.arg(&self.place).arg(life).arg(condition));
        }
        self.waiting.add(&redis::cmd("EXEC"));
        self.begun = true;
        let replies = access.redis.write(OPERATION, self.waiting.take()).await?;
        check_fields(replies, self.place.key())
    }

    /// Deletes those that were added among others. A failure changes nothing: they end with their group.
    pub(super) async fn delete(&mut self, access: &Access) {
        for names in self.names.take().unwrap_or_default().chunks(DELETED_AT_ONCE) {
            let mut turn = Commands::default();
            turn.add(redis::cmd("HDEL").arg(&self.place).arg(names));
            let _ = access.redis.write("delete chunks", turn).await;
        }
    }
}

/// Fails where a command or the transaction was refused.
fn check_fields(replies: Vec<Value>, key: &str) -> Result<(), StoreError> {
    for reply in replies {
        let reply = reply::answered(reply, OPERATION, key)?;
        for reply in reply::array(reply).unwrap_or_default() {
            reply::answered(reply, OPERATION, key)?;
        }
    }
    Ok(())
}
