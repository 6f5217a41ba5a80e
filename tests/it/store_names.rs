//! Which listings there are.

use listcache::listing::ListingName;

use crate::support::{
    RedisServer,
    store::{connect, listing, publish},
};

#[tokio::test]
async fn listings_come_in_the_order_of_their_keys_over_all_partitions() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut keys: Vec<String> = (0..150).map(|at| format!("category:{at}/price")).collect();
    keys.extend(["a/price", "z/price", "category:7/name", "category%2Fx/price"].map(str::to_owned));
    for key in &keys {
        publish(&store, &listing(key), 1).await;
    }
    keys.sort();

    let texts = async |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(listing);
        let found = store.names.list(prefix, after.as_ref(), limit).await.unwrap();
        assert!(
            found
                .iter()
                .all(|(_, head)| head.live().is_some_and(|head| head.total == 1))
        );
        found.into_iter().map(|(key, _)| key.to_string()).collect()
    };
    assert_eq!(texts("", None, 1000).await, keys);
    let mut walked: Vec<String> = Vec::new();
    loop {
        let page = texts("", walked.last().map(String::as_str), 7).await;
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, keys);
    let of_prefix: Vec<String> = keys
        .iter()
        .filter(|key| key.starts_with("category:14"))
        .cloned()
        .collect();
    assert_eq!(texts("category:14", None, 1000).await, of_prefix);
    assert_eq!(texts("category:14", Some("a/price"), 2).await, of_prefix[..2]);
    assert_eq!(texts("category:14", Some("z/price"), 2).await, [""; 0]);
    assert_eq!(texts("", None, 0).await, [""; 0]);
}

#[tokio::test]
async fn the_listings_of_a_name_are_no_other_names() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let own = ["a/name", "a/price", "a/price.desc", "a/price?currency=EUR"];
    for key in own
        .iter()
        .chain(&["a%2Fprice/price", "ab/price", "a0/price", "A/price"])
    {
        publish(&store, &listing(key), 1).await;
    }
    let found = store
        .names
        .listings_of(&ListingName::parse("a").unwrap())
        .await
        .unwrap();
    assert_eq!(found, own.map(listing));
}

#[tokio::test]
async fn a_name_whose_head_is_gone_is_forgotten() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let (shoes, hats) = (listing("shoes/price"), listing("hats/price"));
    publish(&store, &shoes, 1).await;
    publish(&store, &hats, 1).await;
    redis.cli(&["DEL", &store.heads.key(&shoes)]);

    let found = store.names.list("", None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(store.names.listings_of(shoes.name()).await.unwrap().is_empty());
    let names = redis.cli_lines(&["--scan", "--pattern", "*names"]);
    assert_eq!(names.len(), 1, "{names:?}");
    publish(&store, &shoes, 1).await;
    assert_eq!(store.names.listings_of(shoes.name()).await.unwrap(), [shoes]);
}
