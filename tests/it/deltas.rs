//! Delta generations: little changed is little written, and whatever is lost is filled again or 410, never a mix.

mod columns;
mod losses;
mod variants;
mod walkers;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use listcache::{
    engine::{Engine, EngineError, Page, Place},
    listing::{Generation, Head, Item, ListingKey, Order, Policy},
    store::Store,
};

use crate::support::{
    RedisServer,
    shop::{self, ScriptedOrigin, bread, definition, definitions, engine, item, items, name, page, place, texts},
};

/// Chunks of four.
fn policy() -> Policy {
    Policy {
        chunk_len: NonZeroU32::new(4).unwrap(),
        ..shop::policy()
    }
}

fn listing(text: &str) -> ListingKey {
    ListingKey::parse(text).unwrap()
}

/// Items of the first revision, with those at some positions of another.
pub(crate) fn some_changed(count: u64, changed: &[u64], revision: u64) -> Vec<Item> {
    let revision_of = |number| if changed.contains(&number) { revision } else { 0 };
    (0..count).map(|number| item(number, revision_of(number))).collect()
}

pub(crate) fn all_texts(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| String::from_utf8(item.json.to_vec()).unwrap();
    items.iter().map(text).collect()
}

/// A shop with one listing, its items in the origin, and a look into Redis.
pub(crate) struct Small {
    pub(crate) redis: RedisServer,
    pub(crate) origin: Arc<ScriptedOrigin>,
    pub(crate) node: Arc<Engine>,
    pub(crate) store: Store,
    pub(crate) key: ListingKey,
}

impl Small {
    async fn with_sorts(count: u64, sorts: &[&str]) -> Self {
        Self::with(count, sorts, policy()).await
    }

    async fn with(count: u64, sorts: &[&str], policy: Policy) -> Self {
        Self::on(RedisServer::start(), count, sorts, policy).await
    }

    pub(crate) async fn on(redis: RedisServer, count: u64, sorts: &[&str], policy: Policy) -> Self {
        let origin = ScriptedOrigin::new(items(count, 0));
        let mut one = definition(policy);
        one.sorts = sorts.iter().map(|sort| shop::sort(sort)).collect();
        let node = engine(&redis.url(), &origin, definitions(vec![one])).await;
        let store = shop::store(&redis.url()).await;
        let small = Self {
            redis,
            origin,
            node,
            store,
            key: listing("category:BREAD/price"),
        };
        small.refresh(items(count, 0)).await;
        small
    }

    async fn new(count: u64) -> Self {
        Self::with_sorts(count, &["price"]).await
    }

    /// The origin has these items now, and the listing is refreshed.
    pub(crate) async fn refresh(&self, items: Vec<Item>) -> Head {
        *self.origin.items.lock() = items;
        shop::fill(&self.node, &bread()).await.unwrap();
        self.head().await
    }

    pub(crate) async fn head(&self) -> Head {
        self.store.heads.read(&self.key).await.unwrap().live().unwrap().clone()
    }

    pub(crate) async fn page(&self) -> Page {
        page(&self.node, &bread(), &place(0, 1000)).await.unwrap()
    }

    /// A node that knows nothing yet.
    pub(crate) async fn stranger(&self) -> Arc<Engine> {
        let definitions = definitions(vec![definition(policy())]);
        engine(&self.redis.url(), &self.origin, definitions).await
    }

    /// A page of a generation, by a node that knows nothing yet.
    pub(crate) async fn pinned(&self, generation: Generation, offset: u64, limit: u32) -> Result<Page, EngineError> {
        let place = Place::Offset {
            offset,
            limit: NonZeroU32::new(limit).unwrap(),
            pinned: Some(generation),
        };
        page(&self.stranger().await, &bread(), &place).await
    }

    pub(crate) fn stream_key(&self, generation: Generation) -> String {
        self.store.pages.stream_key(&self.key, generation)
    }

    fn sidecar_key(&self, generation: Generation) -> String {
        self.stream_key(generation).replace(":gen:", ":side:")
    }

    pub(crate) fn entries(&self, generation: Generation) -> u64 {
        let count = self.redis.cli(&["XLEN", &self.stream_key(generation)]);
        count.parse().unwrap()
    }

    /// What generations after a base have changed.
    fn deltas_key(&self, base: Generation) -> String {
        self.stream_key(base).replace(":gen:", ":deltas:")
    }

