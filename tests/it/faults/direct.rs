//! The first page straight from the origin, while Redis is away: for those definitions that ask for it.

use super::{Answer, IMPATIENT, get};
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

const DIRECT: &str = "[l1]\nttl = \"100ms\"\n[defaults.redis_down]\ndirect = true\n";

fn is_direct(page: &Answer) -> bool {
    page.cache_status.contains("fwd=bypass; detail=redis-down")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_comes_from_the_origin_and_is_kept_by_nobody() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), DIRECT).replace("[redis]", IMPATIENT));
    redis.pause();
    let ascending: Vec<u64> = (1..=30).rev().collect();
    for (query, ids) in [
        ("", &ascending[..24]),
        ("?size=7", &ascending[..7]),
        ("?size=250", &ascending[..]),
        ("?sort=number&limit=3", &[1, 2, 3]),
        ("?order=desc&limit=3", &[1, 2, 3]),
    ] {
        let path = format!("/v1/listings/category:BREAD{query}");
        let page = get(&service, &path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        assert!(is_direct(&page), "{path}: {page:?}");
        page.came_at_once();
        assert_eq!(page.ids(), ids, "{path}");
        assert_eq!(page.cache_control, "no-store", "{path}");
        assert_eq!(page.body["total"], 30, "{path}");
        assert!(page.body["generation"].is_null(), "{path}");
        let link = page.body["links"]["self"].as_str().unwrap();
        assert!(link.contains("offset=0") && !link.contains("cursor"), "{link}");
    }
    let request = service.request(reqwest::Method::GET, "/v1/listings/category:BREAD");
    let known = request.header("If-None-Match", "*").send().await.unwrap();
    assert_eq!(known.status(), 200);
    assert!(!known.headers().contains_key("etag") && !known.headers().contains_key("last-modified"));

    // Only the first page, only what has an origin.
    for path in [
        "/v1/listings/category:BREAD?page=2",
        "/v1/listings/category:BREAD?offset=1",
        "/v1/listings/category:BREAD?generation=1795291200123456-9f1c02ab",
        "/v1/listings/promo:a",
    ] {
        let answer = get(&service, path).await;
        answer.is_a_clean_503();
        answer.came_at_once();
    }
    let empty = get(&service, "/v1/listings/category:EMPTY").await;
    assert_eq!((empty.status, &empty.body["total"]), (200, &0.into()), "{empty:?}");
    assert_eq!(get(&service, "/v1/listings/plain:NOTHING").await.status, 404);

    // A crowd costs the origin no more than a few.
    let before = service.metric("listcache_origin_reads_total").await;
    let crowd = (0..100).map(|_| get(&service, "/v1/listings/plain:BREAD"));
    for page in futures_util::future::join_all(crowd).await {
        assert!(page.status == 200 || page.status == 503, "{page:?}");
    }
    let reads = service.metric("listcache_origin_reads_total").await - before;
    assert!((1.0..50.0).contains(&reads), "{reads}");
    assert!(service.metric("listcache_direct_pages_total").await >= 6.0);

    redis.resume();
    eventually(async || match get(&service, "/v1/listings/category:BREAD").await {
        page if page.status == 200 && page.body["generation"].is_string() => Ok(()),
        page => Err(page),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_for_the_origin_is_spared() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), "").replace("[redis]", IMPATIENT));
    redis.pause();
    get(&service, "/v1/listings/category:BREAD").await.is_a_clean_503();
    assert_eq!(service.metric("listcache_origin_reads_total").await, 0.0);
}
