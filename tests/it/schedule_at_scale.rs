//! Thousands of listings with short lives, refreshed by two nodes when they are due: evenly, once a period, and none is lost
//! with a node.
//!
//! `make schedule` runs it with 10,000 listings for some minutes, `make test` with fewer.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use reqwest::{Client, StatusCode};

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    service::Service,
};

/// Due after this part of `fresh_for`, a tenth more or less.
const AHEAD: f64 = 0.9;
/// Refreshes a second that the listings' number and lives come to.
const RATE: f64 = 180.0;
/// Requests at once.
const READERS: usize = 16;

struct Scale {
    /// Listings that are read all the time.
    active: usize,
    /// Listings that are read once.
    idle: usize,
    fresh_for: Duration,
}

impl Scale {
    fn new() -> Self {
        let given = std::env::var("LISTINGS").ok().map(|listings| listings.parse().unwrap());
        let active = given.unwrap_or(1500);
        Self {
            active,
            idle: active / 10,
            fresh_for: Duration::from_millis((active as f64 / RATE / AHEAD * 1000.0) as u64),
        }
    }

    fn period(&self) -> Duration {
        self.fresh_for.mul_f64(AHEAD)
    }

    fn keep_for(&self) -> Duration {
        self.fresh_for * 3
    }
}

/// Every read of the origin: which listing, when.
type Reads = Arc<Mutex<Vec<(String, Instant)>>>;

/// Reads all active listings again and again, one after another at an even pace, each at one of the nodes; each answer must be a page that is not expired.
fn read_all_the_time(scale: &Scale, nodes: Vec<String>, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    let (active, pause) = (scale.active, Duration::from_secs(3));
    tokio::spawn(async move {
        let client = Client::new();
        let mut round = 0;
        while !stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            stream::iter(0..active)
                .for_each_concurrent(READERS, async |number| {
                    // Shoppers do not come all at once.
                    let turn = began + pause.mul_f64(number as f64 / active as f64);
                    tokio::time::sleep_until(turn.into()).await;
                    // Each listing at each node in turn.
                    let node = &nodes[(number + round) % nodes.len()];
                    let answer = client.get(format!("http://{node}/v1/listings/busy:{number}?size=1"));
                    // A node that is killed does not answer.
                    if let Ok(answer) = answer.send().await {
                        assert_eq!(answer.status(), StatusCode::OK, "{number}");
                    }
                })
                .await;
            round += 1;
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        }
    })
}

