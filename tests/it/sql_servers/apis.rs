//! The same catalogue behind APIs, one of each way of paging.

use std::collections::HashMap;

use listcache::config::{OriginConfig, Sources};
use serde_json::Value;

use crate::support::api::{Api, ApiAnswer, ApiRequest};

/// Items a page.
const SIZE: usize = 50;

/// What is told of an API's paging, and the request.
pub const STYLES: [(&str, &str, &str); 7] = [
    ("none", "paging = 'none'", "GET /none/:category"),
    (
        "page",
        "paging = 'page'\nitems = '/items'\ntotal = '/meta/total'",
        "GET /page/:category?page=:page",
    ),
    (
        "offset",
        "paging = 'offset'\ntotal_header = 'x-total-count'",
        "GET /offset/:category?from=:offset&n=:limit",
    ),
    (
        "cursor",
        "paging = 'cursor'\nitems = '/items'\nnext = '/next'",
        "GET /cursor/:category?after=:cursor",
    ),
    (
        "last_item",
        "paging = 'cursor'\nitems = '/hits'\nitem = '/_source'\nnext_in_item = '/sort'",
        "POST /last_item/:category\n{\"after\": \":cursor\"}",
    ),
    (
        "url",
        "paging = 'url'\nitems = '/items'\nnext = '/next'",
        "GET /url/:category",
    ),
    ("link", "paging = 'link'", "GET /link/:category"),
];

/// An API that pages in every way.
pub fn start(products: &[Value]) -> Api {
    let mut by_category: HashMap<String, Vec<String>> = HashMap::new();
    for product in products {
        let category = product["category"].as_str().unwrap().to_owned();
        by_category.entry(category).or_default().push(product.to_string());
    }
    Api::start(move |request| {
        let (style, category) = request.path.trim_start_matches('/').split_once('/').unwrap();
        let category = percent_encoding::percent_decode_str(category).decode_utf8().unwrap();
        answer(style, &by_category[&*category], request)
    })
}

fn answer(style: &str, items: &[String], request: &ApiRequest) -> ApiAnswer {
    let number = |name| request.number_of(name).unwrap_or(0);
    let from = match style {
        "none" => return ApiAnswer::json(format!("[{}]", items.join(","))),
        "page" => (number("page") - 1) * SIZE,
        "last_item" => request.body.get("after").and_then(Value::as_u64).unwrap_or(0) as usize,
        "cursor" => number("after"),
        _ => number("from"),
    };
    let from = from.min(items.len());
    let to = (from + SIZE).min(items.len());
    let page = items[from..to].join(", ");
    let (total, is_last) = (items.len(), to == items.len());
    match style {
        "page" => ApiAnswer::json(format!(r#"{{"meta": {{"total": {total}}}, "items": [{page}]}}"#)),
        "offset" => ApiAnswer::json(format!("[{page}]")).header("x-total-count", total.to_string()),
        "cursor" | "url" => {
            let next = match (is_last, style) {
                (true, _) => "null".to_owned(),
                (false, "cursor") => format!("\"{to}\""),
                (false, _) => format!("\"?from={to}\""),
            };
            ApiAnswer::json(format!(r#"{{"items": [{page}], "next": {next}}}"#))
        }
        "last_item" => {
            let hits = (from..to).map(|at| format!(r#"{{"_source": {}, "sort": {}}}"#, items[at], at + 1));
            ApiAnswer::json(format!(r#"{{"hits": [{}]}}"#, hits.collect::<Vec<_>>().join(",")))
        }
        _ if is_last => ApiAnswer::json(format!("[{page}]")),
        _ => ApiAnswer::json(format!("[{page}]")).header("link", format!("<?from={to}>; rel=\"next\"")),
    }
}

/// The API as an origin, one a way of paging, under its name.
pub fn origins(api: &Api) -> Vec<OriginConfig> {
    let origin = |(name, keys, _): (&str, &str, &str)| {
        format!(
            "[origins.{name}]\nkind = 'http'\nurl = '{}'\npage_size = {SIZE}\n{keys}\n",
            api.url
        )
    };
    let text: String = STYLES.map(origin).concat();
    let config = Sources::default().load_text(&text);
    config.unwrap_or_else(|errors| panic!("{errors}")).origins
}
