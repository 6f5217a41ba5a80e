//! A small shop: an origin that does as the test says, definitions, and engines on a real Redis.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use globset::{Glob, GlobSetBuilder};
use listcache::{
    config::L1Config,
    engine::{
        Asked, Engine, EngineError, EngineLimits, EngineParts, Form, Page, PageRequest, Place, Refreshed, Selection,
        Shrink,
    },
    listing::{
        Cursor, DataVersion, Definition, Definitions, Field, Generation, Item, ItemId, ListingName, Order, Policy,
        SortName,
        definition::{Defined, Descending, Links, Names, Pushed, Sort, SortColumn},
        key::Choices,
        pattern::NamePattern,
    },
    origin::{Items, Origin, OriginError, OriginItem, Origins, Read, ReadOrder, SortValue},
    store::{Store, StoreOptions},
    telemetry::Metrics,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// An origin whose items, pace and health the test sets. Items come in the order given, whatever the sort.
pub struct ScriptedOrigin {
    pub items: Mutex<Vec<Item>>,
    /// What it says of its data, where it says anything.
    pub version: Mutex<Option<String>>,
    pub reads: AtomicU64,
    pub names_reads: AtomicU64,
    pub failing: AtomicBool,
    pub delay: Mutex<Duration>,
    /// While it has no permit a read waits; each read takes one and gives it back.
    pub gate: Semaphore,
}

impl ScriptedOrigin {
    pub fn new(items: Vec<Item>) -> Arc<Self> {
        Arc::new(Self {
            items: Mutex::new(items),
            version: Mutex::default(),
            reads: AtomicU64::new(0),
            names_reads: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            delay: Mutex::new(Duration::ZERO),
            gate: Semaphore::new(1000),
        })
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }

    /// Reads that begin from here on wait for [`ScriptedOrigin::open`].
    pub fn shut(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    pub fn open(&self) {
        self.gate.add_permits(1000);
    }
}

#[async_trait]
impl Origin for ScriptedOrigin {
    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let delay = *self.delay.lock();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let _permit = self.gate.acquire().await.unwrap();
        if self.failing.load(Ordering::SeqCst) {
            return Err(OriginError::Unavailable("the test says so".into()));
        }
        let columns = match read.order {
            ReadOrder::Any { columns } => columns.len(),
            ReadOrder::By(_) => 0,
        };
        // One value for all: sorted by id then.
        let items: Vec<_> = self.items.lock().clone();
        let items = items.into_iter().enumerate().map(move |(at, item)| OriginItem {
            item,
            id: SortValue::Integer(at as i64),
            keys: vec![SortValue::Null; columns].into(),
        });
        Ok(stream::iter([Ok(items.collect())]).boxed())
    }

    async fn version(&self, _: &Defined, _: &Choices) -> Result<Option<DataVersion>, OriginError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(OriginError::Unavailable("the test says so".into()));
        }
        Ok(self.version.lock().as_deref().map(DataVersion::of))
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        self.names_reads.fetch_add(1, Ordering::SeqCst);
        Ok((0..1000).map(|number| vec![format!("known{number}")]).collect())
    }
}

/// Items numbered from `first`, each with the given revision in its JSON.
pub fn items(count: u64, revision: u64) -> Vec<Item> {
    (0..count).map(|number| item(number, revision)).collect()
}

