//! APIs as origins, against a real server that answers as the test says.

mod failures;
mod fields;
mod searches;
mod service;
mod spellings;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::TryStreamExt;
use listcache::{
    config::{Config, Sources},
    listing::{
        ListingName,
        definition::{Resolved, SortColumn},
    },
    origin::{Origin, OriginError, OriginItem, Origins, Read, ReadOrder, SortValue},
};

use crate::support::api::{Api, ApiAnswer, ApiRequest};

/// How many items the catalogue of these tests has: no multiple of a page's.
const ITEMS: usize = 23;
const SIZE: usize = 5;

/// The catalogue as the API writes it, space and decimals included.
fn catalogue() -> Vec<String> {
    let item = |number: usize| {
        let price = (number * 7) % ITEMS;
        let brand = if number.is_multiple_of(3) { "ACME & Co" } else { "Ö" };
        format!(r#"{{ "id": {number}, "price": {price}.50, "brand": "{brand}", "tags": [1 , {{}}] }}"#)
    };
    (1..=ITEMS).map(item).collect()
}

/// A part of the catalogue as a list.
fn list(from: usize, count: usize) -> String {
    let all = catalogue();
    let from = from.min(all.len());
    let to = (from + count).min(all.len());
    format!("[{}]", all[from..to].join(" , "))
}

/// A configuration of one listing, `c:{category}`, sorted by price. `origin` and `listing` are further keys.
fn config(api: &str, origin: &str, query: &str, listing: &str) -> Config {
    config_with(api, origin, query, listing, &[])
}

fn config_with(api: &str, origin: &str, query: &str, listing: &str, variables: &[(&str, &str)]) -> Config {
    let text = format!(
        r#"
        [origins.shop]
        kind = "http"
        url = "{api}/v1/"
        page_size = {SIZE}
        {origin}

        [[listings]]
        name = "c:{{category}}"
        origin = "shop"
        query = '''{query}'''
        sorts.price = {{ by = ["price"] }}
        {listing}
        "#
    );
    let sources = Sources {
        environment: variables.iter().copied().collect(),
        ..Sources::default()
    };
    sources.load_text(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn origin(config: &Config) -> Arc<dyn Origin> {
    Origins::open(&config.origins).unwrap().get("shop").unwrap()
}

fn read_of(config: &Config, name: &str, choices: &[(&str, &str)], order: ReadOrder) -> Read {
    let name = ListingName::parse(name).unwrap();
    let Resolved::Defined(defined) = config.definitions.resolve(&name) else {
        panic!("nothing fills {name}");
    };
    let choices: BTreeMap<&str, &str> = choices.iter().copied().collect();
    Read {
        choices: defined.definition.choices(&choices),
        defined,
        order,
        only: None,
    }
}

fn unsorted() -> ReadOrder {
    ReadOrder::Any {
        columns: vec!["price".into()],
    }
}

fn by_price() -> ReadOrder {
    ReadOrder::By(vec![SortColumn {
        column: "price".into(),
        descending: true,
    }])
}

async fn read(config: &Config, choices: &[(&str, &str)], order: ReadOrder) -> Result<Vec<OriginItem>, OriginError> {
    let items = origin(config).read(read_of(config, "c:A&B/C", choices, order)).await?;
    items.try_concat().await
}

fn texts(items: &[OriginItem]) -> Vec<String> {
    let text = |item: &OriginItem| String::from_utf8(item.item.json.to_vec()).unwrap();
    items.iter().map(text).collect()
}

/// The chain of an error's messages.
fn chain(error: &OriginError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

/// Reads the whole catalogue in both orders: nothing is missing, nothing is twice, no byte differs.
async fn reads_whole(config: &Config) {
    let items = read(config, &[], unsorted())
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(texts(&items), catalogue());
    assert_eq!(items[6].id, SortValue::Integer(7));
    assert_eq!(*items[6].keys, [SortValue::Real(3.5)]);

    let sorted = read(config, &[], by_price()).await.unwrap();
    let mut expect = catalogue();
    expect.sort_by_key(|item| {
        let item: serde_json::Value = serde_json::from_str(item).unwrap();
        std::cmp::Reverse(item["price"].as_f64().unwrap() as u64)
    });
    assert_eq!(texts(&sorted), expect);
    // By these values the stream's keys are made.
    assert!(sorted.iter().all(|item| matches!(*item.keys, [SortValue::Real(_)])));
}

const QUERY: &str = "GET /products/:category?n=:limit";

fn by_page(request: &ApiRequest, first: usize) -> ApiAnswer {
    let page = request.number_of("page").unwrap() - first;
    let n = request.number_of("n").unwrap_or(SIZE);
    ApiAnswer::json(format!(
        r#"{{"meta": {{"total": {ITEMS}}}, "items": {}}}"#,
        list(page * n, n)
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_number_give_the_whole() {
    let api = Api::start(|request| by_page(request, 1));
    let query = "GET /products/:category?n=:limit&page=:page";
    reads_whole(&config(
        &api.url,
        "paging = 'page'\nitems = '/items'\ntotal = '/meta/total'",
        query,
        "",
    ))
    .await;
    let requests = api.requests();
    assert_eq!(requests.len(), 2 * 5, "the total says when to stop");
    assert_eq!(requests[0].path, "/v1/products/A%26B%2FC");
    assert_eq!(requests[0].headers["accept"], "application/json");

    // Without the total an empty page ends it; a short one does not, for the API may have a bound of its own.
    reads_whole(&config(&api.url, "paging = 'page'\nitems = '/items'", query, "")).await;
    assert_eq!(api.requests().len(), 10 + 2 * 6);

    api.script(|request| by_page(request, 0));
    reads_whole(&config(
        &api.url,
        "paging = 'page'\nitems = '/items'\nfirst_page = 0",
        "GET /products/:category?page=:page",
        "",
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_give_the_whole_even_where_pages_are_shorter_than_asked() {
    let api = Api::start(|request| {
        assert_eq!(request.number_of("n"), Some(SIZE));
        let body = list(request.number_of("from").unwrap(), 3);
        ApiAnswer::json(body).header("x-total-count", ITEMS.to_string())
    });
    let query = "GET /products?c=:category&from=:offset&n=:limit";
    reads_whole(&config(&api.url, "paging = 'offset'", query, "")).await;
    let before = api.requests().len();
    reads_whole(&config(
        &api.url,
        "paging = 'offset'\ntotal_header = 'X-Total-Count'",
        query,
        "",
    ))
    .await;
    assert_eq!(api.requests().len() - before, 2 * 8);
    assert_eq!(api.requests()[0].query["c"], "A&B/C");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_leads_from_page_to_page() {
    let api = Api::start(|request| {
        let from = match request.query.get("after") {
            None => 0,
            Some(cursor) => cursor.strip_prefix("at: ä").unwrap().parse().unwrap(),
        };
        let to = from + SIZE;
        let next = if to < ITEMS {
            format!("\"at: ä{to}\"")
        } else {
            "null".to_owned()
        };
        ApiAnswer::json(format!(r#"{{"data": {}, "next": {next}}}"#, list(from, SIZE)))
    });
    let query = "GET /products/:category?after=:cursor";
    reads_whole(&config(
        &api.url,
        "paging = 'cursor'\nitems = '/data'\nnext = '/next'",
        query,
        "",
    ))
    .await;
    assert!(
        !api.requests()[0].query.contains_key("after"),
        "the first page has no cursor"
    );

    api.script(|_| ApiAnswer::json(r#"{"data": [], "next": 5}"#));
    let turning = config(
        &api.url,
        "paging = 'cursor'\nitems = '/data'\nnext = '/next'",
        query,
        "",
    );
    let error = read(&turning, &[], unsorted()).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the origin is unavailable: the next page's cursor is the same page's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_url_leads_from_page_to_page() {
    let api = Api::start(|request| {
        let from = request.number_of("from").unwrap_or(0);
        let to = from + SIZE;
        let next = if to < ITEMS {
            format!("?x=ü&from={to}")
        } else {
            String::new()
        };
        ApiAnswer::json(format!(
            r#"{{"items": {}, "links": {{"next": "{next}"}}}}"#,
            list(from, SIZE)
        ))
    });
    let keys = "paging = 'url'\nitems = '/items'\nnext = '/links/next'";
    reads_whole(&config(&api.url, keys, QUERY, "")).await;
    assert_eq!(api.requests()[1].path, "/v1/products/A%26B%2FC");

    api.script(|_| ApiAnswer::json(r#"{"items": [], "links": {"next": "http://elsewhere:80/v1"}}"#));
    let error = read(&config(&api.url, keys, QUERY, ""), &[], unsorted())
        .await
        .unwrap_err();
    let expect = "the origin is unavailable: the next page is on another host, `http://elsewhere`";
    assert_eq!(chain(&error), expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_header_leads_from_page_to_page() {
    let api = Api::start(|request| {
        let from = request.number_of("from").unwrap_or(0);
        let answer = ApiAnswer::json(list(from, SIZE)).header("link", "</v1/p>; rel=\"first\"");
        match from + SIZE {
            to if to < ITEMS => answer.header("link", format!("</v1/p>; rel=prev, </v1/p?from={to}>; rel=\"next\"")),
            _ => answer,
        }
    });
    reads_whole(&config(&api.url, "paging = 'link'", QUERY, "")).await;
    assert_eq!(api.requests().len(), 2 * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_may_be_all_and_packed() {
    let api = Api::start(|_| {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(list(0, ITEMS).as_bytes()).unwrap();
        ApiAnswer::json(packer.finish().unwrap()).header("content-encoding", "gzip")
    });
    reads_whole(&config(&api.url, "paging = 'none'", QUERY, "")).await;
    assert_eq!(api.requests()[0].headers["accept-encoding"], "gzip");
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_go_along() {
    let api = Api::start(|request| match &*request.path {
        "/v1/categories" => ApiAnswer::json(r#"[{"category": "B", "x": 1}, "A/1", 7]"#),
        _ => ApiAnswer::json(list(0, ITEMS)),
    });
    let query = "GET /p?c=:category&cur=:currency";
    let listing = "variants.currency = ['EUR', 'USD']\nnames = 'GET /categories'";
    let there = config(&api.url, "paging = 'none'", query, listing);
    let all = read(&there, &[("currency", "USD")], unsorted()).await.unwrap();
    assert_eq!(all.len(), ITEMS);
    assert_eq!(api.requests()[0].query["cur"], "USD");
    read(&there, &[], unsorted()).await.unwrap();
    assert_eq!(api.requests()[1].query["cur"], "EUR");
    let names = origin(&there)
        .names("GET /categories", &["category".into()])
        .await
        .unwrap();
    assert_eq!(names.concat(), ["7", "A/1", "B"]);
}
