//! Two processes on one Redis: what one publishes or deletes, the other serves; at once, or within `l1.ttl` at the latest.

use std::time::{Duration, Instant};

use listcache::listing::Generation;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    RedisServer, eventually,
    pipe::Pipe,
    service::{Service, TOKEN, json_of},
};

const CHANNEL: &str = "listcache:2:announcements";

/// Nothing but pushes.
fn pushes_only(redis_url: &str) -> String {
    format!("[redis]\nurl = \"{redis_url}\"\n[pushed]\nnames = [\"promo:*\"]\n")
}

/// Replaces a listing by one item; gives the new generation.
async fn put(service: &Service, name: &str, revision: u64) -> Generation {
    let item = json!({"id": 1, "revision": revision});
    let put = service
        .admin(Method::PUT, &format!("/v1/listings/{name}"))
        .json(&[item]);
    let answer = json_of(put).await;
    generation_of(&answer)
}

async fn page(service: &Service, name: &str) -> Value {
    let get = service.request(Method::GET, &format!("/v1/listings/{name}"));
    json_of(get).await
}

fn generation_of(answer: &Value) -> Generation {
    answer["generation"].as_str().unwrap().parse().unwrap()
}

/// Asks without a pause until a node serves that generation or a newer one; how long that took, and how often it did not.
async fn until_served(service: &Service, name: &str, published: Generation) -> (Duration, u64) {
    let begun = Instant::now();
    let mut older = 0;
    while generation_of(&page(service, name).await).id < published.id {
        older += 1;
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} stays old");
    }
    (begun.elapsed(), older)
}

