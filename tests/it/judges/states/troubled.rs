//! Pages while something is wrong: an origin that is slow or fails, a Redis that stops; and what there is instead of pages.

use super::*;

const FAILS: &str = "/v1/listings/category:FAILS";

/// A configuration of listings that are fresh for a second and come from an API. `extra` goes first.
fn of_an_api(redis: &RedisServer, api: &Api, extra: &str) -> String {
    format!(
        r#"
        {extra}

        [redis]
        url = "{}"
        read_timeout = "2s"

        [defaults]
        fresh_for = "1s"
        stale_while_revalidate = "1s"
        fill_wait = "500ms"

        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        retries = 0

        [[listings]]
        name = "category:{{category}}"
        names = ["BREAD", "FAILS", "SLOW", "NEVER_FAILS"]
        origin = "shop"
        query = "GET /categories/:category"
        [listings.sorts]
        price = {{ by = ["price"] }}

        [l1]
        ttl = "5m"
        "#,
        redis.url(),
        api.url
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_stale() {
    let redis = RedisServer::start();
    let items: Vec<Value> = (0..40)
        .map(|id| json!({"id": id, "price": id, "name": "A loaf of bread"}))
        .collect();
    let items = ApiAnswer::json(Value::Array(items).to_string());
    let at_once = items.clone();
    let api = Api::start(move |_| at_once.clone());
    let service = Service::start(&of_an_api(&redis, &api, ""));
    let get = |state, path: &str| Exchange::of(state, &service, Method::GET, path);
    for path in [BREAD, FAILS] {
        packed(&service, path).await;
    }
    let pinned = pinned(&service, BREAD).await;
    packed(&service, &pinned).await;
    // Some fail, and are tried again now and then; the others' answers come later than any lint ends.
    api.script(move |request| match request.path.contains("FAILS") {
        true => ApiAnswer::status(500),
        false => items.clone().after(Duration::from_secs(25)),
    });
    until(&service, BREAD, "cache-status", "detail=refreshing").await;
    until(&service, FAILS, "cache-status", "detail=origin-error").await;
    judge(vec![
        get("stale, a refresh runs", BREAD)
            .comes_and_goes()
            .answers(200)
            .shows("cache-control", "max-age=2, stale-while-revalidate=1")
            .shows("cache-status", "hit; ttl=-")
            .shows("cache-status", "detail=refreshing"),
        get("stale, a refresh runs, as gzip", BREAD)
            .comes_and_goes()
            .with(GZIP)
            .answers(200)
            .shows("cache-status", "detail=refreshing"),
        get("pinned while a refresh runs", &pinned).answers(200),
        get("nothing to serve yet", "/v1/listings/category:SLOW")
            .answers(503)
            .shows("cache-control", "no-store")
            .shows("retry-after", ""),
        get("stale, the origin fails", FAILS)
            .comes_and_goes()
            .answers(200)
            .shows("cache-control", "max-age=5")
            .shows("cache-status", "detail=origin-error"),
        get("stale, the origin fails, as gzip", FAILS).with(GZIP).answers(200),
        Exchange::of("stale, the origin fails, HEAD", &service, Method::HEAD, FAILS).answers(200),
        Exchange::of("stale, the origin fails, 304", &service, Method::GET, FAILS)
            .with(("If-None-Match", "*"))
            .comes_and_goes()
            .answers(304)
            .shows("cache-control", "max-age=5"),
        get(
            "nothing to serve, the origin fails",
            "/v1/listings/category:NEVER_FAILS",
        )
        .answers(503)
        .shows("retry-after", ""),
    ]);
    let another = RedisServer::start();
    let warming = Service::start(&of_an_api(
        &another,
        &api,
        "[warm]\non_start = true\ndeadline = \"10m\"",
    ));
    judge(vec![
        Exchange::of("not ready, warming", &warming, Method::GET, "/health/ready")
            .answers(503)
            .shows("retry-after", "1")
            .shows("cache-control", "no-store"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_crowd_waits_for() {
    let redis = RedisServer::start();
    // Late enough for the linter to be there before.
    let api = Api::start(|_| ApiAnswer::json("[{\"id\":1,\"price\":1}]").after(Duration::from_secs(6)));
    let config = of_an_api(&redis, &api, "").replace("fill_wait = \"500ms\"", "fill_wait = \"20s\"");
    let config = config.replace("fresh_for = \"1s\"", "fresh_for = \"60s\"");
    let service = Service::start(&config);
    let first = tokio::spawn(service.request(Method::GET, BREAD).send());
    eventually(async || match api.requests().len() {
        1 => Ok(()),
        other => Err(other),
    })
    .await;
    judge(vec![
        Exchange::of("waited for with others", &service, Method::GET, BREAD)
            .answers(200)
            .shows("cache-status", "listcache-redis; fwd=uri-miss; stored; collapsed; ttl="),
    ]);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_redis() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let short = "[l1]\nttl = \"100ms\"\n";
    let service = Service::start(&shop.config(&redis.url(), short));
    let direct = Service::start(&shop.config(&redis.url(), &format!("{short}[defaults.redis_down]\ndirect = true\n")));
    page(&service, BREAD).await;
    let pinned = pinned(&service, BREAD).await;
    packed(&service, &pinned).await;
    redis.pause();
    until(&service, BREAD, "cache-status", "detail=redis-down").await;
    until(&direct, BREAD, "cache-status", "fwd=bypass").await;
    let get = |state, path: &str| Exchange::of(state, &service, Method::GET, path);
    judge(vec![
        get("Redis is away, the page is in L1", BREAD)
            .answers(200)
            .shows("cache-control", "max-age=5")
            .shows("cache-status", "detail=redis-down"),
        get("Redis is away, the page is in L1, as gzip", BREAD)
            .with(GZIP)
            .answers(200),
        get("Redis is away, pinned", &pinned)
            .answers(200)
            .shows("cache-status", "detail=redis-down"),
        get("Redis is away, nothing at hand", "/v1/listings/plain:BREAD")
            .answers(503)
            .shows("cache-control", "no-store"),
        Exchange::of("Redis is away, straight from the origin", &direct, Method::GET, BREAD)
            .answers(200)
            .shows("cache-control", "no-store")
            .shows("cache-status", "fwd=bypass"),
        get("ready, though Redis is down", "/health/ready").answers(200),
        Exchange::of("Redis is away, a write", &service, Method::PUT, PROMO)
            .token()
            .body("application/json", "[]")
            .answers(503),
    ]);
    redis.resume();
}
