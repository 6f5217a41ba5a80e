//! Pages: cut, walked, changed by a delta, rolled back.

use std::time::Duration;

use listcache::{engine::Place, listing::Order};

use super::small_shop;
use crate::{
    deltas::{all_texts, base_of, some_changed},
    support::{
        ServerProgram,
        shop::{bread, items, next_cursor, page, place, read, select, texts},
        store::{next_moved, subscribe},
    },
    unchanged::reread,
};

const ORDERS: [Order; 2] = [Order::Asc, Order::Desc];

/// The texts of a listing in an order.
fn in_order(mut texts: Vec<String>, order: Order) -> Vec<String> {
    if order == Order::Desc {
        texts.reverse();
    }
    texts
}

pub async fn pages_of_all_sizes_in_both_orders_are_cuts_of_one_listing(program: ServerProgram) {
    let small = small_shop(program).await;
    for order in ORDERS {
        let all = in_order(all_texts(&items(40, 0)), order);
        for limit in [1, 4, 7, 24, 100] {
            // It has nothing in memory.
            let node = small.stranger().await;
            let selection = select(&node, &bread(), order).await.unwrap();
            for (at, expected) in all.chunks(limit).enumerate() {
                let place = place((at * limit) as u64, limit as u32);
                let page = read(&node, &selection, &place).await.unwrap();
                assert_eq!(
                    (page.meta.total, &texts(&page)[..]),
                    (40, expected),
                    "{order:?} {place:?}"
                );
            }
            let beyond = read(&node, &selection, &place(40, 7)).await.unwrap();
            assert!(texts(&beyond).is_empty());
        }
    }
}

pub async fn a_walk_by_cursors_sees_its_generation_whatever_is_published(program: ServerProgram) {
    let small = small_shop(program).await;
    let mut revision = 0;
    for order in ORDERS {
        let expected = in_order(all_texts(&items(40, revision)), order);
        let mut at = place(0, 7);
        let mut seen = Vec::new();
        loop {
            let node = small.stranger().await;
            let selection = select(&node, &bread(), order).await.unwrap();
            let page = read(&node, &selection, &at).await.unwrap();
            seen.extend(texts(&page));
            revision += 1;
            let head = small.refresh(items(40, revision)).await;
            assert_ne!(head.generation, page.meta.generation);
            match next_cursor(&page) {
                Some(cursor) => at = Place::Cursor(cursor.encode(&selection.key)),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order:?}");
    }
}

pub async fn a_delta_is_announced_confirmed_and_rolled_back(program: ServerProgram) {
    let small = small_shop(program).await;
    let whole = small.head().await;
    let mut heard = subscribe(&small.store).await;
    let changed = some_changed(40, &[9], 1);
    let delta = small.refresh(changed.clone()).await;
    assert_eq!(next_moved(&mut heard).await, (small.key.clone(), delta.generation));
    assert_eq!(base_of(&delta), Some(whole.generation));
    assert_eq!(texts(&small.page().await), all_texts(&changed));
    reread(&small.redis, &small.node).await.unwrap();
    let confirmed = small.head().await;
    assert_eq!(
        (confirmed.generation, confirmed.as_of > delta.as_of),
        (delta.generation, true)
    );

    small.node.holds.rollback(&bread(), Duration::ZERO).await.unwrap();
    let back = small.head().await;
    assert!(back.generation > delta.generation);
    assert_eq!(next_moved(&mut heard).await, (small.key.clone(), back.generation));
    assert!(small.store.pages.is_whole(&small.key, &back).await.unwrap());
    for node in [small.node.clone(), small.stranger().await] {
        let page = page(&node, &bread(), &place(0, 1000)).await.unwrap();
        assert_eq!(
            (page.meta.generation, texts(&page)),
            (back.generation, all_texts(&items(40, 0)))
        );
    }
    let pinned = small.pinned(delta.generation, 6, 30).await.unwrap();
    assert_eq!(texts(&pinned), all_texts(&changed)[6..36]);
}
