//! The origin away or hanging: what there is goes out stale, what there is not is 503.

use std::time::{Duration, Instant};

use super::get;
use crate::support::{
    RedisServer, eventually,
    pipe::Pipe,
    service::{Service, Shop},
};

#[tokio::test(flavor = "multi_thread")]
async fn without_its_origin_a_listing_is_stale_until_the_origin_is_back() {
    const SHORT: &str = "/v1/listings/short:BREAD?size=30";
    const COLD: &str = "/v1/listings/category:BREAD";
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let before = get(&service, SHORT).await;
    assert_eq!(before.status, 200);
    shop.close();
    eventually(async || {
        let page = get(&service, SHORT).await;
        page.came_at_once();
        assert_eq!((page.status, page.ids()), (200, before.ids()), "{page:?}");
        if page.cache_status.contains("detail=origin-error") {
            Ok(())
        } else {
            Err(page)
        }
    })
    .await;
    let page = get(&service, SHORT).await;
    assert!(page.cache_control.starts_with("max-age=5"), "{page:?}");
    for _ in 0..20 {
        let cold = get(&service, COLD).await;
        cold.is_a_clean_503();
        cold.came_at_once();
    }
    shop.reopen();
    let begun = Instant::now();
    // By itself, once the back-off is over.
    eventually(async || {
        let (stale, cold) = (get(&service, SHORT).await, get(&service, COLD).await);
        let recovered = cold.status == 200 && !stale.cache_status.contains("origin-error");
        if recovered { Ok(()) } else { Err((stale, cold)) }
    })
    .await;
    eprintln!("the origin is back: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_hangs_keeps_a_request_no_longer_than_fill_wait() {
    let redis = RedisServer::start();
    let pipe = Pipe::new();
    let service = Service::start(&format!(
        "[http]\nfill_wait = \"1s\"\n[redis]\nurl = \"{}\"\n[origins.pipe]\nkind = \"file\"\npath = \"{}\"\n\
         [[listings]]\nname = \"{{category}}\"\norigin = \"pipe\"\n[listings.sorts]\nprice = {{ by = [\"price\"] }}\n",
        redis.url(),
        pipe.path().display()
    ));
    let (answer, reading) = tokio::join!(get(&service, "/v1/listings/shoes"), pipe.reading());
    answer.is_a_clean_503();
    assert_eq!(answer.body["code"], "nothing-yet", "{answer:?}");
    assert!((1000..1500).contains(&answer.took.as_millis()), "{answer:?}");
    // The reading is nobody's request: it goes on, and its end is everybody's.
    let mut reading = reading;
    reading.give("{\"id\":1,\"category\":\"shoes\",\"price\":1}\n");
    drop(reading);
    eventually(async || match get(&service, "/v1/listings/shoes").await {
        page if page.status == 200 => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(Duration::from_secs(1) <= answer.took);
}
