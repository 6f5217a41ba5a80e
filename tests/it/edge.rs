//! Varnish and nginx in front, with the configurations of `docs/edge`: that they do as listcache says. What reaches the service is read from
//! its access log, so "a hit" is a request that did not.

mod answer;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use reqwest::{Client, Method, Response};
use serde_json::json;

use self::answer::Answer;
use crate::{
    judges::patient,
    support::{
        Nginx, RedisServer, Varnish, eventually,
        service::{Service, Shop, TOKEN, json_of},
    },
};

const BREAD: &str = "/v1/listings/category:BREAD";
/// Fresh for a second, and a second more while it is fetched anew; an hour on errors.
const SHORT: &str = "/v1/listings/short:BREAD";
/// What a change takes at most through an edge that is not told: a life, a second of staleness, and much time for a busy machine.
const IN_TIME: Duration = Duration::from_secs(8);
const SERVICE: &str = "127.0.0.1:8080";

pub(crate) enum Edge {
    Varnish(Varnish),
    Nginx(Nginx),
}

struct World {
    edge: Edge,
    client: Client,
    service: Service,
    shop: Shop,
    _redis: RedisServer,
}

fn config(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/edge").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A configuration with other addresses and paths; what is exchanged must be there once.
#[track_caller]
fn with(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    })
}

pub(crate) fn varnish(service: &str) -> Edge {
    let port = service.rsplit(':').next().unwrap();
    Edge::Varnish(Varnish::start(&with(
        &config("varnish.vcl"),
        &[("\"8080\"", &format!("{port:?}"))],
    )))
}

pub(crate) fn nginx(service: &str) -> Edge {
    Edge::Nginx(Nginx::start_with(|at| {
        let listen = format!("listen unix:{at}/nginx.sock;");
        let changes = [
            (SERVICE, service),
            ("listen 80;", &listen),
            ("/var/cache/nginx/listcache", &format!("{at}/listcache")),
        ];
        with(&config("nginx.conf"), &changes)
    }))
}

impl Edge {
    /// A client of it.
    pub(crate) fn client(&self) -> Client {
        let client = Client::builder().timeout(Duration::from_secs(20));
        let client = match self {
            Self::Varnish(_) => client,
            Self::Nginx(nginx) => client.unix_socket(nginx.socket()),
        };
        client.build().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Self::Varnish(varnish) => format!("http://{}{path}", varnish.address),
            Self::Nginx(_) => format!("http://edge{path}"),
        }
    }
}

async fn world(edge: fn(&str) -> Edge) -> World {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(shop.config(&redis.url(), "[http]\naccess_log = true")));
    let edge = edge(&service.address);
    World {
        client: edge.client(),
        edge,
        service,
        shop,
        _redis: redis,
    }
}

