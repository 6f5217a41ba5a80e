//! An origin that becomes slow under load is given room.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use super::*;

const IDLE: Duration = Duration::from_millis(100);
const CATEGORIES: usize = 300;

/// An origin whose latency rises with how many requests it has at once; what it made each wait.
struct Loaded {
    shop: Shop,
    latencies: Arc<Mutex<Vec<Duration>>>,
}

impl Loaded {
    fn start() -> Self {
        let latencies: Arc<Mutex<Vec<Duration>>> = Arc::default();
        let ends: Arc<Mutex<Vec<std::time::Instant>>> = Arc::default();
        let told = latencies.clone();
        let begun = AtomicUsize::new(0);
        let shop = Shop::start(CATEGORIES, move |request| {
            begun.fetch_add(1, Ordering::Relaxed);
            let now = std::time::Instant::now();
            let mut ends = ends.lock();
            ends.retain(|end| *end > now);
            // As quick as idle with up to four at once; from there on each takes as long as all together.
            let at_once = ends.len() as u32 + 1;
            let latency = if at_once <= 4 { IDLE } else { IDLE * at_once / 2 };
            ends.push(now + latency);
            told.lock().push(latency);
            answer(request).after(latency)
        });
        Self { shop, latencies }
    }

    fn percentile_95(&self) -> Duration {
        let mut latencies = self.latencies.lock().clone();
        latencies.sort();
        latencies[latencies.len() * 95 / 100]
    }
}

#[test]
#[ignore = "measures times: `make test` runs it by itself"]
fn with_the_throttle_the_95th_percentile_of_the_origin_stays_near_idle() {
    let throttled = Loaded::start();
    // The bound leaves room for the network and this machine; what counts is what the origin itself took.
    let warmed = throttled
        .shop
        .warm(&["--concurrency", "32", "--max-origin-latency", "200ms"]);
    assert_eq!(warmed.code, Some(0), "{:?}", warmed.last());
    let with = throttled.percentile_95();
    let free = Loaded::start();
    let unthrottled = free.shop.warm(&["--concurrency", "32"]);
    assert_eq!(unthrottled.code, Some(0));
    let without = free.percentile_95();
    eprintln!(
        "idle {IDLE:?}: p95 {with:?} with the throttle ({} ms in all), {without:?} without ({} ms in all)",
        warmed.count("took_ms"),
        unthrottled.count("took_ms")
    );
    assert!(with <= IDLE.mul_f64(1.2), "{with:?}");
    // Without it the same measure fails.
    assert!(without > IDLE.mul_f64(1.2), "{without:?}");
}