/// The most in any second, over the mean.
fn peak(times: &[Instant], from: Instant, until: Instant) -> f64 {
    let times: Vec<Instant> = times.iter().copied().filter(|at| (from..until).contains(at)).collect();
    let second = Duration::from_secs(1);
    let in_second = |start: usize| {
        times[start..]
            .iter()
            .take_while(|at| **at < times[start] + second)
            .count()
    };
    let most = (0..times.len()).map(in_second).max().unwrap_or(0);
    most as f64 / (times.len() as f64 / (until - from).as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures rates: `make test` runs it by itself"]
async fn thousands_of_short_lives_are_refreshed_evenly_once_a_period_and_none_is_lost_with_a_node() {
    let scale = Scale::new();
    let redis = RedisServer::start();
    let reads: Reads = Arc::default();
    let seen = reads.clone();
    let api = Api::start(move |request| {
        seen.lock().push((request.path.clone(), Instant::now()));
        ApiAnswer::json(format!(r#"[{{"id": {}, "price": 1}}]"#, request.number))
    });
    let listing = |name: &str| {
        format!(
            "[[listings]]\nname = '{name}:{{number}}'\norigin = 'shop'\nquery = 'GET /{name}/:number'\nsorts.price = {{ by = ['price'] }}\n"
        )
    };
    let seconds = |duration: Duration| format!("{}ms", duration.as_millis());
    let config = format!(
        "redis = {{ url = '{}', read_timeout = '1s' }}\ndefaults = {{ fresh_for = '{}', keep_for = '{}', idle_stop = '10s', refresh_ahead = {AHEAD}, pin_for = '1h' }}\n\
         [origins.shop]\nkind = 'http'\nurl = '{}'\npaging = 'none'\n{}{}",
        redis.url(),
        seconds(scale.fresh_for),
        seconds(scale.keep_for()),
        api.url,
        listing("busy"),
        listing("idle"),
    );
    let mut first = Service::start(&config);
    let second = Service::start(&config);
    let nodes = vec![first.address.clone(), second.address.clone()];

    // All filled, as fast as it goes.
    let client = Client::new();
    let paths = (0..scale.active).map(|number| format!("busy:{number}"));
    let paths: Vec<String> = paths
        .chain((0..scale.idle).map(|number| format!("idle:{number}")))
        .collect();
    stream::iter(&paths)
        .for_each_concurrent(READERS, async |path| {
            let answer = client
                .get(format!("http://{}/v1/listings/{path}", nodes[0]))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        })
        .await;
    let filled = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let reading = read_all_the_time(&scale, nodes, stop.clone());

    // Two periods later, and when nobody has read the idle ones for idle_stop and a flush of the counts.
    let settled = filled + (scale.period() * 2).max(Duration::from_secs(20));
    tokio::time::sleep_until(settled.into()).await;
    let measured = Instant::now() + scale.period() * 2;
    tokio::time::sleep_until(measured.into()).await;
    let shared = [&first, &second].map(refreshes_of);
    let shared = futures_util::future::join_all(shared).await;
    first.kill();
    let killed = Instant::now();
    // Until each was read since, or could not be served any more.
    while read_since(&reads, killed) < scale.active && killed.elapsed() < scale.keep_for() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::SeqCst);
    reading.await.unwrap();
    let ended = Instant::now();

    let reads = reads.lock().clone();
    let between = |from: Instant, until: Instant| reads.iter().filter(move |(_, at)| (from..until).contains(at));
    let rate = between(settled, measured).count() as f64 / (measured - settled).as_secs_f64();
    let times: Vec<Instant> = reads.iter().map(|(_, at)| *at).collect();
    let peak = peak(&times, settled, measured);
    let mut of: HashMap<&str, Vec<Instant>> = HashMap::new();
    for (path, at) in &reads {
        of.entry(path).or_default().push(*at);
    }
    let gaps = |from: Instant, until: Instant| {
        let mut gaps: Vec<Duration> = Vec::new();
        for times in of
            .iter()
            .filter(|(path, _)| path.starts_with("/busy/"))
            .map(|(_, times)| times)
        {
            let within = times.windows(2).filter(|pair| pair[0] >= from && pair[1] < until);
            gaps.extend(within.map(|pair| pair[1] - pair[0]));
        }
        (*gaps.iter().min().unwrap(), *gaps.iter().max().unwrap())
    };
    let (shortest, longest) = gaps(settled - scale.period(), measured);
    let (_, longest_with_loss) = gaps(settled - scale.period(), ended);
    let least_shared = shared.iter().cloned().fold(f64::MAX, f64::min) / shared.iter().sum::<f64>();
    eprintln!(
        "{} listings, period {:?}: {rate:.0} refreshes/s, peak {peak:.2} x the mean; a listing's refreshes {shortest:?} to {longest:?} apart, \
         with a node killed {longest_with_loss:?} at most; the lesser node did {:.0} %",
        scale.active,
        scale.period(),
        least_shared * 100.0
    );

    assert!(rate >= 150.0, "{rate:.0} refreshes a second");
    assert!(peak <= 1.5, "the peak is {peak:.2} times the mean");
    assert!(
        shortest >= scale.period().mul_f64(0.8),
        "twice within a period: {shortest:?}"
    );
    assert!(longest < scale.keep_for(), "too late: {longest:?}");
    let idle = between(settled, ended).find(|(path, _)| path.starts_with("/idle/"));
    assert_eq!(idle, None, "nobody reads it");
    assert!(least_shared >= 0.25, "the nodes share the work: {shared:?}");
    // None is lost with the node: each listing was read again since, and none later than keep_for.
    let lost = (0..scale.active).find(|number| of[&*format!("/busy/{number}")].last().unwrap() < &killed);
    assert_eq!(lost, None);
    assert!(longest_with_loss < scale.keep_for(), "too late: {longest_with_loss:?}");
}

/// How many active listings were read since then.
fn read_since(reads: &Reads, since: Instant) -> usize {
    let reads = reads.lock();
    let since = reads
        .iter()
        .filter(|(path, at)| *at >= since && path.starts_with("/busy/"));
    since.map(|(path, _)| path).collect::<HashSet<_>>().len()
}

/// How many refreshes a node has done.
async fn refreshes_of(node: &Service) -> f64 {
    let done = ["published", "unchanged"].map(|outcome| format!("listcache_refreshes_total{{outcome=\"{outcome}\""));
    node.metric(&done[0]).await + node.metric(&done[1]).await
}
