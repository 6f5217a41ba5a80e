//! Keys that Redis evicted, by the server's own count.

use crate::store::{
    access::Access,
    error::StoreError,
    wire::{
        commands::Commands,
        info::{info_field, info_text},
    },
};

/// How many keys the server has evicted since its start, keys of other programs included (`evicted_keys` of
/// [INFO](https://redis.io/docs/latest/commands/info/)); `None` when the user may not ask.
pub(crate) async fn count(access: &Access) -> Result<Option<u64>, StoreError> {
    let mut turn = Commands::default();
    turn.call(&[b"INFO", b"stats"]);
    let turn = turn.that_may_be_refused();
    let replies = access.redis.read("count evictions", turn).await?;
    let info = replies.into_iter().next().and_then(info_text);
    Ok(info.and_then(|info| info_field(&info, "evicted_keys")?.parse().ok()))
}