/// Waits until so many nodes listen.
async fn listeners(redis: &RedisServer, count: u32) {
    eventually(async || {
        let said = redis.cli(&["PUBSUB", "NUMSUB", CHANNEL]);
        if said == format!("{CHANNEL}\n{count}") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

/// Sorts, prints and returns p50, p99 and the maximum.
fn percentiles(what: &str, mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    let found = [at(50), at(99), at(100)];
    eprintln!(
        "{what}: p50 {:?}, p99 {:?}, max {:?} of {}",
        found[0],
        found[1],
        found[2],
        times.len()
    );
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_is_served_by_itself_at_once_and_by_the_other_within_100_ms() {
    const NAMES: u64 = 20;
    let redis = RedisServer::start();
    let here = Service::start(&pushes_only(&redis.url()));
    let there = Service::start(&pushes_only(&redis.url()));
    listeners(&redis, 2).await;
    let mut times = Vec::new();
    let mut was_older = 0;
    for revision in 0..1000 + NAMES {
        let name = format!("promo:{}", revision % NAMES);
        let published = put(&here, &name, revision).await;
        let (own, (time, older)) = tokio::join!(page(&here, &name), until_served(&there, &name, published));
        assert!(
            generation_of(&own).id >= published.id,
            "{name}: {published} was just published here"
        );
        assert_eq!(own["items"][0]["revision"], revision);
        // The first publish of a name moves no head that the other node knows.
        if revision >= NAMES {
            times.push(time);
            was_older += older;
        }
    }
    let [_, p99, _] = percentiles("served by the other node", times);
    eprintln!("{was_older} answers in between were of the generation before");
    assert!(p99 < Duration::from_millis(100), "{p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_nothing_is_behind_by_the_life_of_an_l1_head_at_most() {
    const NAMES: u64 = 30;
    const TTL: Duration = Duration::from_secs(2);
    let redis = RedisServer::start();
    // A user of its own, so that the right to listen can be taken from this node alone.
    redis.cli(&["ACL", "SETUSER", "deaf", "on", ">pass", "~*", "&*", "+@all"]);
    let url = format!("redis+unix://{}?user=deaf&pass=pass", redis.socket().display());
    let here = Service::start(&pushes_only(&redis.url()));
    let deaf = Service::start_with(
        &pushes_only(&redis.url()),
        &[("LISTCACHE_TOKEN", TOKEN), ("LISTCACHE_REDIS__URL", &url)],
    );
    listeners(&redis, 2).await;
    for number in 0..NAMES {
        let published = put(&here, &format!("promo:{number}"), 0).await;
        until_served(&deaf, &format!("promo:{number}"), published).await;
    }

    redis.cli(&["ACL", "SETUSER", "deaf", "resetchannels"]);
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    // The other one comes back.
    listeners(&redis, 1).await;
    let publishes = (0..NAMES).map(async |number| {
        let name = format!("promo:{number}");
        // Known here since just now: the full life is before it.
        page(&deaf, &name).await;
        let published = put(&here, &name, 1).await;
        until_served(&deaf, &name, published).await
    });
    let behind = futures_util::future::join_all(publishes).await;
    let older: u64 = behind.iter().map(|(_, older)| older).sum();
    let [p50, _, max] = percentiles(
        "served by a deaf node",
        behind.into_iter().map(|(time, _)| time).collect(),
    );
    assert!(
        older > 0 && p50 > Duration::from_millis(100),
        "it did hear of it: {p50:?}"
    );
    assert!(max < TTL * 2, "{max:?}");

    redis.cli(&["ACL", "SETUSER", "deaf", "&*"]);
    listeners(&redis, 2).await;
    let published = put(&here, "promo:0", 2).await;
    let (time, _) = until_served(&deaf, "promo:0", published).await;
    assert!(time < Duration::from_secs(1), "it listens again: {time:?}");
}

/// The status of a page that is pinned to a generation.
async fn pinned(service: &Service, link: &str) -> u16 {
    service
        .request(Method::GET, link)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Asserts that a link into a deleted listing is 410 on both nodes, each within three seconds.
async fn gone_on_both(nodes: [&Service; 2], link: &str) -> Duration {
    let begun = Instant::now();
    for node in nodes {
        loop {
            match pinned(node, link).await {
                410 => break,
                other => assert!(begun.elapsed() < Duration::from_secs(3), "{link} is still {other}"),
            }
        }
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_delete_pins_are_gone_on_both_nodes_within_a_second() {
    let redis = RedisServer::start();
    let here = Service::start(&pushes_only(&redis.url()));
    let there = Service::start(&pushes_only(&redis.url()));
    listeners(&redis, 2).await;
    let mut times = Vec::new();
    for number in 0..50 {
        let name = format!("promo:{number}");
        // An older generation and the current one, both known and both in L1 on both nodes.
        let older = put(&here, &name, 0).await;
        let current = put(&here, &name, 1).await;
        let path = format!("/v1/listings/{name}");
        let cursor = page(&here, &name).await["links"]["self"].as_str().unwrap().to_owned();
        let links = [
            format!("{path}?generation={older}"),
            format!("{path}?generation={current}"),
            cursor,
        ];
        for node in [&here, &there] {
            for link in &links {
                assert_eq!(pinned(node, link).await, 200, "{link}");
            }
        }
        let delete = here.admin(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(delete.status(), 204);
        for link in &links {
            assert_eq!(pinned(&here, link).await, 410, "{link} was deleted here");
            times.push(gone_on_both([&there, &here], link).await);
        }
        assert_eq!(pinned(&there, &path).await, 404);
    }
    percentiles("pins gone on the other node", times);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_during_a_refresh_stays_deleted() {
    let redis = RedisServer::start();
    let pipe = Pipe::new();
    // Nothing falls due while this runs.
    let config = format!(
        "[redis]\nurl = \"{}\"\n[origins.pipe]\nkind = \"file\"\npath = \"{}\"\n\
         [[listings]]\nname = \"{{category}}\"\norigin = \"pipe\"\nfresh_for = \"100d\"\nkeep_for = \"200d\"\npin_for = \"200d\"\n\
         [listings.sorts]\nprice = {{ by = [\"price\"] }}\nname = {{ by = [\"name\"] }}\n",
        redis.url(),
        pipe.path().display()
    );
    let here = Service::start(&config);
    let there = Service::start(&config);
    listeners(&redis, 2).await;
    const SHOES: &str = "/v1/listings/shoes";
    let item = |id: u64| format!("{{\"id\":{id},\"category\":\"shoes\",\"price\":{id},\"name\":\"n{id}\"}}\n");

    let (first, ()) = tokio::join!(page(&here, "shoes"), async { pipe.reading().await.give(&item(1)) });
    assert_eq!(first["total"], 1);
    let link = first["links"]["self"].as_str().unwrap();
    assert_eq!(page(&there, "shoes").await, first);
    assert_eq!(pinned(&there, link).await, 200);

    let refresh = here
        .admin(Method::POST, &format!("{SHOES}/refresh"))
        .send()
        .await
        .unwrap();
    assert_eq!(refresh.status(), 202);
    let mut reading = pipe.reading().await;
    reading.give(&item(1));
    reading.give(&item(2));
    // The refresh has read half of it when the other node deletes the listing.
    let delete = there.admin(Method::DELETE, SHOES).send().await.unwrap();
    assert_eq!(delete.status(), 204);
    gone_on_both([&there, &here], link).await;
    reading.give(&item(3));
    drop(reading);

    for (node, sort) in [(&here, "price"), (&here, "name"), (&there, "price"), (&there, "name")] {
        let explained = eventually(async || {
            let explain = node.admin(Method::GET, &format!("{SHOES}/explain?sort={sort}"));
            let explained = json_of(explain).await;
            // The refresh has ended.
            if explained["lease"].is_null() {
                Ok(explained)
            } else {
                Err(explained)
            }
        })
        .await;
        assert_eq!(explained["state"], "deleted", "{sort}: {explained}");
        let list = json_of(node.admin(Method::GET, "/v1/listings")).await;
        assert_eq!(list["listings"], json!([]));
        assert_eq!(pinned(node, link).await, 410);
    }
    assert_eq!(redis.cli(&["--scan", "--pattern", "*:gen:*"]), "", "no stream is left");

    // With an origin the next read fills it again, from a reading that began after the delete.
    let (again, ()) = tokio::join!(page(&there, "shoes"), async { pipe.reading().await.give(&item(4)) });
    assert_eq!((&again["total"], &again["items"][0]["id"]), (&json!(1), &json!(4)));
    assert!(generation_of(&again).id > generation_of(&first).id);
    assert_eq!(page(&here, "shoes").await["items"], again["items"]);
    assert_eq!(pinned(&here, link).await, 410);
}