impl World {
    fn url(&self, path: &str) -> String {
        self.edge.url(path)
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.send(Method::GET, path, headers).await;
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().into(),
        }
    }

    /// What the service was asked for by this path, and answered so.
    fn asked(&self, path: &str, status: &str) -> usize {
        let log = self.service.log();
        let lines = log
            .lines()
            .filter(|line| line.contains(&format!("{path} ")) || line.contains(&format!("{path}\"")));
        lines
            .filter(|line| line.contains(&format!("status={status}")) || line.contains(&format!("\"status\":{status}")))
            .count()
    }

    /// The service's access log is written after its answer.
    async fn was_asked(&self, path: &str, status: &str, times: usize) {
        eventually(async || match self.asked(path, status) {
            found if found == times => Ok(()),
            found => Err(format!("{path}: {found} times {status}")),
        })
        .await;
    }

    async fn change(&self, path: &str) -> String {
        self.shop
            .sql("update products set price_cents = price_cents + id")
            .await;
        let refresh = self.service.admin(Method::POST, &format!("{path}/refresh?wait=true"));
        let done = json_of(refresh).await;
        done["generation"].as_str().unwrap().to_owned()
    }

    /// Asks until the edge answers with this generation.
    async fn shows(&self, path: &str, generation: &str) -> Duration {
        let begun = Instant::now();
        eventually(async || {
            let page = self.ask(path, &[]).await.json();
            if page["generation"] == generation {
                Ok(())
            } else {
                Err(page["generation"].clone())
            }
        })
        .await;
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn varnish_does_as_it_is_told() {
    let world = world(varnish).await;
    within_a_lifetime(&world, 1).await;
    what_is_not_kept(&world).await;
    names_and_events_pass(&world).await;
    // Told of a change it asks at once.
    let newest = world.change(BREAD).await;
    let ban = async |tag: &str| {
        world
            .send("BAN".parse().unwrap(), "/", &[("Listcache-Tags", tag)])
            .await
            .status()
    };
    let old = world.ask(BREAD, &[]).await;
    assert_ne!(old.json()["generation"], *newest, "{}", old.at_the_edge());
    assert_eq!(ban("category:BUTTER").await, 200);
    assert_ne!(world.ask(BREAD, &[]).await.json()["generation"], *newest);
    assert_eq!(ban("category:BREAD").await, 200);
    assert_eq!(world.ask(BREAD, &[]).await.json()["generation"], *newest);
    assert_eq!(ban("x || obj.status == 200").await, 400);
    after_a_lifetime(world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_does_as_it_is_told() {
    let world = world(nginx).await;
    // One copy a coding.
    within_a_lifetime(&world, 2).await;
    what_is_not_kept(&world).await;
    names_and_events_pass(&world).await;
    after_a_lifetime(world).await;
}

/// Hits, in each coding; 304 without asking; pinned pages through a change. `copies`: how many the edge keeps of a page.
async fn within_a_lifetime(world: &World, copies: usize) {
    let first = world.ask(BREAD, &[]).await;
    assert_eq!(first.status, 200);
    assert!(
        first.header("cache-control").starts_with("max-age="),
        "{}",
        first.header("cache-control")
    );
    let second = world.ask(BREAD, &[]).await;
    assert_eq!((second.header("content-encoding"), &second.body), ("", &first.body));
    assert!(second.at_the_edge().ends_with("; hit"), "{}", second.at_the_edge());
    for accepted in [
        "gzip",
        "gzip, deflate, br, zstd",
        "br;q=1.0, gzip;q=0.8, *;q=0.1",
        "deflate,GZIP",
    ] {
        let packed = world.ask(BREAD, &[("Accept-Encoding", accepted)]).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{accepted}");
        assert_eq!(packed.plain(), first.body);
        assert!(packed.header("vary").contains("Accept-Encoding"));
    }
    for accepted in ["identity", "br", "gzip;q=0", "gzip;q=0.000, deflate"] {
        let plain = world.ask(BREAD, &[("Accept-Encoding", accepted)]).await;
        assert_eq!(
            (plain.header("content-encoding"), &plain.body),
            ("", &first.body),
            "{accepted}"
        );
    }
    for tag in [
        first.header("etag").to_owned(),
        format!("\"x\", {}", first.header("etag")),
    ] {
        let known = world.ask(BREAD, &[("If-None-Match", &tag)]).await;
        // Varnish compares with one tag only.
        let lists = matches!(world.edge, Edge::Nginx(_)) || !tag.contains(',');
        assert_eq!(known.status, if lists { 304 } else { 200 }, "{tag}");
    }
    let head = world.send(Method::HEAD, BREAD, &[]).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["etag"]),
        (200, &first.headers["etag"])
    );
    world.was_asked(BREAD, "200", copies).await;
    assert_eq!(world.asked(BREAD, "304"), 0);
    // A pinned page outlives the generation it shows.
    let pinned = first.json()["links"]["self"].as_str().unwrap().to_owned();
    let page = world.ask(&pinned, &[]).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "max-age=60"));
    world.change(BREAD).await;
    let again = world.ask(&pinned, &[]).await;
    assert_eq!(again.body, page.body);
    assert!(again.at_the_edge().ends_with("; hit"));
    world.was_asked(&pinned, "200", 1).await;
}

