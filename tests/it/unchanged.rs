//! Unchanged is cheap: what the origin still has lives on under its generation; a changed definition is never "unchanged".

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use listcache::{
    engine::{
        Engine, EngineError, Refreshed, Shrink,
        warm_up::{Effort, Step, Target},
    },
    listing::{Definition, Family, Generation, Policy, definition::Resolved},
};
use reqwest::Method;
use tokio_util::sync::CancellationToken;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop, json_of},
    shop::{self, ScriptedOrigin, bread, definition, definitions, items, page, place, sort},
};

/// Sorted in one read for both sorts, or in the origin's order where there is one sort.
fn sorted(sorts: &[&str]) -> Definition {
    Definition {
        sorts: sorts.iter().map(|name| sort(name)).collect(),
        ..definition(shop::policy())
    }
}

async fn node(redis: &RedisServer, origin: &Arc<ScriptedOrigin>, defined: Definition) -> Arc<Engine> {
    shop::engine(&redis.url(), origin, definitions(vec![defined])).await
}

async fn current(node: &Arc<Engine>) -> (Generation, u32) {
    let page = page(node, &bread(), &place(0, 5)).await.unwrap();
    (page.meta.generation, page.meta.chunk_len.get())
}

/// What Redis holds of it: streams, and entries of all logs.
fn held(redis: &RedisServer) -> (usize, u64) {
    let streams = redis.cli_lines(&["KEYS", "t:*:gen:*"]).len();
    let logs = redis.cli_lines(&["KEYS", "t:*:log"]);
    let entries = logs.iter().map(|log| redis.cli(&["XLEN", log]).parse::<u64>().unwrap());
    (streams, entries.sum())
}

/// How old the listing is by Redis's clock, in milliseconds.
async fn as_of(redis: &RedisServer) -> u64 {
    let head = redis.cli_lines(&["KEYS", "t:*:head:category:BREAD/price"]);
    redis.cli(&["HGET", &head[0], "as_of"]).parse().unwrap()
}

/// How far a node on a busy machine may be from knowing Redis's time, in milliseconds.
const CLOCK_OFF_BY: u64 = 20;