    /// The fields that a delta has written itself, without its name: `2`, `ids:0`.
    fn own(&self, delta: &Head) -> Vec<String> {
        let fields = self
            .redis
            .cli_lines(&["HKEYS", &self.deltas_key(base_of(delta).unwrap())]);
        let name = format!("{}/", delta.generation);
        let mut own: Vec<String> = fields
            .iter()
            .filter_map(|field| Some(field.strip_prefix(&name)?.to_owned()))
            .collect();
        own.sort();
        own
    }

    /// The chunks among them.
    fn own_chunks(&self, delta: &Head) -> Vec<String> {
        let mut own = self.own(delta);
        own.retain(|field| !field.contains(':'));
        own
    }
}

fn changed(head: &Head) -> String {
    head.delta.as_ref().unwrap().changed().to_string()
}

pub(crate) fn base_of(head: &Head) -> Option<Generation> {
    head.delta.as_ref().map(|delta| delta.base)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_item_is_one_chunk_written_by_a_refresh_whatever_reads_the_origin() {
    // With two sorts all is sorted in the process; with one the origin's order is written as it comes.
    for sorts in [&["price"][..], &["price", "name"]] {
        let small = Small::with_sorts(40, sorts).await;
        let whole = small.head().await;
        assert_eq!((base_of(&whole), small.entries(whole.generation)), (None, 10));
        let mut all = some_changed(40, &[9], 1);
        let first = small.refresh(all.clone()).await;
        assert_eq!(base_of(&first), Some(whole.generation));
        assert_eq!(
            (changed(&first), small.own_chunks(&first)),
            ("2".to_owned(), vec!["2".to_owned()])
        );
        assert_eq!(texts(&small.page().await), all_texts(&all));
        // What the delta before it has changed is not written again.
        all = some_changed(40, &[9, 39], 1);
        let second = small.refresh(all.clone()).await;
        assert_eq!(base_of(&second), Some(whole.generation));
        assert_eq!(
            (changed(&second), small.own_chunks(&second)),
            ("2,9".to_owned(), vec!["9".to_owned()])
        );
        assert_eq!(texts(&small.page().await), all_texts(&all));
        // Each is what it was, for a node that knows nothing of them.
        for (generation, changed) in [
            (whole.generation, &[][..]),
            (first.generation, &[9]),
            (second.generation, &[9, 39]),
        ] {
            let page = small.pinned(generation, 6, 30).await.unwrap();
            assert_eq!(texts(&page), all_texts(&some_changed(40, changed, 1))[6..36]);
        }
        // In reverse, and with fewer items than the base has.
        let fewer = small.refresh(some_changed(38, &[9], 1)).await;
        assert_eq!(changed(&fewer), "2,9");
        let selection = shop::select(&small.node, &bread(), Order::Desc).await.unwrap();
        let reverse = shop::read(&small.node, &selection, &place(0, 1000)).await.unwrap();
        let mut expected = all_texts(&some_changed(38, &[9], 1));
        expected.reverse();
        assert_eq!(texts(&reverse), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chunks_that_did_not_change_stay_in_l1() {
    let small = Small::new(400).await;
    small.page().await;
    let read = |page: &Page| page.meta.served.l1_hit;
    small.refresh(some_changed(400, &[9], 1)).await;
    for at in [0, 12, 100, 396] {
        let unchanged = page(&small.node, &bread(), &place(at, 4)).await.unwrap();
        assert!(read(&unchanged), "the page from {at} on was read again");
    }
    let changed = page(&small.node, &bread(), &place(8, 4)).await.unwrap();
    assert!(!read(&changed));
    assert!(texts(&changed).contains(&r#"{"id":9,"revision":1}"#.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_too_much_has_changed_the_generation_is_whole_and_the_base_ends_with_its_last_pin() {
    let short = Policy {
        pin_for: Duration::from_millis(300),
        ..policy()
    };
    for sorts in [&["price"][..], &["price", "name"]] {
        let small = Small::with(40, sorts, short.clone()).await;
        let whole = small.head().await;
        let delta = small.refresh(some_changed(40, &[0], 1)).await;
        assert_eq!(base_of(&delta), Some(whole.generation));
        // The base is as old as any pin may be, and lives on for the delta.
        small.gone_but(&[whole.generation]).await;
        let changed: Vec<u64> = (0..40).step_by(8).collect();
        let all = some_changed(40, &changed, 2);
        let much = small.refresh(all.clone()).await;
        assert_eq!(base_of(&much), None, "{much:?}");
        assert_eq!(small.entries(much.generation), 10);
        assert_eq!(texts(&small.page().await), all_texts(&all));
        small.gone_but(&[much.generation]).await;
        for class in ["aside", "deltas", "holders"] {
            let pattern = format!("*:{class}:*");
            assert_eq!(small.redis.cli_lines(&["--scan", "--pattern", &pattern]), [""; 0]);
        }
    }
}

impl Small {
    /// Waits until no stream is left but those of some generations, which must live longer than any pin.
    async fn gone_but(&self, kept: &[Generation]) {
        let mut expected: Vec<String> = kept.iter().map(|generation| self.stream_key(*generation)).collect();
        expected.sort();
        crate::support::eventually(async || {
            let mut streams = self.redis.cli_lines(&["--scan", "--pattern", "*:gen:*BREAD/price"]);
            streams.sort();
            if streams == expected { Ok(()) } else { Err(streams) }
        })
        .await;
        for stream in expected {
            let left: u64 = self.redis.cli(&["PTTL", &stream]).parse().unwrap();
            assert!(left > 10_000, "{stream} ends in {left} ms");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_writes_what_has_changed_and_a_rollback_nothing() {
    let small = Small::new(4).await;
    let (promo, key) = (name("pushed:a"), listing("pushed:a/default"));
    let pushed = Policy {
        keep_for: Duration::from_secs(3600),
        ..policy()
    };
    let definitions = shop::pushed_definitions(Vec::new(), pushed);
    let node = engine(&small.redis.url(), &small.origin, definitions).await;
    let head = async || small.store.heads.read(&key).await.unwrap().live().unwrap().clone();
    let fields = |base| {
        let deltas = small.store.pages.stream_key(&key, base).replace(":gen:", ":deltas:");
        let mut fields = small.redis.cli_lines(&["HKEYS", &deltas]);
        fields.retain(|field| !field.contains(':'));
        fields
    };
    shop::push(&node, &promo, items(40, 0)).await.unwrap();
    let whole = head().await;
    let changed = some_changed(40, &[9], 1);
    shop::push(&node, &promo, changed.clone()).await.unwrap();
    let delta = head().await;
    assert_eq!(base_of(&delta), Some(whole.generation));
    assert_eq!(fields(whole.generation), [format!("{}/2", delta.generation)]);
    shop::push(&node, &promo, some_changed(40, &[9, 10], 2)).await.unwrap();
    let written = fields(whole.generation).len();
    for (undone, expected) in [(1, changed), (2, items(40, 0))] {
        let rollback = node.holds.rollback(&promo, Duration::ZERO).await.unwrap();
        assert_eq!(rollback.listings.len(), 1, "{undone}");
        let back = head().await;
        assert_eq!(base_of(&back), Some(whole.generation));
        assert_eq!(fields(whole.generation).len(), written);
        let page = page(&node, &promo, &place(0, 1000)).await.unwrap();
        assert_eq!(texts(&page), all_texts(&expected));
        assert!(small.store.pages.is_whole(&key, &back).await.unwrap());
    }
    // Deleting takes the base along, which nothing names any more.
    let other = name("pushed:b");
    for revision in 0..3 {
        let changed = some_changed(40, &[revision], revision);
        shop::push(&node, &other, changed).await.unwrap();
    }
    let left = |class: &str| {
        let pattern = format!("*:{class}:*pushed:b/*");
        small.redis.cli_lines(&["--scan", "--pattern", &pattern]).len()
    };
    const CLASSES: [&str; 5] = ["gen", "side", "deltas", "holders", "kept"];
    assert_eq!(CLASSES.map(left), [1, 3, 1, 1, 1]);
    node.writes.delete(&other, None).await.unwrap();
    assert_eq!(CLASSES.map(left), [0; 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_changes_often_writes_what_has_changed_and_now_and_then_all_of_it() {
    for sorts in [&["price"][..], &["price", "name"]] {
        let small = Small::with_sorts(160, sorts).await;
        let (mut written, mut all, mut deltas) = (0, some_changed(160, &[], 0), 0);
        for revision in 1..=60 {
            let at = (revision * 7 % 160) as usize;
            all[at] = item(at as u64, revision);
            let head = small.refresh(all.clone()).await;
            written += match head.delta {
                None => small.entries(head.generation),
                Some(_) => small.own_chunks(&head).len() as u64,
            };
            deltas += u64::from(head.delta.is_some());
            assert_eq!(texts(&small.page().await), all_texts(&all), "{revision}");
            // A node that knows nothing of it reads the same, and so does one that knows only its name.
            let pinned = small.pinned(head.generation, 0, 1000).await.unwrap();
            assert_eq!(texts(&pinned), all_texts(&all), "{revision}");
        }
        // 40 chunks each time without deltas; one each time with them, and what they are put together for.
        assert!(
            deltas > 50 && written < 60 * 40 / 4,
            "{deltas} deltas, {written} chunks"
        );
    }
}
