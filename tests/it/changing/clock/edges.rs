//! Through nginx and Varnish, with the configurations of `docs/edge`: no page of before is shown once the service shows another.

use super::{
    AHEAD, IN_TIME, PROMOTED, Seen, USUAL, filled, ms, now_ms, path, seen,
    shop::{POSTGRES, PromotingShop},
    sleep_until,
};
use crate::{
    changing::databases::ShopDatabase,
    edge::{Edge, nginx, varnish},
    support::service::Service,
};

/// A page through an edge; in a coding, for nginx keeps one copy of each.
async fn through(edge: &Edge, client: &reqwest::Client, coding: &str) -> Seen {
    let asked = now_ms();
    let request = client
        .get(edge.url(&path(0, "price")))
        .header("accept-encoding", coding);
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    let headers = answer.headers().clone();
    let mut body = Vec::new();
    let bytes = answer.bytes().await.unwrap();
    match headers.get("content-encoding").map(|coding| coding.as_bytes()) {
        Some(b"gzip") => {
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut body).unwrap();
        }
        _ => body.extend(bytes),
    }
    Seen::of(asked, headers, &serde_json::from_slice(&body).unwrap())
}

/// Asks the edge without a pause, from well before the instant until after it. Returns for how long after the instant it showed the old page.
async fn no_old_page_is_shown(start: fn(&str) -> Edge) -> u64 {
    let mut shop = PromotingShop::new(ShopDatabase::postgres().await, POSTGRES).await;
    let at = now_ms() + 2 * ms(AHEAD);
    shop.promote(super::PRODUCT, 0, at, PROMOTED).await;
    // Stale pages are good for an hour, as ever.
    let service: Service = shop.start("stale_if_error = \"1h\"");
    filled(&shop, &[&service]).await;
    let edge = start(&service.address);
    let client = edge.client();
    let (mut hits, mut last_old, mut promoted_since) = (0, 0, None);
    let end = at + 3000;
    while now_ms() < end || promoted_since.is_none() {
        assert!(now_ms() < at + ms(IN_TIME), "the service shows no promotion");
        for coding in ["identity", "gzip"] {
            let page = through(&edge, &client, coding).await;
            // nginx adds a line of its own.
            let status = page.headers.get_all("cache-status").iter().next_back();
            if status.is_some_and(|status| status.as_bytes().ends_with(b"; hit")) {
                hits += 1;
            }
            match page.price {
                USUAL => {
                    last_old = page.asked;
                    // A browser behind this edge keeps it no longer, though nginx tells it the lifetime anew.
                    page.ends_by("cache-control", at);
                    // The service itself has shown the new one: then no cache may show the old one.
                    let since = promoted_since.unwrap_or(u64::MAX);
                    assert!(page.asked < since, "{} ms after the instant", page.asked - at);
                }
                price => assert_eq!(price, PROMOTED),
            }
        }
        if promoted_since.is_none() && now_ms() >= at && seen(&service, 0, "price").await.price == PROMOTED {
            promoted_since = Some(now_ms());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(hits > 20, "the edge has cached nothing: {hits} hits");
    sleep_until(at).await;
    last_old.saturating_sub(at)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_shows_no_old_page_after_the_instant() {
    no_old_page_is_shown(nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn varnish_shows_no_old_page_after_the_instant() {
    no_old_page_is_shown(varnish).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times: `make test` runs it by itself"]
async fn a_promotion_is_seen_through_caches_within_a_second() {
    for (name, edge) in [("nginx", nginx as fn(&str) -> Edge), ("varnish", varnish)] {
        let took = no_old_page_is_shown(edge).await;
        println!("{name}: an old page up to {took} ms after the instant");
        assert!(took < 1000, "{name}: {took} ms");
    }
}
