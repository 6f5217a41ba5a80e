//! A Redis that goes back to what it had before: listings in it look fresh, and lack changes that were worked off.

use super::{ChangingShop, check_all, of_ids, tell};
use crate::support::{RedisServer, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_a_redis_that_went_back_are_read_again_though_they_look_fresh() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let mut redis = RedisServer::start();
    let config = shop.config(&redis, "");
    let (service, other) = (Service::start(&config), Service::start(&config));
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    redis.cli(&["SAVE"]);
    for id in [3, 4, 5, 6] {
        shop.products.get_mut(&id).unwrap().offers = vec![Some(id)];
    }
    shop.write(&[3, 4, 5, 6]).await;
    tell(&service, of_ids(&[3, 4, 5, 6])).await;
    check_all(&service, &shop, &CATEGORIES).await;
    // An announcement that nobody can read is no other history: nothing is read again for it.
    let channel = redis.cli(&["PUBSUB", "CHANNELS", "*announcements"]);
    redis.cli(&["PUBLISH", &channel, "of another release"]);
    eventually(async || match service.log().contains("cannot be read") {
        true => Ok(()),
        false => Err(channel.clone()),
    })
    .await;
    assert!(!service.log().contains("older listings"), "{}", service.log());
    redis.restart();
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    let lines = service.log().matches("gone back to older listings").count();
    assert_eq!(lines, 1, "{}", service.log());
}
