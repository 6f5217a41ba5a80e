//! Losses and damage: of a delta, of its base, of the sidecar, and what was copied from another listing.

use listcache::engine::EngineError;

use super::{Small, all_texts, listing, some_changed};
use crate::support::shop::{self, bread, items, name, page, place, texts};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_of_a_delta_is_filled_again_and_its_pins_are_410() {
    for lost in ["base", "delta", "a chunk of the delta", "sidecar", "holders"] {
        let small = Small::new(40).await;
        let whole = small.head().await;
        small.refresh(some_changed(40, &[9], 1)).await;
        let all = some_changed(40, &[9, 39], 1);
        let delta = small.refresh(all.clone()).await;
        match lost {
            "base" => small.redis.cli(&["UNLINK", &small.stream_key(whole.generation)]),
            "delta" => small.redis.cli(&["UNLINK", &small.deltas_key(whole.generation)]),
            "sidecar" => small.redis.cli(&["UNLINK", &small.sidecar_key(delta.generation)]),
            "holders" => small.redis.cli(&[
                "UNLINK",
                &small.stream_key(whole.generation).replace(":gen:", ":holders:"),
            ]),
            _ => {
                let field = format!("{}/9", delta.generation);
                let removed = small.redis.cli(&["HDEL", &small.deltas_key(whole.generation), &field]);
                assert_eq!(removed, "1");
                removed
            }
        };
        // By name the generation is gone, for a node that knows nothing of it: the chunk that is lost, or all of it.
        match small.pinned(delta.generation, 0, 1000).await {
            Err(EngineError::Gone) => {}
            Ok(page) => assert_eq!(texts(&page), all_texts(&all), "{lost}"),
            Err(other) => panic!("{lost}: {other:?}"),
        }
        // A node that has nothing in memory serves the whole, filled again where it must be.
        let now = page(&small.stranger().await, &bread(), &place(0, 1000)).await.unwrap();
        assert_eq!(texts(&now), all_texts(&all), "{lost}");
        if !["sidecar", "holders"].contains(&lost) {
            assert_ne!(small.head().await.generation, delta.generation, "{lost}");
        }
        // And the next refresh finds all in order.
        small.refresh(some_changed(40, &[1], 3)).await;
        assert_eq!(
            texts(&small.page().await),
            all_texts(&some_changed(40, &[1], 3)),
            "{lost}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_from_another_listing_is_seen_and_filled_again() {
    for copied in ["head", "chunk", "stream", "sidecar"] {
        let small = Small::new(40).await;
        let cake = name("category:CAKE");
        *small.origin.items.lock() = some_changed(40, &[9], 7);
        shop::fill(&small.node, &cake).await.unwrap();
        *small.origin.items.lock() = items(40, 0);
        let cake_key = listing("category:CAKE/price");
        let other = small.store.heads.read(&cake_key).await.unwrap().live().unwrap().clone();
        let own = small.head().await;
        let other_stream = small.store.pages.stream_key(&cake_key, other.generation);
        let own_stream = small.stream_key(own.generation);
        match copied {
            "head" => {
                let (from, to) = (small.store.heads.key(&cake_key), small.store.heads.key(&small.key));
                assert_eq!(small.redis.cli(&["COPY", &from, &to, "REPLACE"]), "1");
            }
            "stream" => {
                assert_eq!(small.redis.cli(&["COPY", &other_stream, &own_stream, "REPLACE"]), "1");
            }
            "sidecar" => {
                let from = other_stream.replace(":gen:", ":side:");
                let to = small.sidecar_key(own.generation);
                assert_eq!(small.redis.cli(&["COPY", &from, &to, "REPLACE"]), "1");
            }
            _ => {
                // The last chunk is the other listing's.
                small.redis.cli(&["XDEL", &own_stream, "0-10"]);
                let script = "local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
                    redis.call('XSETID', KEYS[2], '0-9')
                    return redis.call('XADD', KEYS[2], last[1], unpack(last[2]))";
                assert_eq!(
                    small.redis.cli(&["EVAL", script, "2", &other_stream, &own_stream]),
                    "0-10"
                );
            }
        }
        let now = page(&small.stranger().await, &bread(), &place(0, 1000)).await.unwrap();
        assert_eq!(texts(&now), all_texts(&items(40, 0)), "{copied}");
        if copied != "sidecar" {
            assert_ne!(small.head().await.generation, own.generation, "{copied}");
        }
    }
}