pub fn item(number: u64, revision: u64) -> Item {
    Item {
        id: ItemId::parse(&number.to_string()).unwrap(),
        json: format!(r#"{{"id":{number},"revision":{revision}}}"#).into(),
    }
}

pub fn policy() -> Policy {
    Policy::default()
}

/// `category:{category}`, sorted by price, from the origin `shop`.
pub fn definition(policy: Policy) -> Definition {
    Definition {
        pattern: NamePattern::parse("category:{category}").unwrap(),
        origin: "shop".into(),
        query: Some("select 1".into()),
        id: "id".into(),
        names: None,
        names_of: None,
        next_change_query: None,
        item_query: None,
        sorts: vec![sort("price")],
        variants: Vec::new(),
        filters: Default::default(),
        hidden: Default::default(),
        fields: Vec::new(),
        policy: Arc::new(policy),
        links: Links::Pinned,
        version_query: None,
        hashes: Default::default(),
    }
}

pub fn enumerated(mut definition: Definition) -> Definition {
    definition.names = Some(Names::Query("select names".into()));
    definition
}

pub fn sort(name: &str) -> Sort {
    Sort {
        name: SortName::parse(name).unwrap(),
        by: vec![SortColumn {
            column: name.into(),
            descending: false,
        }],
        desc: Descending::Mirrored,
    }
}

pub fn definitions(defined: Vec<Definition>) -> Definitions {
    let pushed_policy = Policy {
        keep_for: Duration::from_secs(30 * 24 * 3600),
        ..policy()
    };
    pushed_definitions(defined, pushed_policy)
}

pub fn pushed_definitions(defined: Vec<Definition>, pushed_policy: Policy) -> Definitions {
    let mut names = GlobSetBuilder::new();
    names.add(Glob::new("pushed:*").unwrap());
    Definitions {
        defined: defined.into_iter().map(Arc::new).collect(),
        pushed: Pushed {
            names: names.build().unwrap(),
            policy: Arc::new(pushed_policy),
            filters: Vec::new(),
        },
    }
}

pub fn l1() -> L1Config {
    L1Config {
        filters_bytes_max: 64 << 20,
        ttl: Duration::from_secs(2),
        chunks_bytes_max: 64 << 20,
        heads_max: 10_000,
        absent_max: 10_000,
        shapes_max: 10_000,
        read_ahead: false,
    }
}

pub async fn store(url: &str) -> Store {
    let options = StoreOptions {
        url: url.to_owned(),
        prefix: "t".to_owned(),
        // A loaded machine pauses longer than a production one.
        read_timeout: Duration::from_secs(2),
        read_connections: 2,
        reply_max: 256 << 20,
    };
    Store::connect(options, Arc::new(Metrics::new())).await.unwrap()
}

/// An engine of its own, as another process would have it.
pub async fn engine(url: &str, origin: &Arc<ScriptedOrigin>, definitions: Definitions) -> Arc<Engine> {
    engine_with(url, origin, definitions, l1()).await
}

pub async fn engine_with(
    url: &str,
    origin: &Arc<ScriptedOrigin>,
    definitions: Definitions,
    l1: L1Config,
) -> Arc<Engine> {
    let mut origins = Origins::default();
    origins.insert("shop", origin.clone());
    Engine::start(EngineParts {
        cdns: Vec::new(),
        store: store(url).await,
        origins,
        definitions,
        l1,
        limits: EngineLimits {
            fill_wait: Duration::from_secs(20),
            ..EngineLimits::default()
        },
        metrics: Arc::new(Metrics::new()),
        refreshes_due: false,
    })
}

pub fn name(text: &str) -> ListingName {
    ListingName::parse(text).unwrap()
}

pub fn bread() -> ListingName {
    name("category:BREAD")
}

pub fn place(offset: u64, limit: u32) -> Place {
    Place::Offset {
        offset,
        limit: NonZeroU32::new(limit).unwrap(),
        pinned: None,
    }
}

pub async fn select(engine: &Engine, name: &ListingName, order: Order) -> Result<Selection, EngineError> {
    let asked = Asked {
        order,
        ..Asked::default()
    };
    engine.pages.selector.select(name, asked).await
}

/// A page of the default sort, ascending.
pub async fn page(engine: &Arc<Engine>, name: &ListingName, place: &Place) -> Result<Page, EngineError> {
    let selection = select(engine, name, Order::Asc).await?;
    read(engine, &selection, place).await
}

/// A page of a listing, by the calls that the service makes.
pub async fn read(engine: &Engine, selection: &Selection, place: &Place) -> Result<Page, EngineError> {
    let (form, began) = (Form::Plain, Instant::now());
    let request = PageRequest {
        selection,
        place,
        form,
        began,
    };
    let pages = &engine.pages;
    let meta = pages.find_in_l1(request);
    if let Some(page) = meta.and_then(|meta| pages.items_in_l1(request, meta)) {
        return Ok(page);
    }
    let found = pages.find(request).await?;
    pages.items(request, found).await
}

/// The cursor of the page after this one.
pub fn next_cursor(page: &Page) -> Option<Cursor> {
    let meta = &page.meta;
    let offset = meta.offset + page.count;
    (offset < meta.total).then_some(Cursor {
        generation: meta.generation,
        offset,
        limit: meta.limit,
        order: meta.order,
        total: meta.total,
        chunk_len: meta.chunk_len,
        filters: 0,
    })
}

/// Refreshes a listing, and waits for it.
pub async fn fill(engine: &Engine, name: &ListingName) -> Result<Vec<Refreshed>, EngineError> {
    engine
        .writes
        .refresh_and_wait(name, &Default::default(), None, Shrink::Refused)
        .await
}

/// Replaces a pushed listing.
pub async fn push(engine: &Engine, name: &ListingName, items: Vec<Item>) -> Result<Generation, EngineError> {
    let mut push = engine
        .writes
        .push(name, SortName::default_sort(), Shrink::Refused)
        .await?;
    for item in items {
        push.append(item).await?;
    }
    Ok(push.finish().await?.generation)
}

/// The items of a page, each as its JSON text.
pub fn texts(page: &Page) -> Vec<String> {
    let items = page.items.as_ref().expect("the page has items");
    let mut texts = Vec::new();
    for (chunk, range) in &items.pieces {
        let mut piece: Vec<_> = range
            .clone()
            .map(|at| String::from_utf8(chunk.item(at).to_vec()).unwrap())
            .collect();
        if items.direction == listcache::listing::Direction::Reverse {
            piece.reverse();
        }
        texts.extend(piece);
    }
    texts
}
