//! The filters of the sample shop.

use super::*;

/// The values of a filter that are shown, with their counts.
async fn values(browser: &Browser, filter: &str) -> Vec<(String, u64)> {
    let script = format!(
        "return [...document.querySelectorAll('#filter-{filter} li')].map((row) =>
            [row.dataset.value, Number(row.querySelector('.filter-count').firstChild.data.replaceAll(',', ''))])"
    );
    serde_json::from_value(browser.script(&script).await).unwrap()
}

async fn total(browser: &Browser) -> u64 {
    browser.text_of_data("#results", "total").await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shopper_filters_by_what_is_on_the_shelf() {
    let demo = Demo::start();
    let browser = Browser::start().await;
    browser.window(1280, 1000).await;
    browser.open(&demo.url).await;
    browser.sees("#results[data-state=ready]").await;
    let all = total(&browser).await;
    let place_of_cards = "return document.getElementById('cards').getBoundingClientRect().top";
    let top = browser.script(place_of_cards).await;
    let brands = values(&browser, "brand").await;
    assert_eq!(brands.iter().map(|(_, count)| count).sum::<u64>(), all, "{brands:?}");
    let (brand, count) = brands[0].clone();

    // A choice: as many products as were promised, the address says it, nothing moves, and the box keeps the focus.
    browser
        .click(&format!("#filter-brand li[data-value='{brand}'] input"))
        .await;
    browser.sees(&format!("#chips a[data-value='{brand}']")).await;
    browser
        .sees(&format!("#results[data-state=ready][data-total='{count}']"))
        .await;
    assert!(browser.address().await.contains(&format!("f.brand={brand}")));
    assert_eq!(browser.script(place_of_cards).await, top);
    let focused = "return document.activeElement.closest('li')?.dataset.value";
    assert_eq!(browser.script(focused).await, json!(brand));
    assert_shows(&cards(&browser).await, &answer_behind(&browser).await);
    // The other brands can still be chosen, with the counts that they had; the other filters count what is left.
    assert_eq!(values(&browser, "brand").await, brands);
    let prices = values(&browser, "price").await;
    assert_eq!(prices.iter().map(|(_, count)| count).sum::<u64>(), count, "{prices:?}");

    // Another filter, by the keyboard; it narrows further.
    let (price, left) = prices.last().unwrap().clone();
    let input = browser
        .sees(&format!("#filter-price li[data-value='{price}'] input"))
        .await;
    input.send_keys(" ").await.unwrap();
    browser
        .sees(&format!("#results[data-state=ready][data-total='{left}']"))
        .await;

    // Reloaded, it is the same; a step back takes the last choice away; a chip takes the other.
    let address = browser.address().await;
    browser.open(&address).await;
    browser
        .sees(&format!("#results[data-state=ready][data-total='{left}']"))
        .await;
    browser
        .sees(&format!("#filter-price li[data-value='{price}'] input:checked"))
        .await;
    browser.back().await;
    browser
        .sees(&format!("#results[data-state=ready][data-total='{count}']"))
        .await;
    browser.click(&format!("#chips a[data-value='{brand}']")).await;
    browser
        .sees(&format!("#results[data-state=ready][data-total='{all}']"))
        .await;

    // Nothing has all of it: that is said, with the way out.
    let listing = browser.text_of_data("#results", "listing").await;
    browser
        .open(&format!("{}/?listing={listing}&f.brand=Nobody", demo.url))
        .await;
    browser.sees("#results[data-state=ready][data-total='0']").await;
    assert!(
        browser
            .text("#summary")
            .await
            .starts_with("No product has all of this.")
    );
    browser.click("#summary a").await;
    browser
        .sees(&format!("#results[data-state=ready][data-total='{all}']"))
        .await;
    // Another category begins without the filters of this one.
    browser.open(&address).await;
    browser.sees("#chips a").await;
    browser.click("#category-list a:not([aria-current])").await;
    browser.sees("#results[data-state=ready] #chips:empty").await;

    // On a small window the same panel is folded above the products.
    browser.window(420, 900).await;
    browser.sees("#filters-narrow #filters").await;
}