/// What says no-store reaches the service each time, and what is refused is refused as briefly as it says.
async fn what_is_not_kept(world: &World) {
    let token = format!("Bearer {TOKEN}");
    for (path, headers, status) in [
        ("/v1/listings?limit=1", vec![("Authorization", &*token)], "200"),
        (
            "/v1/listings/category:BREAD/explain",
            vec![("Authorization", &*token)],
            "200",
        ),
        ("/v1/listings/category:BREAD/explain", vec![], "401"),
    ] {
        let before = world.asked(path, status);
        for _ in 0..2 {
            let answer = world.ask(path, &headers).await;
            assert_eq!(answer.status.to_string(), status, "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
        world.was_asked(path, status, before + 2).await;
    }
    // Unknown for five seconds.
    let unknown = "/v1/listings/category:NOBODY";
    for _ in 0..2 {
        let answer = world.ask(unknown, &[]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, "max-age=5"));
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    world.was_asked(unknown, "404", 1).await;
    // Nothing to serve: told to each, with the time to come back.
    world.shop.close();
    let nothing = "/v1/listings/plain:BREAD";
    for _ in 0..2 {
        let answer = world.ask(nothing, &[]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (503, "no-store"));
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    }
    world.was_asked(nothing, "503", 2).await;
    world.shop.reopen();
    // And as soon as there is something, it is there.
    eventually(async || match world.ask(nothing, &[]).await.status {
        200 => Ok(()),
        other => Err(other),
    })
    .await;
}

/// `%2F` in a name, a write, and a stream of events that is not held back.
async fn names_and_events_pass(world: &World) {
    let name = "/v1/listings/promo:a%2Fb%20c";
    let token = format!("Bearer {TOKEN}");
    let events = world.send(Method::GET, &format!("{name}/events"), &[]).await;
    assert_eq!(
        (events.status().as_u16(), &events.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let push = world
        .client
        .put(world.url(name))
        .header("Authorization", token)
        .json(&json!([{"id": 1}]));
    let pushed = json_of(push).await;
    let mut stream = events.bytes_stream();
    let mut heard = String::new();
    while !heard.contains(pushed["generation"].as_str().unwrap()) {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next());
        let next = next.await.unwrap_or_else(|_| panic!("only {heard:?} was heard"));
        heard.push_str(std::str::from_utf8(&next.unwrap().unwrap()).unwrap());
    }
    let page = world.ask(name, &[]).await.json();
    assert_eq!((&page["listing"], &page["total"]), (&json!("promo:a/b c"), &json!(1)));
}

/// Asked for by its tag when its life is over; a change seen in time; stale while the service is away, and 5xx for what was never here.
async fn after_a_lifetime(mut world: World) {
    let first = world.ask(SHORT, &[]).await;
    assert_eq!(first.status, 200);
    // Unchanged: what reaches the service is answered without a body.
    eventually(async || {
        assert_eq!(
            world.ask(SHORT, &[]).await.json()["generation"],
            first.json()["generation"]
        );
        if world.asked(SHORT, "304") > 1 {
            Ok(())
        } else {
            Err(world.service.log())
        }
    })
    .await;
    assert_eq!(
        world.asked(SHORT, "200"),
        1,
        "it is fetched anew only when it has changed"
    );
    let newest = world.change(SHORT).await;
    let took = world.shows(SHORT, &newest).await;
    assert!(took < IN_TIME, "a change is seen after {took:?}");
    world.service.kill();
    // Past its life and the second after it, the edge has tried in vain.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        let page = world.ask(SHORT, &[]).await;
        assert_eq!(
            (page.status, &page.json()["generation"]),
            (200, &json!(newest)),
            "{:?}",
            page.headers
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let never_here = world.ask(&format!("{BREAD}?size=3"), &[]).await;
    assert!(matches!(never_here.status, 502..=504), "{}", never_here.status);
}
