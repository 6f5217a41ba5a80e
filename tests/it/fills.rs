//! Misses and refreshes: one read of the origin for all who wait, and never an answer older than what was asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use listcache::{
    engine::{Asked, Engine, EngineError, EngineLimits, EngineParts, PageState, Shrink},
    listing::{Definition, Field, Order, Policy},
    origin::{Items, Origin, OriginError, Origins, Read},
    telemetry::Metrics,
};
use tokio::task::JoinSet;

use crate::support::{
    RedisServer, eventually,
    shop::{
        self, ScriptedOrigin, bread, definition, definitions, engine, enumerated, item, items, page, place, select,
        texts,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_for_a_cold_listing_cause_one_read_of_the_origin() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    origin.shut();
    let nodes = [
        engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await,
        engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await,
    ];
    let mut requests = JoinSet::new();
    for number in 0..1000 {
        let node = nodes[number % 2].clone();
        requests.spawn(async move { page(&node, &bread(), &place(0, 24)).await });
    }
    eventually(async || match origin.reads() {
        0 => Err("no read yet"),
        _ => Ok(()),
    })
    .await;
    // Those who began the load go away: it belongs to nobody's request.
    let mut cancelled = JoinSet::new();
    for _ in 0..100 {
        let node = nodes[0].clone();
        cancelled.spawn(async move { page(&node, &bread(), &place(0, 24)).await });
    }
    cancelled.abort_all();
    origin.open();
    let mut collapsed = 0;
    while let Some(answer) = requests.join_next().await {
        let page = answer.unwrap().unwrap();
        assert_eq!(page.count, 24);
        collapsed += u64::from(page.meta.served.collapsed);
    }
    assert_eq!(origin.reads(), 1);
    assert!(collapsed >= 900, "{collapsed} collapsed");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_go_away_cause_no_further_read() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    origin.shut();
    let node = engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await;
    for _ in 0..400 {
        let (name, place) = (bread(), place(0, 24));
        let asking = page(&node, &name, &place);
        assert!(tokio::time::timeout(Duration::from_millis(1), asking).await.is_err());
    }
    origin.open();
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    assert_eq!(origin.reads(), 1);
}

/// An origin that answers nothing.
#[derive(Default)]
struct Hanging {
    reads: AtomicU64,
}

#[async_trait]
impl Origin for Hanging {
    async fn read(&self, _: Read) -> Result<Items, OriginError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_once_however_much_it_waits_for() {
    const FILL_WAIT: Duration = Duration::from_secs(3);
    let redis = RedisServer::start();
    let unknown = enumerated(definition(shop::policy()));
    for (defined, reads) in [
        // Nobody knows whether the name exists: the origin is not asked for its items.
        (unknown, 0),
        (definition(shop::policy()), 1),
    ] {
        let origin = Arc::new(Hanging::default());
        let mut origins = Origins::default();
        origins.insert("shop", origin.clone());
        let node = Engine::start(EngineParts {
            cdns: Vec::new(),
            store: shop::store(&redis.url()).await,
            origins,
            definitions: definitions(vec![defined]),
            l1: shop::l1(),
            limits: EngineLimits {
                fill_wait: FILL_WAIT,
                ..EngineLimits::default()
            },
            metrics: Arc::new(Metrics::new()),
            refreshes_due: false,
        });
        let began = Instant::now();
        let answer = match node.pages.selector.select(&bread(), Asked::default()).await {
            Ok(selection) => shop::read(&node, &selection, &place(0, 24)).await,
            Err(error) => Err(error),
        };
        assert!(matches!(answer, Err(EngineError::NothingYet { .. })), "{answer:?}");
        let waited = began.elapsed();
        assert!(waited < FILL_WAIT * 19 / 10, "{waited:?}");
        assert_eq!(origin.reads.load(Ordering::SeqCst), reads);
        // The lease of the read that hangs must not hold up the next one.
        redis.cli(&["FLUSHALL"]);
    }
}

/// "Update the row, then refresh and wait": the answer, and what the node serves next, hold the new row.
#[tokio::test(flavor = "multi_thread")]
async fn a_waited_for_refresh_never_answers_with_the_row_of_before() {
    const RACES: u64 = 10_000;
    const CLIENTS: u64 = 8;
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new((0..CLIENTS).map(|client| item(client, 0)).collect());
    let definitions = || definitions(vec![definition(shop::policy())]);
    let node = engine(&redis.url(), &origin, definitions()).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (node, origin) = (node.clone(), origin.clone());
        clients.spawn(async move {
            for revision in 1..=RACES / CLIENTS {
                origin.items.lock()[client as usize] = item(client, revision);
                node.writes
                    .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
                    .await
                    .unwrap();
                let page = page(&node, &bread(), &place(client, 1)).await.unwrap();
                let expect = item(client, revision).json;
                assert_eq!(texts(&page), [String::from_utf8(expect.to_vec()).unwrap()]);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let reads = origin.reads();
    eprintln!("{RACES} races, {reads} reads of the origin");
    assert!(
        reads < RACES,
        "whoever comes during a refresh shares the next one: {reads} reads"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_page_is_served_while_one_refresh_runs() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    let short = Policy {
        fresh_for: Duration::from_millis(50),
        ..shop::policy()
    };
    let node = engine(&redis.url(), &origin, definitions(vec![definition(short)])).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    *origin.items.lock() = items(30, 1);
    origin.shut();
    eventually(async || {
        let page = page(&node, &bread(), &place(0, 1)).await.unwrap();
        match page.meta.freshness.state {
            PageState::Refreshing if page.meta.freshness.ttl_ms < 0 => Ok(()),
            _ => Err(format!("{:?}", page.meta.freshness)),
        }
    })
    .await;
    for _ in 0..50 {
        let stale = page(&node, &bread(), &place(0, 1)).await.unwrap();
        assert_eq!(texts(&stale), [r#"{"id":0,"revision":0}"#]);
    }
    // An attempt that Redis was too slow for is made again when somebody asks.
    eventually(async || {
        let stale = page(&node, &bread(), &place(0, 1)).await.unwrap();
        assert_eq!(texts(&stale), [r#"{"id":0,"revision":0}"#]);
        (origin.reads() == 2).then_some(()).ok_or_else(|| origin.reads())
    })
    .await;
    origin.open();
    eventually(async || {
        let page = page(&node, &bread(), &place(0, 1)).await.unwrap();
        match texts(&page)[0].as_str() {
            r#"{"id":0,"revision":1}"# => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_origin_leaves_the_old_generation_and_is_asked_less_and_less() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    let short = Policy {
        fresh_for: Duration::from_millis(50),
        ..shop::policy()
    };
    let node = engine(&redis.url(), &origin, definitions(vec![definition(short)])).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    origin.failing.store(true, Ordering::SeqCst);
    eventually(async || {
        let page = page(&node, &bread(), &place(0, 1)).await.unwrap();
        match page.meta.freshness.state {
            PageState::OriginError => Ok(()),
            state => Err(state),
        }
    })
    .await;
    let reads = origin.reads();
    for _ in 0..200 {
        assert_eq!(page(&node, &bread(), &place(0, 24)).await.unwrap().count, 24);
    }
    // The first back-off is a second; two hundred reads take a fraction of it.
    assert!(origin.reads() <= reads + 1, "{} reads", origin.reads() - reads);
    // A listing that was never filled has nothing to serve.
    let cold = page(&node, &shop::name("category:COLD"), &place(0, 24)).await;
    assert!(matches!(cold, Err(EngineError::NothingYet { .. })), "{cold:?}");
    origin.failing.store(false, Ordering::SeqCst);
    eventually(async || page(&node, &shop::name("category:COLD"), &place(0, 24)).await.map(drop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_does_not_empty_the_shop() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    let node = engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    origin.items.lock().clear();
    let refused = node
        .writes
        .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
        .await;
    assert!(matches!(refused, Err(EngineError::RefreshFailed(_))), "{refused:?}");
    assert_eq!(page(&node, &bread(), &place(0, 24)).await.unwrap().meta.total, 30);
}

/// The sorts of a family hold the same items: one that is lost says nothing of the others' length.
#[tokio::test(flavor = "multi_thread")]
async fn a_sort_that_is_lost_while_the_table_is_truncated_empties_no_other_sort() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(60, 0));
    let two_sorts = || Definition {
        sorts: vec![shop::sort("price"), shop::sort("name")],
        ..definition(shop::policy())
    };
    let node = engine(&redis.url(), &origin, definitions(vec![two_sorts()])).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    let lost = redis.cli_lines(&["KEYS", "t:*:head:*/price"]);
    redis.cli(&["DEL", &lost[0]]);
    origin.items.lock().truncate(5);
    // It has no head in its memory.
    let node = engine(&redis.url(), &origin, definitions(vec![two_sorts()])).await;
    let missing = page(&node, &bread(), &place(0, 24)).await;
    assert!(matches!(missing, Err(EngineError::NothingYet { .. })), "{missing:?}");
    let by_name = Asked {
        sort: Some("name"),
        ..Asked::default()
    };
    let selection = node.pages.selector.select(&bread(), by_name).await.unwrap();
    let kept = shop::read(&node, &selection, &place(0, 24)).await.unwrap();
    assert_eq!(kept.meta.total, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_during_a_refresh_stays_deleted_until_the_next_read_fills_it_again() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    let node = engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await;
    page(&node, &bread(), &place(0, 24)).await.unwrap();
    let before = origin.reads();
    origin.shut();
    let refreshing = tokio::spawn({
        let node = node.clone();
        async move {
            node.writes
                .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
                .await
        }
    });
    eventually(async || match origin.reads() {
        reads if reads > before => Ok(()),
        reads => Err(reads),
    })
    .await;
    node.writes.delete(&bread(), None).await.unwrap();
    origin.open();
    // The refresh that was overtaken ends, and its generation is not the listing's.
    let overtaken = refreshing.await.unwrap().unwrap();
    let selection = select(&node, &bread(), Order::Asc).await.unwrap();
    let explained = node.inspector.explain(&selection).await.unwrap();
    assert_eq!(explained.state.as_str(), "deleted");
    let filled = page(&node, &bread(), &place(0, 24)).await.unwrap();
    assert!(filled.meta.generation.id > overtaken[0].generation.id);
    assert_eq!(origin.reads(), before + 2);
}

/// What a scanner of random names costs under a definition with `names`: nothing but a look at a set.
#[tokio::test(flavor = "multi_thread")]
async fn a_million_random_names_cause_no_read_of_the_origin() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 0));
    let node = engine(
        &redis.url(),
        &origin,
        definitions(vec![enumerated(definition(shop::policy()))]),
    )
    .await;
    page(&node, &shop::name("category:known7"), &place(0, 24))
        .await
        .unwrap();
    let (reads, commands) = (origin.reads(), commands_processed(&redis));
    let refused = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    // The memory is that of all tests which run meanwhile: the quietest round counts, for names that stay would stay in each.
    let mut growth = u64::MAX;
    for round in 0..5 {
        let rss_before = resident_bytes();
        let mut scanners = JoinSet::new();
        for scanner in 0..4 {
            let (node, refused) = (node.clone(), refused.clone());
            scanners.spawn(async move {
                for number in 0..50_000 {
                    let name = shop::name(&format!("category:{round}-{scanner}-{number}"));
                    match page(&node, &name, &place(0, 24)).await {
                        Err(EngineError::NotFound) => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other:?}"),
                    };
                }
            });
        }
        while let Some(scanner) = scanners.join_next().await {
            scanner.unwrap();
        }
        growth = growth.min(resident_bytes().saturating_sub(rss_before));
    }
    let took = started.elapsed();
    eprintln!("a million names in {took:?}, {} KiB more memory", growth / 1024);
    assert_eq!(refused.load(Ordering::Relaxed), 1_000_000);
    assert_eq!(origin.reads(), reads);
    // Heartbeats of the store and its subscriber go on; a name's share of commands is nil.
    let commands = commands_processed(&redis) - commands;
    assert!(commands < 50_000, "{commands} commands");
    assert!(growth < 8 << 20, "{growth} bytes");
}

fn commands_processed(redis: &RedisServer) -> u64 {
    let stats = redis.cli(&["INFO", "stats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.unwrap().trim().parse().unwrap()
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
