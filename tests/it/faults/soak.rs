//! Three nodes round a Redis in which something goes wrong every few seconds, for an hour: walkers check every item that they
//! are shown, and after each fault the checkers of the nodes find nothing more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use reqwest::Method;
use serde_json::{Value, json};

use super::histories::lagging_replica;
use crate::support::{
    Proxy, RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::Service,
};

const NODES: usize = 3;
const PUSHED: usize = 6;
const CATEGORIES: usize = 6;
const WALKERS: usize = 6;
const ITEMS: usize = 60;
/// After a fault is over nodes may disagree with Redis for so long.
const MENDED: Duration = Duration::from_secs(3);
/// Longer than a checker takes to make up its mind.
const LOOKED: Duration = Duration::from_secs(2);

/// What walkers have seen.
#[derive(Debug, Default)]
struct Seen {
    walks: AtomicU64,
    pages: AtomicU64,
    /// Walks that ended early, by the status that ended them.
    ended: Mutex<BTreeMap<u16, u64>>,
    wrong: Mutex<Vec<String>>,
}

struct Setting {
    nodes: Vec<RwLock<Arc<Service>>>,
    proxies: Vec<Proxy>,
    configs: Vec<String>,
    stop: AtomicBool,
    seen: Seen,
    revision: Arc<AtomicU64>,
    random: Mutex<fastrand::Rng>,
}

impl Setting {
    fn node(&self, at: usize) -> Arc<Service> {
        self.nodes[at].read().clone()
    }

    fn below(&self, most: usize) -> usize {
        self.random.lock().usize(..most)
    }

