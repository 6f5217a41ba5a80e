//! Writing aside: what readers see of it, and what writers leave behind.

use listcache::{
    listing::{HeadState, ListingKey},
    store::StoreError,
};

use crate::support::{
    RedisServer, eventually,
    store::{connect, failing, family, finished, granted, item, items, json, listing, policy, publish},
};

#[tokio::test]
async fn order_and_repeated_ids_are_kept_as_any_client_sees() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let mut writer = store
        .writes
        .begin(&shoes, grant.generations[0], grant.as_of, 7, &policy());
    let written = [
        ("b", "1"),
        ("a", "{\"é\":\"\\u0000\"}"),
        ("b", "3"),
        ("a", "4"),
        ("c", "5"),
    ];
    for (id, json) in written {
        writer.append(item(id, json)).await.unwrap();
    }
    assert_eq!(writer.items(), 5);
    let generation = writer.finish().await.unwrap();
    assert_eq!((generation.key(), generation.total()), (&shoes, 5));
    store.writes.publish(generation, &policy(), None, None).await.unwrap();

    let expect: Vec<&str> = written.iter().map(|(_, json)| *json).collect();
    assert_eq!(items(&store, &shoes, grant.generations[0]).await, expect);
    let key = store.pages.stream_key(&shoes, grant.generations[0]);
    let lines = redis.cli_lines(&["XRANGE", &key, "0-1", "+", "COUNT", "2"]);
    let is_sum = |line: &&String| line.len() == 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert_eq!(
        lines.iter().filter(is_sum).count(),
        2,
        "each entry ends in its check sum: {lines:?}"
    );
    let items: Vec<&String> = lines.iter().filter(|line| !line.is_empty() && !is_sum(line)).collect();
    assert_eq!(
        items,
        [
            "0-1",
            "b",
            "1",
            "a",
            "{\"é\":\"\\u0000\"}",
            "b",
            "3",
            "a",
            "4",
            "0-2",
            "c",
            "5"
        ]
    );
}

#[tokio::test]
async fn a_large_generation_is_written_in_batches() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let head = publish(&store, &shoes, 3001).await;
    let found = items(&store, &shoes, head.generation).await;
    let expect: Vec<String> = (0..3001).map(|position| json(head.generation, position)).collect();
    assert_eq!(found, expect);
    let description = store.pages.describe(&shoes, head.generation).await.unwrap().unwrap();
    assert_eq!(description.total, 3001);
    assert!(store.pages.bytes(&shoes, &head).await.unwrap()[0] > Some(3001 * 40));
}

#[tokio::test]
async fn what_a_writer_wrote_is_gone_when_it_gives_up() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let streams = || redis.cli_lines(&["--scan", "--pattern", "*:gen:*"]);
    let gone = async || if streams().is_empty() { Ok(()) } else { Err(streams()) };

    for how in ["abandoned", "dropped", "finished and dropped"] {
        let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
        let mut writer = store
            .writes
            .begin(&shoes, grant.generations[0], grant.as_of, 7, &policy());
        for position in 0..2000 {
            writer.append(item(&position.to_string(), "1")).await.unwrap();
        }
        assert_eq!(streams().len(), 1);
        match how {
            "abandoned" => {
                writer.abandon().await;
                assert!(streams().is_empty());
            }
            "dropped" => drop(writer),
            _ => drop(writer.finish().await.unwrap()),
        }
        eventually(gone).await;
        assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Absent);
    }
}

/// Appends until an error comes back; the batches make it come late.
async fn append_until_refused(
    store: &listcache::store::Store,
    key: &ListingKey,
    after_first_batch: impl FnOnce(),
) -> StoreError {
    let grant = store.draws.without_lease(key.name(), 1).await.unwrap();
    let mut writer = store.writes.begin(key, grant.generations[0], grant.as_of, 7, &policy());
    let stream = store.pages.stream_key(key, grant.generations[0]);
    let mut after_first_batch = Some(after_first_batch);
    for position in 0..10_000 {
        if let Err(error) = writer.append(item(&position.to_string(), "1")).await {
            assert!(error.to_string().contains(&stream), "{error}");
            return error;
        }
        if position == 2000
            && let Some(now) = after_first_batch.take()
        {
            now();
        }
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn a_stream_that_expired_under_its_writer_is_not_born_again() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let refused = append_until_refused(&store, &shoes, || {
        let stream = redis.cli(&["--scan", "--pattern", "*:gen:*"]);
        assert_eq!(redis.cli(&["DEL", &stream]), "1");
    });
    assert!(matches!(refused.await, StoreError::Corrupt { .. }));
    assert!(redis.cli_lines(&["--scan", "--pattern", "*:gen:*"]).is_empty());
}

#[tokio::test]
async fn a_killed_writer_leaves_nothing_without_an_expiry() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 9).await;
    publish(&store, &shoes, 9).await;
    publish(&store, &listing("hats/price"), 0).await;
    store.writes.delete(&[listing("hats/price")], &policy()).await.unwrap();
    let family = family("socks");
    let mut grant = granted(store.draws.with_lease(&family, 2, false).await.unwrap());
    store
        .failures
        .record(&family, failing("broken", std::time::Duration::from_secs(5)))
        .await
        .unwrap();
    store.reads.record(&[(family.clone(), 3)]).await.unwrap();
    let unpublished = finished(&store, &listing("socks/price"), &grant, 9).await;
    grant.generations.remove(0);
    let mut writer = store
        .writes
        .begin(&listing("socks/name"), grant.generations[0], grant.as_of, 7, &policy());
    for position in 0..2000 {
        writer.append(item(&position.to_string(), "1")).await.unwrap();
    }
    assert!(
        redis.cli(&[
            "EXISTS",
            &store.pages.stream_key(&listing("socks/name"), grant.generations[0])
        ]) == "1"
    );
    // As SIGKILL would: nothing is dropped.
    std::mem::forget((unpublished, writer));

    let bounded = ["log", "due", "names", "reads", "popular", "last", "meta"];
    for key in redis.cli_lines(&["--scan"]) {
        let class = key
            .rsplit_once("}:")
            .map_or("meta", |(_, rest)| rest.split(':').next().unwrap());
        let left: i64 = redis.cli(&["PTTL", &key]).parse().unwrap();
        if bounded.contains(&class) {
            assert_eq!(left, -1, "{key}");
        } else {
            assert!(left > 0, "{key} {left}");
        }
    }
}
