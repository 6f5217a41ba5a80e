//! What is no page: refusals, writes, events, probes.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(shop.config(&redis.url(), "[http]\nfollowers_max = 1\n")));
    page(&service, BREAD).await;
    let follower = service
        .request(Method::GET, &format!("{BREAD}/events"))
        .send()
        .await
        .unwrap();
    assert_eq!(follower.status(), 200);
    let gone = format!("{BREAD}?offset=5&limit=5&generation=1-00000000");
    let refused = |state, path: &str, status| Exchange::of(state, &service, Method::GET, path).answers(status);
    let other = |state, method, path: &str, status| Exchange::of(state, &service, method, path).answers(status);
    judge(vec![
        refused("unknown listing", "/v1/listings/category:NOBODY", 404)
            .shows("cache-control", "max-age=5")
            .shows("cache-status", "listcache-redis; hit; detail=negative"),
        refused("unknown route", "/v1/nothing", 404),
        refused("pinned generation gone", &gone, 410)
            .shows("cache-control", "max-age=60")
            .shows("link", "rel=\"latest-version\""),
        refused("bad parameters", &format!("{BREAD}?page=01&size=0"), 400).shows("cache-control", "max-age=60"),
        refused("bad cursor", &format!("{BREAD}?cursor=x"), 400).shows("cache-control", "max-age=60"),
        refused("bad name", "/v1/listings/%FF", 400),
        refused("no coding that is taken", BREAD, 406)
            .with(("Accept-Encoding", "br, identity;q=0"))
            .shows("cache-control", "no-store"),
        refused("a condition that fails", BREAD, 412)
            .with(("If-Match", "\"x\""))
            .shows("cache-control", "no-store"),
        refused(
            "a URL that is too long",
            &format!("{BREAD}?x={}", "y".repeat(9000)),
            414,
        ),
        refused("overload", &format!("{BREAD}/events"), 503)
            .shows("retry-after", "")
            .shows("cache-control", "no-store"),
        refused("no token", "/v1/listings", 401).shows("www-authenticate", "Bearer"),
        refused("a wrong token", "/v1/listings", 401).with(("Authorization", "Bearer wrong")),
        other(
            "HEAD of an unknown listing",
            Method::HEAD,
            "/v1/listings/category:NOBODY",
            404,
        ),
        other("wrong method", Method::PATCH, BREAD, 405).shows("allow", "GET, HEAD, PUT, DELETE, OPTIONS"),
        other("wrong method of a probe", Method::POST, "/health/live", 405).shows("allow", "GET, HEAD, OPTIONS"),
        other("a push without a token", Method::PUT, PROMO, 401).body("application/json", "[]"),
        other("a push that is not allowed", Method::PUT, "/v1/listings/nobody", 403)
            .token()
            .body("application/json", "[]"),
        other("a push of what has an origin", Method::PUT, BREAD, 409)
            .token()
            .body("application/json", "[]"),
        other("a push of another type", Method::PUT, PROMO, 415)
            .token()
            .body("text/csv", "id"),
        other("a push with a bad item", Method::PUT, PROMO, 422)
            .token()
            .body("application/x-ndjson", "{}"),
        other("a push that breaks off", Method::PUT, PROMO, 422)
            .token()
            .body("application/json", "[{\"id\":1},"),
        other("a push that is not what it says", Method::PUT, PROMO, 400)
            .token()
            .with(("Content-Encoding", "gzip"))
            .body("application/json", "[]"),
        other(
            "a refresh of what is pushed",
            Method::POST,
            &format!("{PROMO}/refresh"),
            409,
        )
        .token(),
    ]);
    let closed = Service::start_with(&shop.config(&redis.url(), ""), &[]);
    judge(vec![
        Exchange::of("no token is configured", &closed, Method::PUT, PROMO)
            .body("application/json", "[]")
            .answers(403),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(shop.config(&redis.url(), "")));
    let of = |state, method, path: &str, status| Exchange::of(state, &service, method, path).answers(status);
    let items = "{\"id\":1,\"name\":\"Tent\"}\n{\"id\":2,\"name\":\"Lamp\"}\n";
    let push = |state, status| {
        of(state, Method::PUT, PROMO, status)
            .token()
            .body("application/x-ndjson", items)
    };
    judge(vec![
        push("a push, new", 201).shows("location", PROMO),
        push("a push, replaced", 200),
        of("a pushed page", Method::GET, PROMO, 200),
        of("events", Method::GET, &format!("{PROMO}/events"), 200)
            .endless()
            .shows("content-type", "text/event-stream"),
        of("a refresh", Method::POST, &format!("{BREAD}/refresh"), 202).token(),
        of(
            "a refresh that is waited for",
            Method::POST,
            &format!("{BREAD}/refresh?wait=true"),
            200,
        )
        .token(),
        of("the list", Method::GET, "/v1/listings?limit=1", 200).token(),
        of("explain", Method::GET, &format!("{PROMO}/explain"), 200).token(),
        of("explain, HEAD", Method::HEAD, &format!("{PROMO}/explain"), 200).token(),
        of("forgetting", Method::DELETE, PROMO, 204).token(),
        of("what was forgotten", Method::GET, PROMO, 404),
        of("options", Method::OPTIONS, BREAD, 204).shows("allow", "GET, HEAD, PUT, DELETE, OPTIONS"),
        of("a preflight", Method::OPTIONS, BREAD, 204)
            .with(("Origin", "https://shop.example"))
            .with(("Access-Control-Request-Method", "GET"))
            .with(("Access-Control-Request-Headers", "if-none-match"))
            .shows("access-control-allow-methods", "GET, HEAD, OPTIONS"),
        of("live", Method::GET, "/health/live", 200),
        of("ready", Method::GET, "/health/ready", 200),
        of("metrics", Method::GET, "/metrics", 200),
        of("the description", Method::GET, "/openapi.json", 200),
        of("the description, HEAD", Method::HEAD, "/openapi.json", 200),
    ]);
}
