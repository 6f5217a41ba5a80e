//! What tells the services that something has changed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    sync::{
        Semaphore,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    task::{JoinHandle, JoinSet},
};

use super::{
    super::service::{Service, json_of},
    FEED_AT_ONCE, NODES, Shop,
    ledger::now,
    setup::WAITED_FOR,
};

/// Between two refreshes that are waited for.
const WAIT_EVERY: Duration = Duration::from_millis(100);

/// Changes that were committed together.
pub struct Told {
    pub listings: BTreeSet<usize>,
    pub products: BTreeSet<i64>,
    pub committed: u64,
}

/// What tells the services that something has changed.
pub struct Feed {
    told: UnboundedSender<Told>,
    /// How long after the commit each request was accepted, in microseconds.
    accepted_after: Arc<Mutex<Vec<u64>>>,
    work: JoinHandle<()>,
}

impl Feed {
    /// Asks for refreshes, of each node in turn, as a feed does that knows nothing of any other request.
    pub fn refreshes(shop: &Shop) -> Self {
        let (told, mut batches) = unbounded_channel::<Told>();
        let (nodes, paths) = (shop.nodes.clone(), shop.paths.clone());
        let accepted_after: Arc<Mutex<Vec<u64>>> = Arc::default();
        let times = accepted_after.clone();
        let work = tokio::spawn(async move {
            let at_once = Arc::new(Semaphore::new(FEED_AT_ONCE));
            let mut requests = JoinSet::new();
            let mut turn = 0;
            while let Some(Told {
                listings, committed, ..
            }) = batches.recv().await
            {
                for listing in listings {
                    turn += 1;
                    let post = nodes[turn % NODES].admin(Method::POST, &format!("{}/refresh", paths[listing]));
                    let permit = at_once.clone().acquire_owned().await.unwrap();
                    let times = times.clone();
                    requests.spawn(async move {
                        let accepted = post.send().await.unwrap();
                        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
                        times.lock().push(now() - committed);
                        drop(permit);
                    });
                    while let Some(ended) = requests.try_join_next() {
                        ended.unwrap();
                    }
                }
            }
            requests.join_all().await;
        });
        Self {
            told,
            accepted_after,
            work,
        }
    }

    /// Tells which products have changed, of each node in turn.
    pub fn changes(shop: &Shop) -> Self {
        let (told, mut batches) = unbounded_channel::<Told>();
        let nodes = shop.nodes.clone();
        let accepted_after: Arc<Mutex<Vec<u64>>> = Arc::default();
        let times = accepted_after.clone();
        let work = tokio::spawn(async move {
            let mut last = None;
            let mut turn = 0;
            while let Some(Told {
                products, committed, ..
            }) = batches.recv().await
            {
                turn += 1;
                let changes: Vec<Value> = products.iter().map(|id| json!({ "id": id })).collect();
                let post = nodes[turn % NODES].admin(Method::POST, "/v1/changes").json(&changes);
                let accepted = post.send().await.unwrap();
                assert_eq!(accepted.status(), StatusCode::ACCEPTED);
                times.lock().push(now() - committed);
                last = Some(accepted.json::<Value>().await.unwrap());
            }
            // The last changes are worked off too.
            while let Some(Value::String(token)) = last.as_ref().map(|last| &last["change"]) {
                let outcome: Value =
                    json_of(nodes[0].admin(Method::GET, &format!("/v1/changes/{token}?wait=true"))).await;
                assert_eq!(outcome["failed"], json!({}));
                if outcome["state"] == "done" {
                    break;
                }
            }
        });
        Self {
            told,
            accepted_after,
            work,
        }
    }

    /// Deletes all listings as soon as it hears of a change, and then only after a while again.
    pub fn flushes(shop: &Shop) -> Self {
        let (told, mut batches) = unbounded_channel::<Told>();
        let (node, paths, pause) = (shop.nodes[0].clone(), shop.paths.clone(), shop.replay.coalesce_for);
        let work = tokio::spawn(async move {
            let at_once = Arc::new(Semaphore::new(FEED_AT_ONCE));
            while batches.recv().await.is_some() {
                let next = tokio::time::Instant::now() + pause;
                let mut requests = JoinSet::new();
                // What has changed until here is not shown from here on.
                while batches.try_recv().is_ok() {}
                for path in &*paths {
                    let (at_once, delete) = (at_once.clone(), node.admin(Method::DELETE, path));
                    requests.spawn(async move {
                        let _permit = at_once.acquire().await.unwrap();
                        assert_eq!(delete.send().await.unwrap().status(), StatusCode::NO_CONTENT);
                    });
                }
                requests.join_all().await;
                tokio::time::sleep_until(next).await;
            }
        });
        Self {
            told,
            accepted_after: Arc::default(),
            work,
        }
    }

    pub fn tell(&mut self, told: Told) {
        // Its work has ended only if it has failed, which `end` tells.
        let _ = self.told.send(told);
    }

    /// Waits until all is told; how long after its commit each was accepted.
    pub async fn end(self) -> Vec<u64> {
        drop(self.told);
        self.work.await.unwrap();
        std::mem::take(&mut *self.accepted_after.lock())
    }
}

/// Refreshes one of the listings that are not coalesced after the other, and waits for each. They are those that changes are
/// of, each as often.
pub async fn wait_for_refreshes(
    node: Arc<Service>,
    paths: Arc<Vec<String>>,
    changed: Vec<usize>,
    stop: Arc<AtomicBool>,
) -> Vec<u64> {
    let mut waits = Vec::new();
    let paths: Vec<String> = paths.iter().map(|path| waited_for(path)).collect();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(WAIT_EVERY).await;
        let path = &paths[changed[fastrand::usize(..changed.len())]];
        let begun = Instant::now();
        let post = node.admin(Method::POST, &format!("{path}/refresh?wait=true"));
        assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
        waits.push(begun.elapsed().as_micros() as u64);
    }
    waits
}

/// Refreshes all listings that are not coalesced at once, and waits for each: how long each took from then on.
pub async fn refresh_all(nodes: &[Arc<Service>], paths: &[String]) -> Vec<u64> {
    let begun = Instant::now();
    let mut requests = JoinSet::new();
    for (turn, path) in paths.iter().enumerate() {
        let post = nodes[turn % NODES].admin(Method::POST, &format!("{}/refresh?wait=true", waited_for(path)));
        requests.spawn(async move {
            assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
            begun.elapsed().as_micros() as u64
        });
    }
    requests.join_all().await
}

fn waited_for(path: &str) -> String {
    path.replace("category:", WAITED_FOR)
}
