//! More than Redis can give: what is beyond the bound is shed at once, and what L1 has goes out as ever.

use std::time::Duration;

use super::get;
use crate::support::{
    Proxy, RedisServer, eventually,
    load::{Outcome, Pace, offer, quantile},
    service::{Service, Shop},
};

/// Reads at once, each held for [`HELD`]: so many a second at most.
const READS_MAX: u32 = 4;
const HELD: Duration = Duration::from_millis(20);

fn during() -> Duration {
    let seconds = std::env::var("OVERLOAD_SECONDS").ok();
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times of an optimised build: `make overload` runs it"]
async fn five_times_what_redis_can_give() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let config = shop.config(&proxy.url(), "");
    let service = Service::start(&config.replace("[redis]", &format!("[redis]\nreads_max = {READS_MAX}")));
    assert_eq!(get(&service, "/v1/listings/category:BREAD?size=30").await.status, 200);
    proxy.delay(HELD);
    let hits = Pace {
        rate: 1000,
        connections: 16,
    };
    let pages_of_l1 = |number: u64| format!("/v1/listings/category:BREAD?offset={}&limit=7", number % 17);
    // Both runs after a moment of the same, so that neither pays for what is done once.
    offer(&service.address, hits, Duration::from_secs(1), pages_of_l1).await;
    let unloaded = offer(&service.address, hits, during(), pages_of_l1).await;

    let before = service.resident_bytes();
    let beyond = Pace {
        rate: READS_MAX * 1000 / HELD.as_millis() as u32 * 5,
        connections: 200,
    };
    let unknown = |number: u64| format!("/v1/listings/promo:unknown{number}?sort=default");
    let (loaded, offered, most) = tokio::join!(
        offer(&service.address, hits, during(), pages_of_l1),
        offer(&service.address, beyond, during(), unknown),
        async {
            let mut most = before;
            for _ in 0..during().as_millis() / 50 {
                most = most.max(service.resident_bytes());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            most
        },
    );
    for sample in unloaded.iter().chain(&loaded) {
        assert_eq!(sample.status(), 200, "{sample:?}");
    }
    let shed = offered.iter().filter(|sample| sample.status() == 503).count();
    for sample in &offered {
        assert!(!matches!(sample.outcome, Outcome::Broken(_)), "{sample:?}");
        assert!([404, 503].contains(&sample.status()), "{sample:?}");
        if sample.status() == 503 {
            assert!(
                sample.retry_after().is_some_and(|after| (1..=3).contains(&after)),
                "{sample:?}"
            );
        }
    }
    let [quiet, busy] = [&unloaded, &loaded].map(|samples| quantile(samples, 0.99));
    let grown = most.saturating_sub(before);
    eprintln!(
        "{} offered, {shed} shed; pages of L1: p99 {:.2} ms unloaded, {:.2} ms loaded, ratio {:.2}; {} KiB more memory",
        offered.len(),
        quiet.as_secs_f64() * 1e3,
        busy.as_secs_f64() * 1e3,
        busy.as_secs_f64() / quiet.as_secs_f64(),
        grown / 1024,
    );
    assert!(shed * 2 > offered.len(), "most are beyond the bound");
    assert!(shed < offered.len(), "some are served");
    assert!(grown <= 64 << 20, "{grown} bytes");
    assert!(busy <= quiet * 2, "{quiet:?} {busy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_bound_is_shed_and_pages_of_l1_are_not() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let config = shop.config(&proxy.url(), "[l1]\nttl = \"50ms\"\n");
    let service = Service::start(&config.replace(
        "[redis]",
        "[redis]\nreads_max = 1\nwaiters_max = 5\nread_timeout = \"10s\"",
    ));
    let page = "/v1/listings/category:BREAD";
    assert_eq!(get(&service, page).await.status, 200);
    proxy.hold();
    let crowd = (0..50).map(|number| {
        let service = &service;
        async move {
            // Five wait for the one reading; the others are shed, and pages of L1 go out meanwhile.
            let path = match number % 2 {
                0 => "/v1/listings/category:BREAD?currency=USD".to_owned(),
                _ => format!("/v1/listings/promo:crowd{number}?sort=default"),
            };
            get(service, &path).await
        }
    });
    let (answers, ()) = tokio::join!(futures_util::future::join_all(crowd), async {
        eventually(async || match service.metric("listcache_shed_total").await {
            45.0.. => Ok(()),
            shed => Err(shed),
        })
        .await;
        for _ in 0..20 {
            let hit = get(&service, page).await;
            assert_eq!(hit.status, 200, "{hit:?}");
            hit.came_at_once();
        }
        proxy.release();
    });
    let shed: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    // Who came first decides who is among the five; the checker may have taken the one place, and then nobody is.
    assert!(shed.len() >= 45, "{} {answers:?}", shed.len());
    let served = answers.iter().filter(|answer| answer.status != 503);
    assert!(
        served.into_iter().all(|answer| [200, 404].contains(&answer.status)),
        "{answers:?}"
    );
    for answer in shed {
        answer.is_a_clean_503();
        assert_eq!(answer.body["code"], "overloaded", "{answer:?}");
        assert!(answer.retry_after.is_some_and(|after| after <= 3), "{answer:?}");
    }
}
