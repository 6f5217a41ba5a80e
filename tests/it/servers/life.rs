//! What ends: listings that are deleted, streams that are evicted, a server that is started anew.

use listcache::engine::EngineError;

use super::small_shop;
use crate::{
    deltas::{Small, all_texts, some_changed},
    support::{
        RedisServer, ServerProgram, eventually,
        shop::{bread, items, page, place, texts},
    },
};

pub async fn the_server_has_the_version_in_its_name(program: ServerProgram) {
    let info = RedisServer::of(program).cli_lines(&["INFO", "server"]);
    let major = |field: &str| -> Option<u32> {
        let version = info.iter().find_map(|line| line.strip_prefix(field))?;
        version.split('.').next()?.parse().ok()
    };
    let [redis, valkey] = ["redis_version:", "valkey_version:"].map(major);
    match program {
        ServerProgram::Distribution => assert!(redis >= Some(7), "{info:?}"),
        ServerProgram::Redis8 => assert_eq!((redis, valkey), (Some(8), None)),
        ServerProgram::Valkey9 => assert_eq!(valkey, Some(9)),
    }
}

pub async fn a_deleted_listing_leaves_only_its_tombstone_and_is_filled_again(program: ServerProgram) {
    let small = small_shop(program).await;
    let whole = small.head().await;
    let delta = small.refresh(some_changed(40, &[9], 1)).await;
    small.node.writes.delete(&bread(), None).await.unwrap();
    let keys = small.redis.cli_lines(&["--scan", "--pattern", "*BREAD/price"]);
    assert_eq!(keys, [small.store.heads.key(&small.key)]);
    for generation in [whole.generation, delta.generation] {
        let pinned = small.pinned(generation, 0, 7).await;
        assert!(matches!(pinned, Err(EngineError::Gone)), "{pinned:?}");
    }
    assert_eq!(texts(&small.page().await), all_texts(&some_changed(40, &[9], 1)));
    assert!(small.head().await.generation > delta.generation);
}

pub async fn a_stream_that_was_evicted_is_missed_and_filled_again(program: ServerProgram) {
    let small = small_shop(program).await;
    // Alone, as Redis may choose.
    let whole = small.head().await;
    assert_eq!(small.redis.cli(&["UNLINK", &small.stream_key(whole.generation)]), "1");
    filled_again(&small).await;
    let again = small.head().await;
    assert!(again.generation > whole.generation);
    // With all else that has an expiry, because memory is full.
    let set = |name: &str, value: &str| assert_eq!(small.redis.cli(&["CONFIG", "SET", name, value]), "OK");
    set("maxmemory-policy", "volatile-lfu");
    set("maxmemory", "1");
    eventually(async || {
        let left = small.redis.cli_lines(&["--scan", "--pattern", "*BREAD/price"]);
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    set("maxmemory", "0");
    filled_again(&small).await;
    assert!(small.head().await.generation > again.generation);
}

/// A node that has nothing in memory has the whole listing.
async fn filled_again(small: &Small) {
    let page = page(&small.stranger().await, &bread(), &place(0, 1000)).await.unwrap();
    assert_eq!(texts(&page), all_texts(&items(40, 0)));
}

pub async fn a_restarted_server_is_filled_again(program: ServerProgram) {
    let mut small = small_shop(program).await;
    let before = small.head().await;
    assert_eq!(texts(&small.page().await), all_texts(&items(40, 0)));
    let now = some_changed(40, &[9], 1);
    *small.origin.items.lock() = now.clone();
    small.redis.restart_empty();
    // The node has the page in memory until it notices.
    eventually(async || match page(&small.node, &bread(), &place(0, 1000)).await {
        Ok(page) if texts(&page) == all_texts(&now) => Ok(()),
        other => Err(other.map(|page| texts(&page))),
    })
    .await;
    let after = eventually(async || small.store.heads.read(&small.key).await).await;
    let after = after.live().unwrap().generation;
    assert!(after > before.generation);
    assert_eq!(small.entries(after), 10);
}