    fn some_node(&self) -> Arc<Service> {
        self.node(self.below(NODES))
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    async fn inconsistent(&self) -> f64 {
        let mut sum = 0.0;
        for at in 0..NODES {
            sum += self.node(at).metric("listcache_l1_inconsistent_total").await;
        }
        sum
    }
}

fn items(listing: &str, revision: u64) -> Value {
    (0..ITEMS)
        .map(|id| json!({"id": id, "listing": listing, "revision": revision}))
        .collect()
}

fn config(redis: &str, api: &str) -> String {
    let names: Vec<String> = (0..CATEGORIES).map(|at| at.to_string()).collect();
    format!(
        r#"
        [redis]
        url = "{redis}"

        [defaults]
        fresh_for = "5s"
        refresh_ahead = 0.5

        [origins.shop]
        kind = "http"
        url = "{api}"
        paging = "none"

        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        names = {names:?}
        query = "GET /categories/:category"
        [listings.sorts]
        number = {{ by = ["id"], desc = false }}

        [pushed]
        names = ["promo:*"]
        "#
    )
}

/// From the first page to the last by its links, each page from any node.
async fn walk(setting: &Setting, listing: &str) {
    let size = 1 + setting.below(40);
    let mut path = format!("/v1/listings/{listing}?size={size}");
    let mut walked = 0;
    let mut whole: Option<(Value, Value)> = None;
    loop {
        let answer = setting.some_node().request(Method::GET, &path).send().await;
        let (status, page) = match answer {
            Ok(answer) => (
                answer.status().as_u16(),
                answer.json::<Value>().await.unwrap_or_default(),
            ),
            // The node was killed.
            Err(_) => (0, Value::Null),
        };
        if status != 200 {
            *setting.seen.ended.lock().entry(status).or_default() += 1;
            return;
        }
        setting.seen.pages.fetch_add(1, Ordering::Relaxed);
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let revision = items.first().map_or(Value::Null, |item| item["revision"].clone());
        let this = (page["generation"].clone(), revision);
        let expected = whole.get_or_insert_with(|| this.clone());
        let right = *expected == this
            && page["total"] == ITEMS
            && items.len() == size.min(ITEMS - walked)
            && (walked..)
                .zip(&items)
                .all(|(at, item)| item["id"] == at && item["listing"] == listing && item["revision"] == expected.1);
        if !right {
            let told = format!("{path} at {walked}, began as {expected:?}: {page}");
            return setting.seen.wrong.lock().push(told);
        }
        walked += items.len();
        match page["links"]["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    if walked == ITEMS {
        setting.seen.walks.fetch_add(1, Ordering::Relaxed);
    } else {
        setting.seen.wrong.lock().push(format!("{path}: {walked} items"));
    }
}

async fn walk_on(setting: Arc<Setting>) {
    while setting.goes_on() {
        let listing = match setting.below(2) {
            0 => format!("promo:{}", setting.below(PUSHED)),
            _ => format!("category:{}", setting.below(CATEGORIES)),
        };
        walk(&setting, &listing).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pushes all the time, through any node; what is refused is pushed again soon.
async fn push_on(setting: Arc<Setting>) {
    while setting.goes_on() {
        let listing = format!("promo:{}", setting.below(PUSHED));
        let revision = setting.revision.fetch_add(1, Ordering::SeqCst);
        let put = setting
            .some_node()
            .admin(Method::PUT, &format!("/v1/listings/{listing}"));
        let _ = put.json(&items(&listing, revision)).send().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Brings a fault about, and ends it. Says which it was.
async fn one_fault(setting: &Setting, redis: &mut RedisServer) -> &'static str {
    let at = setting.below(NODES);
    let short = Duration::from_millis(100 + setting.below(2900) as u64);
    let proxy = &setting.proxies[at];
    match setting.below(14) {
        0 => {
            proxy.cut();
            "connections cut"
        }
        1 => {
            redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            "subscriptions killed"
        }
        2 => {
            redis.cli(&["CLIENT", "PAUSE", "1000", "ALL"]);
            tokio::time::sleep(Duration::from_secs(1)).await;
            "clients paused"
        }
        3 => {
            redis.pause();
            tokio::time::sleep(short).await;
            redis.resume();
            "redis stopped and continued"
        }
        4 => {
            redis.kill();
            tokio::time::sleep(short).await;
            redis.restart_empty();
            "redis killed, and another begun without data"
        }
        5 => {
            redis.cli(&["FLUSHALL"]);
            "flushed"
        }
        6 => {
            let node = setting.node(at);
            node.stop();
            tokio::time::sleep(short * 2).await;
            node.cont();
            "a node stopped and continued"
        }
        7 => {
            setting.node(at).kill_under_load();
            let config = setting.configs[at].clone();
            let begun = tokio::task::spawn_blocking(move || Service::start(&config));
            *setting.nodes[at].write() = Arc::new(begun.await.unwrap());
            "a node killed, and another begun"
        }
        8 => {
            proxy.hold();
            tokio::time::sleep(short).await;
            proxy.release();
            "connections held"
        }
        9 => {
            proxy.mute(true);
            tokio::time::sleep(short).await;
            proxy.mute(false);
            "replies held"
        }
        10 => {
            proxy.silence();
            "connections forgotten half-way"
        }
        11 => {
            proxy.delay(Duration::from_millis(30));
            tokio::time::sleep(short).await;
            proxy.delay(Duration::ZERO);
            "redis slow"
        }
        12 => {
            proxy.lose_reply_of("EVALSHA");
            "the reply to a script lost"
        }
        _ => {
            let replica = lagging_replica(redis).await;
            // What is written meanwhile the replica does not know.
            tokio::time::sleep(Duration::from_millis(300)).await;
            for proxy in &setting.proxies {
                proxy.redirect(&replica.url());
            }
            *redis = replica;
            "a replica promoted that lagged"
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes an hour: `make soak`"]
async fn soak() {
    let lasting = std::env::var("SOAK_SECONDS").map_or(3600, |seconds| seconds.parse().unwrap());
    let seed = std::env::var("SOAK_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("{lasting} s, SOAK_SEED={seed}");
    let mut redis = RedisServer::start_tcp();
    let revision = Arc::new(AtomicU64::new(1));
    let api = Api::start({
        let revision = revision.clone();
        move |request| {
            let listing = request.path.replace("/categories/", "category:");
            ApiAnswer::json(items(&listing, revision.fetch_add(1, Ordering::SeqCst)).to_string())
        }
    });
    let proxies: Vec<Proxy> = (0..NODES).map(|_| Proxy::start(&redis.url())).collect();
    let configs: Vec<String> = proxies.iter().map(|proxy| config(&proxy.url(), &api.url)).collect();
    let nodes = configs
        .iter()
        .map(|config| RwLock::new(Arc::new(Service::start(config))));
    let setting = Arc::new(Setting {
        nodes: nodes.collect(),
        proxies,
        configs,
        stop: AtomicBool::new(false),
        seen: Seen::default(),
        revision,
        random: Mutex::new(fastrand::Rng::with_seed(seed)),
    });
    let mut work: Vec<_> = (0..WALKERS).map(|_| tokio::spawn(walk_on(setting.clone()))).collect();
    work.push(tokio::spawn(push_on(setting.clone())));

    let began = Instant::now();
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unmended = Vec::new();
    while began.elapsed() < Duration::from_secs(lasting) {
        let fault = one_fault(&setting, &mut redis).await;
        *faults.entry(fault).or_default() += 1;
        tokio::time::sleep(MENDED).await;
        let before = setting.inconsistent().await;
        tokio::time::sleep(LOOKED).await;
        let after = setting.inconsistent().await;
        if after > before {
            unmended.push(format!("{fault}: {} more", after - before));
        }
        // And all goes on, on every node.
        for at in 0..NODES {
            let path = format!("/v1/listings/category:{}", setting.below(CATEGORIES));
            eventually(async || {
                let page = super::get(&setting.node(at), &path).await;
                (page.status == 200).then_some(()).ok_or((fault, page))
            })
            .await;
        }
    }
    setting.stop.store(true, Ordering::SeqCst);
    for work in work {
        work.await.unwrap();
    }
    let Seen {
        walks,
        pages,
        ended,
        wrong,
    } = &setting.seen;
    let (walks, pages) = (walks.load(Ordering::SeqCst), pages.load(Ordering::SeqCst));
    let inconsistent = setting.inconsistent().await;
    let ended = ended.lock().clone();
    let memory: Vec<u64> = (0..NODES).map(|at| setting.node(at).resident_bytes() >> 20).collect();
    eprintln!(
        "{:?}: {pages} pages, {walks} walks to the end, ended early by status (0: the node died) {:?}; {} faults: {faults:?}; found inconsistent {}; {memory:?} MiB",
        began.elapsed(),
        ended,
        faults.values().sum::<u64>(),
        inconsistent,
    );
    assert_eq!(*wrong.lock(), Vec::<String>::new());
    assert_eq!(unmended, Vec::<String>::new());
    assert!(walks > lasting, "{walks} walks");
    for at in 0..NODES {
        assert!(
            !setting.node(at).log().contains("panicked"),
            "{}",
            setting.node(at).log()
        );
    }
}
