//! Keys that Redis evicted: the server's own count, over everything that it holds.

use crate::store::{
    Store,
    error::StoreError,
    wire::{
        commands::Commands,
        info::{info_field, info_text},
    },
};

impl Store {
    /// How many keys the server evicted since it started, those of others among them (`evicted_keys` of
    /// [INFO](https://redis.io/docs/latest/commands/info/)); `None` where the user may not ask.
    pub async fn evicted_keys(&self) -> Result<Option<u64>, StoreError> {
        let mut turn = Commands::default();
        turn.call(&[b"INFO", b"stats"]);
        let turn = turn.that_may_be_refused();
        let replies = self.inner.connections.read("count evictions", turn).await?;
        let info = replies.into_iter().next().and_then(info_text);
        Ok(info.and_then(|info| info_field(&info, "evicted_keys")?.parse().ok()))
    }
}
