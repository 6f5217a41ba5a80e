//! The sample shop without JavaScript: the server renders its pages.

use super::*;

/// What stands in the page's `noscript`.
async fn plain(url: &str) -> String {
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    let page = answer.text().await.unwrap();
    let begin = page.find("<div class=\"plain\">").expect("a plain shop");
    let end = page[begin..].find("</noscript>").unwrap();
    page[begin..begin + end].to_owned()
}

/// The prices on the shelf, in order.
fn prices(plain: &str) -> Vec<String> {
    let products = plain.split("<ul class=\"plain-products\">").nth(1).unwrap();
    let products = products.split("</ul>").next().unwrap();
    let prices = products.split("<span>").skip(1);
    prices.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// The address behind the first link that begins so.
fn link(plain: &str, beginning: &str) -> String {
    let rest = plain
        .split(beginning)
        .nth(1)
        .unwrap_or_else(|| panic!("no {beginning}: {plain}"));
    let href = rest.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    href.replace("&amp;", "&")
}

async fn prices_of_api(demo: &Demo, query: &str) -> Vec<String> {
    let page: Value = reqwest::get(format!("{}/v1/listings/{query}", demo.url))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
    let cents = items.iter().map(|item| item["price_cents"].as_i64().unwrap());
    cents
        .map(|cents| format!("${}.{:02}", cents / 100, cents % 100))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shopper_without_javascript_pages_sorts_and_filters() {
    let demo = Demo::start();
    let front = plain(&demo.url).await;
    let by_price = link(&front, "aria-label=\"Sort by\"").replace("sort=popularity", "sort=price");
    let listing = by_price.split("listing=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(prices(&front), prices_of_api(&demo, listing).await);
    // Sorted, and on to the second page.
    let first = plain(&format!("{}{by_price}", demo.url)).await;
    assert_eq!(
        prices(&first),
        prices_of_api(&demo, &format!("{listing}?sort=price")).await
    );
    let second = plain(&format!("{}{}", demo.url, link(&first, "<a rel=\"next\""))).await;
    assert_eq!(
        prices(&second),
        prices_of_api(&demo, &format!("{listing}?sort=price&page=2")).await
    );
    assert!(second.contains("rel=\"prev\""));
    // A brand, and back to all.
    let of_brand = link(&second, "aria-label=\"Brand\"");
    let narrowed = plain(&format!("{}{of_brand}", demo.url)).await;
    let filter = of_brand.split("f.brand=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(
        prices(&narrowed),
        prices_of_api(&demo, &format!("{listing}?sort=price&f.brand={filter}")).await
    );
    let chosen = narrowed.split("aria-current=\"true\"").count() - 1;
    assert_eq!(chosen, 2, "the sort and the brand");
    // What an address holds is text and no markup, and errors are words.
    let hostile = plain(&format!("{}/?listing=%3Cscript%3Ealert(1)%3C/script%3E", demo.url)).await;
    assert!(
        hostile.contains("There is no such category") && !hostile.contains("<script>"),
        "{hostile}"
    );
    let hostile = plain(&format!("{}/?listing={listing}&f.brand=%22%3E%3Cimg%3E", demo.url)).await;
    assert!(
        hostile.contains("Nothing here") && !hostile.contains("<img>"),
        "{hostile}"
    );
    let wrong = plain(&format!("{}/?listing={listing}&sort=none", demo.url)).await;
    assert!(wrong.contains("That did not work"), "{wrong}");
}