/// Reads the origin again, once Redis's clock has left the millisecond in which it was read last: what was read in the
/// millisecond of the request is new enough.
pub(crate) async fn reread(redis: &RedisServer, node: &Arc<Engine>) -> Result<Vec<Refreshed>, EngineError> {
    let read_at = as_of(redis).await;
    eventually(async || {
        let time = redis.cli_lines(&["TIME"]);
        let [seconds, micros] = [0, 1].map(|at| time[at].parse::<u64>().unwrap());
        if seconds * 1000 + micros / 1000 > read_at + CLOCK_OFF_BY {
            Ok(())
        } else {
            Err(time)
        }
    })
    .await;
    let Resolved::Defined(defined) = node.declaration.resolve(&bread()) else {
        panic!("it is defined");
    };
    let family = defined.default_family(&bread());
    let targets = vec![Target { defined, family }];
    let effort = Effort {
        concurrency: NonZeroU32::MIN,
        rate: None,
        origin_latency_max: None,
        shrink: Shrink::Refused,
        skip_fresh: false,
        stop_at: None,
    };
    let mut read = Ok(Vec::new());
    let tell = &mut |_: &_, step: &Step| match step {
        Step::Refreshed { listings, .. } => read = Ok(listings.clone()),
        Step::Failed(error) => read = Err(error.clone()),
        step => panic!("{step:?}"),
    };
    let stop = CancellationToken::new();
    node.warm_ups.run(None, targets, &effort, &stop, tell).await;
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_keeps_its_generation_and_begins_its_age_anew() {
    for sorts in [&["price"][..], &["price", "name"][..]] {
        let redis = RedisServer::start();
        let origin = ScriptedOrigin::new(items(30, 1));
        let node = node(&redis, &origin, sorted(sorts)).await;
        let (first, _) = current(&node).await;
        let (before, read_at) = (held(&redis), as_of(&redis).await);

        let refreshed = reread(&redis, &node).await.unwrap();
        assert_eq!(refreshed.len(), sorts.len());
        assert_eq!(current(&node).await.0, first);
        assert_eq!(origin.reads(), 2);
        assert_eq!(held(&redis), before, "nothing written, nobody told");
        assert!(as_of(&redis).await > read_at);

        *origin.items.lock() = items(30, 2);
        reread(&redis, &node).await.unwrap();
        assert!(current(&node).await.0.id > first.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_is_not_even_read() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let node = node(&redis, &origin, sorted(&["price", "name"])).await;
    let (first, _) = current(&node).await;
    let read_at = as_of(&redis).await;
    reread(&redis, &node).await.unwrap();
    assert_eq!((origin.reads(), current(&node).await.0), (1, first));
    assert!(as_of(&redis).await > read_at);

    // Another version of the same items: read once, recognised, and known by the new version from then on.
    *origin.version.lock() = Some("tuesday".to_owned());
    reread(&redis, &node).await.unwrap();
    assert_eq!((origin.reads(), current(&node).await.0), (2, first));
    reread(&redis, &node).await.unwrap();
    assert_eq!(origin.reads(), 2);

    // An origin that cannot be asked has not said that nothing changed.
    origin.failing.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(
        reread(&redis, &node).await,
        Err(EngineError::RefreshFailed(_))
    ));
}

/// A version by `max(updated_at)` does not tell of a deletion.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_stays_the_same_is_believed_for_some_periods_only() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let policy = Policy {
        fresh_for: Duration::from_secs(1),
        version_trust: 3,
        ..shop::policy()
    };
    let node = node(&redis, &origin, definition(policy)).await;
    current(&node).await;
    origin.items.lock().pop();
    let mut believed = 0;
    for (reads, total) in [(2, 29), (3, 29)] {
        eventually(async || {
            reread(&redis, &node).await.unwrap();
            believed += usize::from(origin.reads() < reads);
            match origin.reads() == reads {
                true => Ok(()),
                false => Err(origin.reads()),
            }
        })
        .await;
        assert_eq!(page(&node, &bread(), &place(0, 5)).await.unwrap().meta.total, total);
        // The age of what was read, and not only said to be the same, begins anew: the next one is believed.
        reread(&redis, &node).await.unwrap();
        assert_eq!(origin.reads(), reads);
    }
    assert!(believed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_read_whatever_its_version_says_and_whoever_reads_it() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let policy = Policy {
        fresh_for: Duration::from_millis(500),
        coalesce_for: Duration::from_millis(100),
        version_trust: 1000,
        ..shop::policy()
    };
    let node = node(&redis, &origin, definition(policy.clone())).await;
    let total = async || page(&node, &bread(), &place(0, 5)).await.unwrap().meta.total;
    let becomes = async |expect: u64| {
        eventually(async || match total().await {
            total if total == expect => Ok(()),
            total => Err(total),
        })
        .await;
    };
    assert_eq!(total().await, 30);
    origin.items.lock().pop();
    node.writes
        .refresh(&bread(), &Default::default(), None, Shrink::Refused)
        .await
        .unwrap();
    becomes(29).await;
    // Asked of a node that dies: this one reads it because it is stale.
    origin.items.lock().pop();
    let other = shop::store(&redis.url()).await;
    other
        .coalesced
        .ask(&[Family::plain(bread())], policy.coalesce_for)
        .await
        .unwrap();
    becomes(28).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_query_of_the_manual_tells_of_a_deletion() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let query = "version_query = \"select count(*), max(price_cents), sum(id) from products where category = :category\"\n[listings.sorts]";
    let config = shop.config(&redis.url(), "[defaults]\nversion_trust = 1000\n");
    let (before, short) = config.split_at(config.find("name = \"short:").unwrap());
    let service = Service::start(&format!("{before}{}", short.replace("[listings.sorts]", query)));
    let total = async || json_of(service.request(Method::GET, "/v1/listings/short:BREAD")).await["total"].clone();
    assert_eq!(total().await, 31);
    let unchanged = "listcache_refreshes_total{outcome=\"unchanged\"";
    eventually(async || {
        assert_eq!(total().await, 31);
        match service.metric(unchanged).await {
            0.0 => Err(service.log()),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(service.metric("listcache_origin_reads_total").await, 1.0);
    // Not the newest.
    shop.sql("delete from products where id = 15").await;
    eventually(async || match total().await {
        total if total == 30 => Ok(()),
        total => Err(total),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_demanded_gives_a_new_generation() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let node = node(&redis, &origin, sorted(&["price"])).await;
    let (first, _) = current(&node).await;
    let refreshed = node
        .writes
        .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
        .await
        .unwrap();
    assert!(refreshed[0].generation.id > first.id);
    assert_eq!(origin.reads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_with_its_stream_is_not_unchanged() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let node = node(&redis, &origin, sorted(&["price", "name"])).await;
    let (first, _) = current(&node).await;
    let streams = redis.cli_lines(&["KEYS", "t:*:gen:*/name"]);
    redis.cli(&["DEL", &streams[0]]);
    let refreshed = reread(&redis, &node).await.unwrap();
    assert_eq!(refreshed.len(), 2);
    assert_eq!(origin.reads(), 2);
    // The sort that was whole lives on, the lost one is a new generation.
    assert_eq!(current(&node).await.0, first);
    assert_eq!(held(&redis).0, 2);
}

fn edition(definition_version: u32, chunk_len: u32) -> Definition {
    definition(Policy {
        chunk_len: NonZeroU32::new(chunk_len).unwrap(),
        definition_version,
        fresh_for: Duration::from_secs(1),
        ..shop::policy()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_is_never_unchanged() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    *origin.version.lock() = Some("monday".to_owned());
    let old = node(&redis, &origin, edition(0, 12)).await;
    assert_eq!(current(&old).await.1, 12);
    let new = node(&redis, &origin, edition(0, 24)).await;
    reread(&redis, &new).await.unwrap();
    assert_eq!((origin.reads(), current(&new).await.1), (2, 24));
}

/// Two releases side by side, both read all the time: the shape changes once, to the newer one's.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_older_definition_serves_and_leaves_the_listing_as_it_is() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(30, 1));
    let old = node(&redis, &origin, edition(1, 12)).await;
    assert_eq!(current(&old).await.1, 12);
    let new = node(&redis, &origin, edition(2, 24)).await;
    let began = std::time::Instant::now();
    let head = redis.cli_lines(&["KEYS", "t:*:head:category:BREAD/price"]);
    let (mut shapes, mut revision) = (Vec::new(), 1);
    while began.elapsed() < Duration::from_secs(60) {
        for node in [&old, &new] {
            current(node).await;
        }
        // Fresh for a second: some sixty refreshes.
        tokio::time::sleep(Duration::from_millis(50)).await;
        shapes.push(redis.cli(&["HGET", &head[0], "chunk_len"]));
        revision += 1;
        *origin.items.lock() = items(30, revision);
    }
    shapes.dedup();
    assert!(shapes.ends_with(&["24".to_owned()]), "{shapes:?}");
    assert!(shapes.len() <= 2, "back and forth: {shapes:?}");
    assert_eq!(current(&old).await.1, 24);
    let refused = old
        .writes
        .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("definition_version"), "{refused}");
    assert_eq!(current(&old).await.1, 24);
}
