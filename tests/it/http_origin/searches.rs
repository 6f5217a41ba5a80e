//! Requests with a body, and sessions: as Elasticsearch has them.

use serde_json::{Value, json};

use super::*;
use crate::support::eventually;

const SEARCH: &str = r#"POST /_search
{
  "size": ":limit",
  "query": {"bool": {"filter": [{"term": {"category": ":category"}}]}},
  "pit": {"id": ":session", "keep_alive": "1m"},
  "sort": [{"price": "asc"}, {"_shard_doc": "asc"}],
  "search_after": ":cursor",
  "track_total_hits": true
}"#;
const ELASTIC: &str = r#"
paging = "cursor"
next_in_item = "/sort"
items = "/hits/hits"
item = "/_source"
total = "/hits/total/value"
[origins.shop.session]
open = "POST /products/_pit?keep_alive=1m"
id = "/id"
renewed = "/pit_id"
close = '''DELETE /_pit
{"id": ":session"}'''
"#;

/// Answers as Elasticsearch does: positions by `sort`, a newer id of the point in time with each answer.
fn elastic(request: &ApiRequest) -> ApiAnswer {
    if request.path.ends_with("/products/_pit") {
        assert_eq!((&*request.method, &request.body), ("POST", &Value::Null));
        return ApiAnswer::json(r#"{"id": "pit/0\u002b="}"#);
    }
    if request.method == "DELETE" {
        return ApiAnswer::json(r#"{"succeeded": true}"#);
    }
    let from = match request.body.get("search_after") {
        None => 0,
        // What a float would have rounded.
        Some(after) => {
            assert_eq!(after[0].to_string(), "9007199254740993");
            after[1].as_u64().unwrap() as usize
        }
    };
    let used = request.body["pit"]["id"].as_str().unwrap();
    assert_eq!(
        used,
        if from == 0 {
            "pit/0+=".to_owned()
        } else {
            format!("pit/{}", from / SIZE)
        }
    );
    let hits = catalogue().into_iter().enumerate().skip(from).take(SIZE);
    let hits: Vec<String> = hits
        .map(|(at, item)| {
            format!(
                r#"{{"_id": "x", "_source": {item}, "sort": [9007199254740993, {}]}}"#,
                at + 1
            )
        })
        .collect();
    ApiAnswer::json(format!(
        r#"{{"pit_id": "pit/{}", "hits": {{"total": {{"value": {ITEMS}, "relation": "eq"}}, "hits": [{}]}}}}"#,
        from / SIZE + 1,
        hits.join(",")
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_goes_on_after_the_last_hit_within_one_point_in_time() {
    let api = Api::start(elastic);
    reads_whole(&config(&api.url, ELASTIC, SEARCH, "")).await;

    let searches: Vec<_> = api
        .requests()
        .into_iter()
        .filter(|request| request.path == "/v1/_search")
        .collect();
    assert_eq!(searches.len(), 2 * 5);
    assert_eq!(searches[0].headers["content-type"], "application/json");
    let expect = json!({
        "size": 5,
        "query": {"bool": {"filter": [{"term": {"category": "A&B/C"}}]}},
        "pit": {"id": "pit/0+=", "keep_alive": "1m"},
        "sort": [{"price": "asc"}, {"_shard_doc": "asc"}],
        "track_total_hits": true
    });
    assert_eq!(searches[0].body, expect, "the cursor is not there");
    // What was opened is closed, by its newest id.
    let closed = eventually(async || {
        let requests = api.requests().into_iter();
        let closed: Vec<_> = requests.filter(|request| request.method == "DELETE").collect();
        if closed.len() == 2 { Ok(closed) } else { Err(closed) }
    })
    .await;
    assert!(closed.iter().all(|request| request.body == json!({"id": "pit/5"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_closed_when_its_read_fails_too() {
    let api = Api::start(|request| match &*request.path {
        "/v1/_search" => ApiAnswer::status(400),
        _ => elastic(request),
    });
    let config = config(&api.url, ELASTIC, SEARCH, "");
    let error = read(&config, &[], unsorted()).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "the origin is unavailable: POST /v1/_search answered 400 Bad Request"
    );
    eventually(async || {
        let requests = api.requests();
        let closed = requests.iter().any(|request| request.method == "DELETE");
        if closed { Ok(()) } else { Err(requests.len()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variant_is_a_json_string_in_the_body() {
    let api = Api::start(|_| ApiAnswer::json(list(0, ITEMS)));
    let query = "POST /find\n{\"c\": \":category\", \"cur\": \":currency\", \"f\": [{\"b\": \":currency\"}], \"n\": \":limit\"}";
    let listing = "variants.currency = ['E\"U', '\"},{\"x\":\"']";
    let config = config(&api.url, "paging = 'none'", query, listing);
    read(&config, &[("currency", "\"},{\"x\":\"")], unsorted())
        .await
        .unwrap();
    let hostile = "\"},{\"x\":\"";
    let expect = json!({"c": "A&B/C", "cur": hostile, "f": [{"b": hostile}], "n": 5});
    assert_eq!(api.requests()[0].body, expect);
}
