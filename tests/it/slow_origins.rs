//! An origin that takes its time in the middle of a read.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use listcache::{
    engine::{Engine, EngineLimits, EngineParts, Shrink},
    listing::Field,
    origin::{Items, Origin, OriginError, OriginItem, Origins, Read, SortValue},
    telemetry::Metrics,
};
use tokio::sync::Notify;

use crate::support::{
    RedisServer, eventually,
    shop::{self, bread, definition, definitions, items},
};

/// An origin that pauses after its first items.
#[derive(Clone, Default)]
struct Pausing {
    go_on: Arc<Notify>,
}

#[async_trait]
impl Origin for Pausing {
    async fn read(&self, _: Read) -> Result<Items, OriginError> {
        let items = items(10_000, 0).into_iter().enumerate().map(|(at, item)| OriginItem {
            item,
            id: SortValue::Integer(at as i64),
            keys: Box::default(),
        });
        let go_on = self.go_on.clone();
        let end = async move {
            go_on.notified().await;
            Ok(Vec::new())
        };
        Ok(stream::iter([Ok(items.collect())]).chain(stream::once(end)).boxed())
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        Ok(Vec::new())
    }
}

/// What is not published yet has a short life in Redis, and an origin may take its time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_kept_while_the_origin_pauses() {
    let redis = RedisServer::start();
    let origin = Pausing::default();
    let mut origins = Origins::default();
    origins.insert("shop", Arc::new(origin.clone()));
    let node = Engine::start(EngineParts {
        cdns: Vec::new(),
        store: shop::store(&redis.url()).await,
        origins,
        definitions: definitions(vec![definition(shop::policy())]),
        l1: shop::l1(),
        limits: EngineLimits::default(),
        metrics: Arc::new(Metrics::new()),
        refreshes_due: false,
    });
    let refresh = tokio::spawn(async move {
        node.writes
            .refresh_and_wait(&bread(), &Default::default(), None, Shrink::Refused)
            .await
    });
    let mut least = i64::MAX;
    eventually(async || {
        let stream = redis.cli(&["--scan", "--pattern", "*:gen:*"]);
        let left: i64 = redis.cli(&["PTTL", &stream]).parse().unwrap();
        if left > 0 {
            least = least.min(left);
        }
        match left > least.saturating_add(5000) {
            true => Ok(()),
            false => Err((left, least)),
        }
    })
    .await;
    origin.go_on.notify_one();
    refresh.await.unwrap().unwrap();
}
