//! The sample shop in a real browser, served by the real program: what a shopper does, and what they see of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::browser::Browser;
use crate::support::{demo::Demo, eventually};

mod browser;
mod filtering;
mod plain;

/// The product and the price in cents of every card, in order.
async fn cards(browser: &Browser) -> Vec<(String, i64)> {
    let cards = browser
        .script(
            "return [...document.querySelectorAll('#cards li[data-id]')]
                .map((card) => [card.dataset.id, Number(card.dataset.priceCents)])",
        )
        .await;
    serde_json::from_value(cards).unwrap()
}

/// What the endpoint answers to the very request that the page made.
async fn answer_behind(browser: &Browser) -> Value {
    let url = browser
        .script("return document.getElementById('served-url').href")
        .await;
    reqwest::get(url.as_str().unwrap()).await.unwrap().json().await.unwrap()
}

/// The coding in which the browser gets what the page shows.
async fn coding_of_the_page(browser: &Browser) -> Value {
    browser
        .script(
            "return fetch(document.getElementById('served-url').href, { cache: 'reload' })
                .then(async (answer) => { await answer.json(); return answer.headers.get('content-encoding') })",
        )
        .await
}

/// The cards are the items of the answer, in its order.
#[track_caller]
fn assert_shows(cards: &[(String, i64)], answer: &Value) {
    let items: Vec<_> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let id = item["id"]
                .as_str()
                .map_or_else(|| item["id"].to_string(), str::to_owned);
            (id, item["price_cents"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(cards, items);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shopper_sorts_turns_pages_and_changes_their_size() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    browser.window(1280, 1000).await;

    // The front page is the fullest category, by popularity.
    browser.open(&demo.url).await;
    browser
        .sees("#results[data-state=ready][data-sort=popularity][data-order=asc][data-page='1'][data-size='24']")
        .await;
    let listing = browser.text_of_data("#results", "listing").await;
    let total: usize = browser.text_of_data("#results", "total").await.parse().unwrap();
    assert!(
        total > 48,
        "the fullest category of the sample has only {total} products"
    );
    assert_eq!(cards(&browser).await.len(), 24);
    assert_shows(&cards(&browser).await, &answer_behind(&browser).await);
    // What it shows came packed, and still does when all parts are deflated; the answer just compared did not.
    for _ in 0..3 {
        assert_eq!(coding_of_the_page(&browser).await, "gzip");
    }

    // Size.
    browser.click("#sizes a[data-size='12']").await;
    browser.sees("#results[data-state=ready][data-size='12']").await;
    assert_eq!(cards(&browser).await.len(), 12);

    // Sort, from the keyboard as well as with the mouse.
    browser.choose("#sort", "price").await;
    browser
        .sees("#results[data-state=ready][data-sort=price][data-order=asc]")
        .await;
    let lowest = cards(&browser).await;
    assert!(lowest.is_sorted_by_key(|(_, price)| *price), "{lowest:?}");
    assert_shows(&lowest, &answer_behind(&browser).await);

    // Order.
    browser.click("#order").await;
    browser.sees("#results[data-state=ready][data-order=desc]").await;
    let highest = cards(&browser).await;
    assert!(
        highest.iter().rev().is_sorted_by_key(|(_, price)| *price),
        "{highest:?}"
    );
    assert!(highest[0].1 >= lowest[11].1);

    // The pager, there and back; the address says where we are.
    browser.click("#pager a[data-go=next]").await;
    browser.sees("#results[data-state=ready][data-page='2']").await;
    let second = cards(&browser).await;
    assert_shows(&second, &answer_behind(&browser).await);
    assert!(
        second
            .iter()
            .all(|(id, _)| highest.iter().all(|(other, _)| other != id))
    );
    browser.click("#pager a[data-go=last]").await;
    let pages = total.div_ceil(12);
    browser
        .sees(&format!("#results[data-state=ready][data-page='{pages}']"))
        .await;
    assert_eq!(cards(&browser).await.len(), total - 12 * (pages - 1));
    assert!(browser.address().await.contains(&format!("page={pages}")));
    browser.back().await;
    browser.sees("#results[data-state=ready][data-page='2']").await;
    assert_eq!(cards(&browser).await, second);
    browser.click("#pager a[data-go=first]").await;
    browser.sees("#results[data-state=ready][data-page='1']").await;
    assert_eq!(cards(&browser).await, highest);

    // What served it: asked for again until its head was read less than L1's two seconds ago, it comes from this process's
    // memory.
    browser.click("#served summary").await;
    eventually(async || {
        browser.click("#ask-again").await;
        browser.sees("#results[data-state=ready]").await;
        match browser.text_of_data("#served", "layer").await {
            layer if layer == "l1" => Ok(()),
            layer => Err(layer),
        }
    })
    .await;
    let generation = browser.text_of_data("#results", "generation").await;
    assert!(browser.text("#served-etag").await.contains(&generation));

    // The same address opens the same page; a narrow window has the categories in a drawer.
    let address = browser.address().await;
    browser.window(500, 900).await;
    browser.open(&address).await;
    browser
        .sees("#results[data-state=ready][data-order=desc][data-size='12']")
        .await;
    assert_eq!(cards(&browser).await, highest);
    browser.click("#open-categories").await;
    browser.sees("#category-drawer[open]").await;
    browser
        .click("#category-drawer #category-list a:not([aria-current])")
        .await;
    browser
        .sees(&format!("#results[data-state=ready]:not([data-listing='{listing}'])"))
        .await;
    browser.sees("#category-drawer:not([open])").await;
    assert_shows(&cards(&browser).await, &answer_behind(&browser).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_price_appears_by_itself_in_every_open_window() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    browser.window(1280, 1000).await;
    let ready = "#results[data-state=ready]";

    browser.open(&demo.url).await;
    browser.sees(ready).await;
    let listing = browser.text_of_data("#results", "listing").await;
    let place = demo.page(&query(&[("listing", &listing), ("size", "24")]));
    browser.open(&place).await;
    let first = browser.current_window().await;
    let second = browser.open_second_window(&place).await;
    for window in [&second, &first] {
        browser.switch_to(window).await;
        browser.sees(ready).await;
        browser.sees("#live[data-state=live]").await;
        // This would not outlive a reload.
        browser.script("window.untouched = true").await;
    }

    let (id, price) = cards(&browser).await[8].clone();
    let card = format!("#cards li[data-id='{id}']");
    let new_price = price + 1234;
    browser
        .script("document.querySelectorAll('#cards li')[8].scrollIntoView({ block: 'center' })")
        .await;
    browser.click(&format!("{card} .change-price")).await;
    browser.sees("#price-dialog[open]").await;
    let scroll = browser.script("return scrollY").await;
    assert_ne!(scroll, json!(0));

    // Not a price: said so, nothing is sent.
    browser.fill("#price-input", "free").await;
    browser.click("#price-save").await;
    browser.sees("#price-input[aria-invalid]").await;

    browser
        .fill("#price-input", &format!("{}.{:02}", new_price / 100, new_price % 100))
        .await;
    browser.click("#price-save").await;
    let changed = format!("{card}[data-price-cents='{new_price}']");
    browser.sees(&changed).await;
    browser.sees("#price-dialog:not([open])").await;
    browser.sees(&format!("{changed}.changed")).await;
    assert_eq!(browser.script("return window.untouched").await, json!(true));
    assert_eq!(browser.script("return scrollY").await, scroll);
    let focused = "return document.activeElement.closest('li[data-id]')?.dataset.id ?? null";
    assert_eq!(browser.script(focused).await, json!(id));
    assert_shows(&cards(&browser).await, &answer_behind(&browser).await);

    browser.switch_to(&second).await;
    browser.sees(&changed).await;
    assert_eq!(browser.script("return window.untouched").await, json!(true));
}

/// While a shopper pages on, a product of the first page becomes the dearest of all. The pager stays in the state that it began with: no
/// product comes twice, none is missed, and the page says that it is older. Who asks for the newest gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pager_shows_each_product_once_and_says_when_the_list_has_changed() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    browser.window(1280, 1000).await;
    browser.open(&demo.url).await;
    browser.sees("#results[data-state=ready]").await;
    let listing = browser.text_of_data("#results", "listing").await;
    let sorted = query(&[("listing", &listing), ("sort", "price"), ("size", "12")]);
    browser.open(&demo.page(&sorted)).await;
    browser.sees("#results[data-state=ready][data-sort=price]").await;
    let mut seen = cards(&browser).await;
    let began = browser.text_of_data("#results", "generation").await;
    browser.click("#pager a[data-go=next]").await;
    browser.sees("#results[data-state=ready][data-page='2']").await;
    browser.sees("#live[data-state=live]").await;
    let second = cards(&browser).await;
    seen.extend(second.clone());

    let first: i64 = seen[0].0.parse().unwrap();
    let change = reqwest::Client::new().post(format!("{}/demo/price", demo.url));
    let change = change
        .header("origin", &demo.url)
        .json(&json!({"id": first, "price_cents": 99_999}));
    change.send().await.unwrap().error_for_status().unwrap();
    browser.sees("#older:not([hidden])").await;
    assert_eq!(cards(&browser).await, second);

    browser.click("#pager a[data-go=next]").await;
    browser.sees("#results[data-state=ready][data-page='3']").await;
    browser.sees("#older:not([hidden])").await;
    assert_eq!(browser.text_of_data("#results", "generation").await, began);
    seen.extend(cards(&browser).await);
    assert!(seen.is_sorted_by_key(|(_, price)| *price), "{seen:?}");
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 36, "{seen:?}");

    browser.click("#older-newest").await;
    browser
        .sees(&format!("#results[data-state=ready]:not([data-generation='{began}'])"))
        .await;
    browser.sees("#older[hidden]").await;

    // An address of a generation that is gone shows the newest.
    let gone = format!("{sorted}&page=2&generation=7-00000000");
    browser.open(&demo.page(&gone)).await;
    browser.sees("#results[data-state=ready][data-page='2']").await;
    assert!(!browser.address().await.contains("generation"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_says_kindly_what_is_not_there() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    browser.window(1280, 1000).await;

    browser.open(&demo.page("listing=category:THERE+IS+NO+SUCH")).await;
    browser
        .sees("#results[data-state=trouble] #trouble[data-status='404']")
        .await;
    assert_eq!(browser.text("#trouble-title").await, "There is no such category");
    browser.click("#category-list a").await;
    browser.sees("#results[data-state=ready]").await;

    // The skip link is what the keyboard reaches first.
    browser.open(&demo.url).await;
    browser.sees("#results[data-state=ready]").await;
    browser.press_tab().await;
    let focused = browser
        .script("return document.activeElement.getAttribute('href')")
        .await;
    assert_eq!(focused, json!("#results"));
}

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// A request of HTTP/2 names its host in another way, and what asks for it must find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_http_2_too_only_the_shops_own_page_changes_prices() {
    let demo = Demo::start();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (origin, code) in [
        (demo.url.as_str(), "unknown-product"),
        ("http://elsewhere.example", "cross-origin"),
    ] {
        let change = client
            .post(format!("{}/demo/price", demo.url))
            .header("origin", origin)
            .json(&json!({"id": 0, "price_cents": 100}));
        let answer: Value = change.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["code"], code);
    }
}

#[test]
fn a_price_whose_body_does_not_come_is_not_waited_for() {
    let demo = Demo::start();
    let host = demo.url.strip_prefix("http://").unwrap();
    let begun = Instant::now();
    let mut slow = TcpStream::connect(host).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /demo/price HTTP/1.1\r\nHost: {host}\r\nOrigin: {}\r\nContent-Length: 9\r\n\r\n",
        demo.url
    );
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("the connection is closed");
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow-body"),
        "{answer}"
    );
    assert!(
        (4500..15_000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
}
