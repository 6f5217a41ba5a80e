//! Names that nothing tells of, under a definition that enumerates none: anybody can make them up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use listcache::{
    engine::{Engine, EngineError, EngineLimits, EngineParts},
    listing::{Definition, Field, Policy, pattern::NamePattern},
    origin::{Items, Origin, OriginError, OriginItem, Origins, Read, SortValue},
    telemetry::Metrics,
};
use tokio::task::JoinSet;

use crate::support::{
    RedisServer, eventually,
    shop::{self, definition, definitions, enumerated, items, page, place},
};

/// An origin that is slow, and has items of brands and of a few categories only.
#[derive(Default)]
struct Brands {
    reads: AtomicU64,
    at_once: AtomicU64,
    at_once_most: AtomicU64,
}

#[async_trait]
impl Origin for Brands {
    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let (parameter, value) = &read.defined.parameters[0];
        let is_made_up = &**parameter == "category" && value.starts_with("made-up");
        if is_made_up {
            let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_once_most.fetch_max(at_once, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if is_made_up {
            self.at_once.fetch_sub(1, Ordering::SeqCst);
        }
        let items = items(if is_made_up { 0 } else { 30 }, 0).into_iter();
        let items = items.enumerate().map(|(at, item)| OriginItem {
            item,
            id: SortValue::Integer(at as i64),
            keys: Box::default(),
        });
        Ok(stream::iter([Ok(items.collect())]).boxed())
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        Ok((0..8).map(|number| vec![format!("{number}")]).collect())
    }
}

/// A scanner of random names under a definition without `names`, far quicker than the origin: it takes its own places only, and
/// leaves nothing in Redis.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_hold_up_no_fill_of_a_known_one_and_leave_nothing_in_redis() {
    const SCANNERS: u64 = 3000;
    let redis = RedisServer::start();
    let origin = Arc::new(Brands::default());
    let mut origins = Origins::default();
    origins.insert("shop", origin.clone());
    let brands = Definition {
        pattern: NamePattern::parse("brand:{brand}").unwrap(),
        ..enumerated(definition(shop::policy()))
    };
    // With refreshes that are coalesced what was read is remembered too.
    let coalesced = Policy {
        coalesce_for: Duration::from_secs(1),
        ..shop::policy()
    };
    let limits = EngineLimits {
        refreshes_at_once: Some(4),
        fill_wait: Duration::from_secs(2),
        ..EngineLimits::default()
    };
    let node = Engine::start(EngineParts {
        cdns: Vec::new(),
        store: shop::store(&redis.url()).await,
        origins,
        definitions: definitions(vec![definition(coalesced), brands]),
        l1: shop::l1(),
        limits,
        metrics: Arc::new(Metrics::new()),
        refreshes_due: false,
    });
    let mut scanners = JoinSet::new();
    for number in 0..SCANNERS {
        let node = node.clone();
        scanners.spawn(async move {
            let name = shop::name(&format!("category:made-up-{number}"));
            page(&node, &name, &place(0, 24)).await.unwrap_err()
        });
    }
    eventually(async || match origin.reads.load(Ordering::SeqCst) {
        10.. => Ok(()),
        reads => Err(reads),
    })
    .await;
    // First fills of names that are enumerated.
    for brand in 0..8 {
        let name = shop::name(&format!("brand:{brand}"));
        assert_eq!(page(&node, &name, &place(0, 24)).await.unwrap().count, 24, "{name}");
    }
    assert!(!scanners.is_empty(), "the scan ended before");
    let mut not_found = 0;
    while let Some(answer) = scanners.join_next().await {
        match answer.unwrap() {
            EngineError::NotFound => not_found += 1,
            EngineError::NothingYet { .. } | EngineError::Overloaded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(not_found >= 10, "{not_found}");
    let at_once = origin.at_once_most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&at_once), "{at_once} of 4 places");
    let bread = page(&node, &shop::name("category:BREAD"), &place(0, 24)).await;
    assert_eq!(bread.unwrap().count, 24);
    // The last fills, which nobody waited for any more, may just be ending.
    eventually(async || match redis.cli_lines(&["--scan", "--pattern", "*made-up*"]) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
    for index in redis.cli_lines(&["--scan", "--pattern", "*:names"]) {
        let names = redis.cli(&["ZRANGE", &index, "0", "-1"]);
        assert!(!names.contains("made-up"), "{names}");
    }
}
