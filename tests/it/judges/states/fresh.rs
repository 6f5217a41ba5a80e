//! Pages as they should be: filled, fresh, pinned, known to the client, only asked for by their head.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_fresh() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    // A CDN hears of a lifetime of its own, and requests have ids.
    let extra = "[http]\naccess_log = true\n[defaults]\ncdn_max_age = \"5m\"\nsurrogate_keys = [\"shop:fi\"]";
    let service = Service::start(&patient(shop.config(&redis.url(), extra)));
    let get = |state, path: &str| Exchange::of(state, &service, Method::GET, path).answers(200);
    judge(vec![
        get("filled from the origin", BREAD)
            .shows("cache-status", "listcache-redis; fwd=uri-miss; stored; ttl=")
            .shows("cdn-cache-control", "max-age=300"),
        get("fresh, in L1", BREAD).shows("cache-status", "listcache-l1; hit; ttl="),
        get("known but empty", "/v1/listings/category:EMPTY").shows("x-total-count", "0"),
    ]);
    // The date is sent once its second is over.
    until(&service, BREAD, "last-modified", "GMT").await;
    let first = service.request(Method::GET, BREAD).send().await.unwrap();
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let date = first.headers()["last-modified"].to_str().unwrap().to_owned();
    let pinned = pinned(&service, &format!("{BREAD}?page=2&size=7")).await;
    let generation = page(&service, BREAD).await["generation"].as_str().unwrap().to_owned();
    let by_generation = format!("{BREAD}?size=5&generation={generation}");
    let slices = [
        "order=desc&page=2&size=10",
        "sort=in_stock&order=desc",
        "offset=7&limit=5",
        "currency=EUR&f.brand=ACME%20%26%20Co&facets=brand",
        "offset=1000",
    ];
    let slices = slices.map(|query| format!("{BREAD}?{query}"));
    let plain_links = "/v1/listings/plain:BREAD?limit=10";
    // A narrowed page is of single items, which no part holds: it is not packed.
    for path in slices
        .iter()
        .map(String::as_str)
        .filter(|path| !path.contains("f.brand"))
        .chain([BREAD, plain_links, &pinned, &by_generation])
    {
        packed(&service, path).await;
    }
    let not_modified = |state, path: &str| Exchange::of(state, &service, Method::GET, path).answers(304);
    let head = |state, path: &str| Exchange::of(state, &service, Method::HEAD, path).answers(200);
    judge(vec![
        get("fresh, in L1, with its date", BREAD)
            .shows("last-modified", "GMT")
            .shows("cache-control", STALE_ALLOWED),
        get("as gzip", BREAD).with(GZIP).shows("content-encoding", "gzip"),
        get(
            "as gzip, parts not made yet",
            &format!("{BREAD}?sort=number&offset=3&limit=20"),
        )
        .with(GZIP),
        get("as gzip though it is small", &format!("{BREAD}?size=1")).with(("Accept-Encoding", "gzip, identity;q=0")),
        get("descending", &slices[0]),
        get("descending, an order of its own", &slices[1]),
        get("a slice", &slices[2]),
        get("of a variant and a filter", &slices[3]),
        get("past the end", &slices[4]),
        get("with plain links", plain_links),
        get("with its own id", BREAD)
            .with(("X-Request-Id", "from-the-edge"))
            .shows("x-request-id", "from-the-edge"),
        get("of another page's origin", BREAD)
            .with(("Origin", "https://shop.example"))
            .shows("access-control-allow-origin", "*"),
        get("pinned by cursor", &pinned)
            .shows("cache-control", "max-age=60")
            .shows("x-robots-tag", "noindex"),
        get("pinned by generation", &by_generation).shows("cache-control", "max-age=60"),
        get("pinned, as gzip", &by_generation).with(GZIP),
        not_modified("304 by tag", BREAD).with(("If-None-Match", &etag)),
        not_modified("304 by tag, as gzip", BREAD)
            .with(GZIP)
            .with(("If-None-Match", &etag)),
        not_modified("304 by date", BREAD).with(("If-Modified-Since", &date)),
        not_modified("304 of anything", BREAD).with(("If-None-Match", "*")),
        not_modified("304, pinned", &pinned).with(("If-None-Match", "*")),
        head("HEAD", BREAD),
        head("HEAD, as gzip", BREAD)
            .with(GZIP)
            .shows("content-encoding", "gzip"),
        head("HEAD, pinned", &pinned),
        Exchange::of("HEAD, 304", &service, Method::HEAD, BREAD)
            .with(("If-None-Match", &etag))
            .answers(304),
    ]);
    let other = Service::start(&patient(shop.config(&redis.url(), "")));
    let in_redis = "listcache-redis; hit; ttl=";
    judge(vec![
        Exchange::of("fresh, in Redis", &other, Method::GET, BREAD)
            .answers(200)
            .shows("cache-status", in_redis),
        Exchange::of(
            "fresh, in Redis, as gzip",
            &other,
            Method::GET,
            &format!("{BREAD}?sort=number"),
        )
        .with(GZIP)
        .answers(200)
        .shows("cache-status", in_redis),
        Exchange::of(
            "pinned, in Redis",
            &other,
            Method::GET,
            &format!("{BREAD}?offset=14&limit=3&generation={generation}"),
        )
        .answers(200),
    ]);
}
