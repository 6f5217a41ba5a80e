//! Readers see one whole generation, and never an older one after they heard of a newer one.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use listcache::{
    config::L1Config,
    engine::{Engine, EngineError, Event, Place},
    listing::{ListingName, Order, Policy},
};
use tokio::task::JoinSet;

use crate::support::{
    RedisServer,
    shop::{
        self, ScriptedOrigin, definitions, engine, items, next_cursor, page, place, push, pushed_definitions, select,
        texts,
    },
};

const ITEMS: u64 = 57;

/// Follows `next` from the first page; the items seen, or the error that ended the walk.
async fn walk(engine: &Arc<Engine>, name: &ListingName, limit: u32, order: Order) -> Result<Vec<String>, EngineError> {
    let selection = select(engine, name, order).await?;
    let mut at = place(0, limit);
    let mut seen = Vec::new();
    loop {
        let page = shop::read(engine, &selection, &at).await?;
        seen.extend(texts(&page));
        tokio::task::yield_now().await;
        match next_cursor(&page) {
            Some(cursor) => at = Place::Cursor(cursor.encode(&selection.key)),
            None => return Ok(seen),
        }
    }
}

/// Asserts that a walk saw each position once, all of one revision.
#[track_caller]
fn check_walk(mut seen: Vec<String>, order: Order) {
    if order == Order::Desc {
        seen.reverse();
    }
    let revision = seen[0]
        .split("\"revision\":")
        .nth(1)
        .unwrap()
        .trim_end_matches('}')
        .parse()
        .unwrap();
    let expect: Vec<_> = items(ITEMS, revision)
        .iter()
        .map(|item| String::from_utf8(item.json.to_vec()).unwrap())
        .collect();
    assert_eq!(seen, expect);
}

