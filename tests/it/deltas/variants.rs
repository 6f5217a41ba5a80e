//! Variants whose items are equal, or nearly: they share a base, and none needs another.

use std::sync::Arc;

use listcache::{
    engine::{Asked, Engine, Page},
    listing::{Head, Item, definition::Variant},
};

use super::{Small, all_texts, base_of, listing, policy, some_changed};
use crate::support::{
    RedisServer, eventually,
    shop::{self, ScriptedOrigin, bread, definition, definitions, engine, items, place, texts},
};

/// The listing of one customer group.
fn key(group: &str) -> listcache::listing::ListingKey {
    listing(&format!("category:BREAD/price?group={group}"))
}

async fn page(node: &Arc<Engine>, group: &str) -> Page {
    let asked = Asked {
        choices: vec![("group", group)],
        ..Asked::default()
    };
    let selection = node.pages.selector.select(&bread(), asked).await.unwrap();
    shop::read(node, &selection, &place(0, 1000)).await.unwrap()
}

impl Small {
    async fn with_groups(sorts: &[&str]) -> Self {
        let redis = RedisServer::start();
        let origin = ScriptedOrigin::new(Vec::new());
        let node = engine(&redis.url(), &origin, Self::groups(sorts)).await;
        let store = shop::store(&redis.url()).await;
        let key = key("2");
        Self {
            redis,
            origin,
            node,
            store,
            key,
        }
    }

    fn groups(sorts: &[&str]) -> listcache::listing::Definitions {
        let mut one = definition(policy());
        one.sorts = sorts.iter().map(|sort| shop::sort(sort)).collect();
        one.variants = vec![Variant {
            parameter: "group".into(),
            properties: Vec::new(),
            values: ["0", "1", "2", "3"].map(Arc::from).into(),
        }];
        definitions(vec![one])
    }

    /// The origin has these items for a group that is read for the first time.
    async fn first_read(&self, group: &str, items: &[Item]) -> Head {
        *self.origin.items.lock() = items.to_vec();
        // The node may have to hear first that what it has was deleted.
        eventually(async || {
            let read = texts(&page(&self.node, group).await);
            if read == all_texts(items) { Ok(()) } else { Err(read) }
        })
        .await;
        self.head_of(group).await
    }

    async fn head_of(&self, group: &str) -> Head {
        self.store
            .heads
            .read(&key(group))
            .await
            .unwrap()
            .live()
            .unwrap()
            .clone()
    }

    /// A node that knows nothing yet reads these, and all of them are there.
    async fn check(&self, group: &str, items: &[Item]) {
        let node = engine(&self.redis.url(), &self.origin, Self::groups(&["price"])).await;
        assert_eq!(texts(&page(&node, group).await), all_texts(items), "{group}");
        let head = self.head_of(group).await;
        assert!(self.store.pages.is_whole(&key(group), &head).await.unwrap(), "{group}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_with_the_same_items_are_written_once_and_none_needs_another() {
    for sorts in [&["price"][..], &["price", "name"]] {
        let small = Small::with_groups(sorts).await;
        let (same, few, others) = (items(40, 0), some_changed(40, &[9], 1), items(40, 7));
        let first = small.first_read("1", &same).await;
        assert_eq!(first.delta, None);
        let second = small.first_read("2", &same).await;
        let delta = second.delta.as_deref().unwrap();
        assert_eq!((delta.base, delta.base_of.clone()), (first.generation, Some(key("1"))));
        assert_eq!(delta.layers, []);
        let third = small.first_read("3", &few).await;
        assert_eq!(base_of(&third), Some(first.generation));
        assert_eq!(third.delta.as_ref().unwrap().changed().to_string(), "2");
        // Of one that is quite different nothing is shared.
        let other = small.first_read("0", &others).await;
        assert_eq!(other.delta, None);
        let streams = small.redis.cli_lines(&["--scan", "--pattern", "*:gen:*/price?group=*"]);
        assert_eq!(streams.len(), 2, "{streams:?}");

        // The one whose base it is is deleted: the others go on, and change.
        small.store.writes.delete(&[key("1")], &policy()).await.unwrap();
        small.check("2", &same).await;
        small.check("3", &few).await;
        *small.origin.items.lock() = some_changed(40, &[17], 3);
        shop::fill(&small.node, &bread()).await.unwrap();
        for group in ["0", "1", "2", "3"] {
            small.check(group, &some_changed(40, &[17], 3)).await;
        }
        // And one that is changed again leaves the others as they are.
        small.store.writes.delete(&[key("2")], &policy()).await.unwrap();
        small.first_read("2", &others).await;
        small.check("3", &some_changed(40, &[17], 3)).await;
        small.check("1", &some_changed(40, &[17], 3)).await;
    }
}
