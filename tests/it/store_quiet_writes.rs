//! Writing without a reply for each entry: what is spared, what still shows, and who is written to otherwise.

use listcache::store::{GenerationWriter, Store, StoreError};

use crate::support::{
    RedisServer, eventually,
    store::{connect, item, json, listing, policy, publish},
};

/// In chunks of 4: more than a dozen pipelines.
const ITEMS: u64 = 20_000;
const ENTRIES: u64 = ITEMS / 4;
/// More than the first pipeline, which is never quiet.
const BEGUN: u64 = 2000;

/// A writer whose stream is there.
async fn begun(store: &Store) -> GenerationWriter {
    let shoes = listing("shoes/price");
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let mut writer = store
        .writes
        .begin(&shoes, grant.generations[0], grant.as_of, 7, &policy());
    for position in 0..BEGUN {
        writer.append(item(&position.to_string(), "1")).await.unwrap();
    }
    writer
}

/// Appends the rest until there is an error; pipelines on their way make it come late.
async fn refused(mut writer: GenerationWriter) -> StoreError {
    for position in BEGUN..ITEMS {
        if let Err(error) = writer.append(item(&position.to_string(), "1")).await {
            return error;
        }
    }
    writer.finish().await.expect_err("nothing was refused")
}

/// Publishes a listing, and returns how many bytes the server sent meanwhile.
async fn sent_for_a_publish(redis: &RedisServer, store: &Store) -> u64 {
    let sent = || -> u64 {
        let stats = redis.cli_lines(&["INFO", "stats"]);
        let line = stats
            .iter()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().trim().parse().unwrap()
    };
    let shoes = listing("shoes/price");
    let before = sent();
    let head = publish(store, &shoes, ITEMS).await;
    let sent = sent() - before;
    let chunks = store
        .pages
        .chunks(&shoes, head.generation, None, 0..ENTRIES)
        .await
        .unwrap();
    assert_eq!(chunks.len() as u64, ENTRIES);
    let found = chunks
        .iter()
        .flat_map(|chunk| (0..chunk.len()).map(|at| chunk.item(at)));
    for (position, found) in (0..).zip(found) {
        assert_eq!(found, json(head.generation, position));
    }
    sent
}

fn as_app(redis: &RedisServer, rights: &[&str]) -> String {
    let user = ["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all"];
    assert_eq!(redis.cli(&[&user, rights].concat()), "OK");
    format!("redis+unix://{}?user=app&pass=pass", redis.socket().display())
}

#[tokio::test]
async fn entries_are_taken_in_without_a_reply_each() {
    let redis = RedisServer::start();
    let sent = sent_for_a_publish(&redis, &connect(&redis.url()).await).await;
    // An entry's id alone would be ten bytes.
    assert!(sent < ENTRIES * 6, "{sent} bytes for {ENTRIES} entries");
}

#[tokio::test]
async fn a_user_without_the_right_is_answered_each_time() {
    let redis = RedisServer::start();
    let url = as_app(&redis, &["-client|reply"]);
    let sent = sent_for_a_publish(&redis, &connect(&url).await).await;
    assert!(sent > ENTRIES * 10, "{sent} bytes for {ENTRIES} entries");
}

#[tokio::test]
async fn where_the_right_is_taken_away_the_next_write_does_without() {
    let redis = RedisServer::start();
    let store = connect(&as_app(&redis, &[])).await;
    let writer = begun(&store).await;
    as_app(&redis, &["-client|reply"]);
    let error = refused(writer).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    eventually(async || store.draws.without_lease(listing("shoes/price").name(), 1).await).await;
    sent_for_a_publish(&redis, &store).await;
}

#[tokio::test]
async fn a_redis_that_becomes_full_meanwhile_says_so() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let writer = begun(&store).await;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let error = refused(writer).await;
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
}