/// Replaces a listing `times` times under walking readers; returns finished walks and walks ended by 410.
async fn replaced_under_walkers(pinned_bytes_max: u64, times: u64) -> (u64, u64, usize) {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(Vec::new());
    let policy = Policy {
        pinned_bytes_max,
        compress: false,
        ..shop::policy()
    };
    let definitions = || pushed_definitions(Vec::new(), policy.clone());
    let writer = engine(&redis.url(), &origin, definitions()).await;
    let reader = engine(&redis.url(), &origin, definitions()).await;
    let name = shop::name("pushed:live");
    push(&writer, &name, items(ITEMS, 0)).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (walks, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut walkers = JoinSet::new();
    for number in 0..16 {
        let (reader, name) = (reader.clone(), name.clone());
        let (stop, walks, gone) = (stop.clone(), walks.clone(), gone.clone());
        walkers.spawn(async move {
            let limit = [1, 5, 7, 12, 24][number % 5];
            let order = if number % 2 == 0 { Order::Asc } else { Order::Desc };
            while !stop.load(Ordering::SeqCst) {
                match walk(&reader, &name, limit, order).await {
                    Ok(seen) => {
                        check_walk(seen, order);
                        walks.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(EngineError::Gone) => {
                        gone.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => panic!("{error}"),
                }
                // A walk through L1 awaits nothing: without this the walkers would keep everybody else off the runtime.
                tokio::task::yield_now().await;
            }
        });
    }
    let mut streams_max = 0;
    for revision in 1..=times {
        push(&writer, &name, items(ITEMS, revision)).await.unwrap();
        if revision % 10 == 0 {
            let keys = redis.cli(&["--scan", "--pattern", "t:*:gen:*"]);
            streams_max = streams_max.max(keys.lines().count());
        }
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(walker) = walkers.join_next().await {
        walker.unwrap();
    }
    let counts = (walks.load(Ordering::SeqCst), gone.load(Ordering::SeqCst), streams_max);
    eprintln!(
        "{times} publishes, {} walks, {} ended by 410, at most {} streams",
        counts.0, counts.1, counts.2
    );
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_sees_one_generation_and_each_position_once_whatever_is_published() {
    let (walks, gone, _) = replaced_under_walkers(1 << 30, 900).await;
    assert!(walks > 100, "{walks} walks");
    assert_eq!(gone, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_bytes_pinned_late_walkers_get_410_and_streams_stay_few() {
    // A generation of 57 items is some 2,800 bytes.
    let (walks, gone, streams) = replaced_under_walkers(10_000, 1000).await;
    assert!(walks + gone > 100, "{walks} walks, {gone} gone");
    // Three pinned, the current one; and one being written when the keys were scanned is not: the writer is the scanner.
    assert!((3..=4).contains(&streams), "{streams} streams");
}

/// 100,000 races, or as many as `RACES` says, of a publish through one node against fills on another: once the other has applied the announcement,
/// it serves no older head. Without the fence in the head table some fills stick.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_announcement_is_applied_no_older_head_is_served() {
    const LISTINGS: u64 = 20;
    let races_each = std::env::var("RACES").map_or(100_000, |races| races.parse().unwrap()) / LISTINGS;
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(Vec::new());
    let writer = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    // Heads expire at once, so nearly every read is a fill that races with the publish.
    let short = L1Config {
        ttl: Duration::from_millis(3),
        ..shop::l1()
    };
    let reader = shop::engine_with(&redis.url(), &origin, definitions(Vec::new()), short).await;
    let mut races = JoinSet::new();
    for number in 0..LISTINGS {
        let (writer, reader) = (writer.clone(), reader.clone());
        races.spawn(async move {
            let name = shop::name(&format!("pushed:{number}"));
            push(&writer, &name, items(1, 0)).await.unwrap();
            let mut follower = reader.inspector.follow(&name, None).await.unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let filling = tokio::spawn({
                let (reader, name, stop) = (reader.clone(), name.clone(), stop.clone());
                async move {
                    while !stop.load(Ordering::SeqCst) {
                        page(&reader, &name, &place(0, 1)).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
            });
            let mut stale = 0;
            for revision in 1..=races_each {
                let published = push(&writer, &name, items(1, revision)).await.unwrap();
                // The event follows the announcement's application to L1.
                loop {
                    match follower.next().await.expect("the follower keeps up") {
                        Event::Published { generation, .. } if generation == published => break,
                        _ => {}
                    }
                }
                let served = page(&reader, &name, &place(0, 1)).await.unwrap();
                stale += u64::from(served.meta.generation.id < published.id);
            }
            stop.store(true, Ordering::SeqCst);
            filling.await.unwrap();
            stale
        });
    }
    let mut stale = 0;
    while let Some(race) = races.join_next().await {
        stale += race.unwrap();
    }
    assert_eq!(stale, 0, "of {} races", LISTINGS * races_each);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_takes_pins_with_it_on_every_node() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(Vec::new());
    let here = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    let there = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    let name = shop::name("pushed:gone");
    push(&here, &name, items(30, 0)).await.unwrap();
    let selection = select(&here, &name, Order::Asc).await.unwrap();
    let first = page(&here, &name, &place(0, 12)).await.unwrap();
    let pinned = Place::Cursor(next_cursor(&first).unwrap().encode(&selection.key));
    for node in [&here, &there] {
        shop::read(node, &selection, &pinned).await.unwrap();
    }
    here.writes.delete(&name, None).await.unwrap();
    let gone = shop::read(&here, &selection, &pinned).await;
    assert!(matches!(gone, Err(EngineError::Gone)), "{gone:?}");
    crate::support::eventually(async || match shop::read(&there, &selection, &pinned).await {
        Err(EngineError::Gone) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // What comes after it has pins of its own.
    push(&here, &name, items(30, 1)).await.unwrap();
    let gone = shop::read(&here, &selection, &pinned).await;
    assert!(matches!(gone, Err(EngineError::Gone)), "{gone:?}");
    let again = page(&here, &name, &place(0, 12)).await.unwrap();
    let pinned = Place::Offset {
        offset: 12,
        limit: NonZeroU32::new(12).unwrap(),
        pinned: Some(again.meta.generation),
    };
    assert_eq!(shop::read(&there, &selection, &pinned).await.unwrap().count, 12);
}
