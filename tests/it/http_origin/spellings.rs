//! One thing, as APIs write it in several ways: each is read, or is an error. None of them ends a read early.

use std::io::Write;

use super::*;

const LINKED: &str = "paging = 'link'";

async fn fails(config: &Config, expect: &str) {
    let outcome = read(config, &[], unsorted()).await;
    let error = outcome.map(|items| items.len()).expect_err(expect);
    assert_eq!(chain(&error), expect);
}

async fn counts(config: &Config, expect: usize, case: &str) {
    // The items of these tests have no price.
    let order = ReadOrder::Any { columns: Vec::new() };
    match read(config, &[], order).await {
        Ok(items) => assert_eq!(items.len(), expect, "{case}"),
        Err(error) => panic!("{case}: {}", chain(&error)),
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_header_is_read_in_every_form_or_is_an_error() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let linked = |link: &'static str| {
        api.script(move |request| {
            let from = request.number_of("from").unwrap_or(0);
            let answer = ApiAnswer::json(list(from, SIZE));
            match from + SIZE {
                to if to < ITEMS => answer.header("link", link.replace("TO", &to.to_string())),
                _ => answer,
            }
        });
    };
    let shop = config(&api.url, LINKED, QUERY, "");
    for form in [
        "</v1/p>; title=\"Öl & Brot\"; rel=\"prev\", </v1/p?from=TO>; title=\"Käse\"; rel=\"next\"",
        "</v1/p?from=TO>; rel='next'",
        "</v1/p>; title='it''s, new'; rel='prev first', </v1/p?from=TO>; rel='last next'",
        "<?from=TO>; rel=next",
        "<?from=TO#top>; rel=next",
        "</v1/ö l?from=TO>; rel=next",
    ] {
        linked(form);
        reads_whole(&shop).await;
    }
    for broken in [
        "</v1/p?from=TO; rel=next",
        "</v1/p?from=TO>; title=\"open; rel=next",
        "page 2",
        "/v1/p?from=TO; rel=next",
    ] {
        linked(broken);
        fails(
            &shop,
            "the origin is unavailable: the answer's header `Link` cannot be read",
        )
        .await;
    }

    // Another way of paging that finds no next page where the API has one.
    api.script(|_| {
        let body = format!(r#"{{"items": {}, "next": "x"}}"#, list(0, SIZE));
        ApiAnswer::json(body).header("link", "</v1/p?from=5>; rel=next")
    });
    for keys in ["paging = 'none'", "paging = 'url'\nnext = '/nxet'"] {
        let shop = config(&api.url, &format!("{keys}\nitems = '/items'"), QUERY, "");
        let named = "the answer names a next page in its header `Link`, and `paging` finds none: \"link\" follows it";
        fails(&shop, &format!("the definition does not fit the origin: {named}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_page_s_url_and_a_redirect_come_in_every_form() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let port = api.url.rsplit(':').next().unwrap().to_owned();
    let variables = [("LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION", "Bearer hunter2")];
    let keys = "paging = 'url'\nitems = '/items'\nnext = '/next'";
    let shop = config_with(&api.url, keys, QUERY, "", &variables);
    for form in [
        format!("http://127.0.0.1:{port}/v1/p?from=TO"),
        format!("//127.0.0.1:{port}/v1/p?from=TO"),
        format!("HTTP://someone:else@127.0.0.1:{port}/v1/p?from=TO"),
        // An API behind a proxy does not know its own scheme.
        format!("https://127.0.0.1:{port}/v1/p?from=TO"),
        " p?from=TO#end ".to_owned(),
        "/v1/größe?from=TO".to_owned(),
    ] {
        api.script(move |request| {
            let from = request.number_of("from").unwrap_or(0);
            let next = match from + SIZE {
                to if to < ITEMS => form.replace("TO", &to.to_string()),
                _ => " ".to_owned(),
            };
            ApiAnswer::json(format!(r#"{{"items": {}, "next": "{next}"}}"#, list(from, SIZE)))
        });
        reads_whole(&shop).await;
    }
    let sent = |request: &ApiRequest| request.headers["authorization"] == "Bearer hunter2";
    assert!(api.requests().iter().all(sent), "a link names no other user");

    // A relative link counts from where the page was in the end; a `Location` may hold UTF-8.
    let api_url = api.url.clone();
    api.script(move |request| match &*request.path {
        "/v1/products/A%26B%2FC" => ApiAnswer::status(301).header("location", format!("{api_url}/neu/größe/1#x")),
        "/neu/gr%C3%B6%C3%9Fe/1" => ApiAnswer::json(r#"{"items": [{"id": 1}], "next": "2"}"#),
        "/neu/gr%C3%B6%C3%9Fe/2" => ApiAnswer::json(r#"{"items": [{"id": 2}]}"#),
        _ => ApiAnswer::status(400),
    });
    counts(&shop, 2, "relative to the redirect's target").await;

    // The host is the API's own, or the link is refused.
    for foreign in [
        "http://127.0.0.2/v1/p",
        "https://127.0.0.1:1/p",
        "//elsewhere/p",
        "ftp://127.0.0.1/p",
    ] {
        api.script(move |_| ApiAnswer::json(format!(r#"{{"items": [], "next": "{foreign}"}}"#)));
        let error = read(&shop, &[], unsorted()).await.unwrap_err();
        assert!(chain(&error).contains("is on another host"), "{}", chain(&error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_has_one_meaning() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let by_page = |keys: &str| {
        let keys = format!("paging = 'page'\nitems = '/data/items'\n{keys}");
        config(&api.url, &keys, "GET /p/:category?page=:page", "")
    };
    let (shop, counted) = (by_page(""), by_page("total = '/total'"));
    let headed = by_page("total_header = 'x-total'");
    let full = r#"{"data": {"items": [{"id": 1}, {"id": 2}]}, "total": 2}"#;
    for end in [
        r#"{"data": {"items": []}}"#,
        r#"{"data": {"items": null}}"#,
        r#"{"data": {"items": {}}, "total": null}"#,
        r#"{"data": {"items": ""}, "total": ""}"#,
        r#"{"data": {"items": [ ]}, "total": []}"#,
        r#"{"data": []}"#,
        r#"{"data": null}"#,
        "{ }",
        "[]",
        "null",
    ] {
        api.script(move |request| match request.number_of("page") {
            Some(1) => ApiAnswer::json(r#"{"data": {"items": [{"id": 1}, {"id": 2}]}, "total": "3.0"}"#)
                .header("x-total", "3.0"),
            Some(2) => ApiAnswer::json(r#"{"data": {"items": [{"id": 3}]}, "total": 3.0}"#).header("x-total", " 3"),
            _ => ApiAnswer::json(end),
        });
        for shop in [&shop, &counted, &headed] {
            counts(shop, 3, end).await;
        }
        api.script(move |_| ApiAnswer::json(end));
        for shop in [&shop, &counted, &headed] {
            counts(shop, 0, end).await;
        }
    }
    // A list that is not there at all is empty where the total agrees, or the configuration says so.
    let nothing = "the definition does not fit the origin: the answer has nothing at `/data/items` (`items`)";
    let absent = r#"{"data": {"kind": "products"}, "total": "0"}"#;
    api.script(move |_| ApiAnswer::json(absent));
    counts(&counted, 0, absent).await;
    counts(&by_page("not_found = 'empty'"), 0, absent).await;
    fails(&shop, nothing).await;
    // On a later page it would cut the listing.
    api.script(move |request| match request.number_of("page") {
        Some(1) => ApiAnswer::json(full),
        _ => ApiAnswer::json(absent),
    });
    fails(&by_page("not_found = 'empty'"), nothing).await;

    // What has items has its total.
    api.script(|_| ApiAnswer::json(r#"{"data": {"items": [{"id": 1}]}, "total": null}"#));
    let says = |what: &str| format!("the definition does not fit the origin: the answer has {what}");
    fails(&counted, &says("nothing at `/total` (`total`)")).await;
    fails(&headed, &says("no header `x-total` (`total_header`)")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_cursor_is_empty_and_not_unreadable() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let keys = "paging = 'cursor'\nitems = '/data'\nnext = '/meta/next'";
    let shop = config(&api.url, keys, "GET /p/:category?after=:cursor", "");
    let answers = |meta: &'static str| {
        api.script(move |request| match request.query.get("after") {
            None => ApiAnswer::json(format!(r#"{{"data": {}, "meta": {{"next": "x"}}}}"#, list(0, SIZE))),
            Some(_) => ApiAnswer::json(format!(r#"{{"data": {}{meta}}}"#, list(SIZE, SIZE))),
        });
    };
    for end in [
        "",
        r#", "meta": null"#,
        r#", "meta": []"#,
        r#", "meta": {"next": [ ]}"#,
        r#", "meta": {"next": {}}"#,
        r#", "meta": {"next": " "}"#,
        r#", "meta": {"next": false}"#,
    ] {
        answers(end);
        counts(&shop, 2 * SIZE, end).await;
    }
    let misdeclared = "the definition does not fit the origin: `next`:";
    let on_the_way = "stands on the way to `/meta/next`, where an object should be";
    answers(r#", "meta": "page 2 of 5""#);
    fails(&shop, &format!("{misdeclared} a text {on_the_way}")).await;
    answers(r#", "meta": [{"next": "y"}]"#);
    fails(&shop, &format!("{misdeclared} a list {on_the_way}")).await;
    answers(r#", "meta": {"next": "\ud83d"}"#);
    let half = "the origin is unavailable: the next page's cursor or URL is no text that can be sent back";
    fails(&shop, half).await;

    // A last item without its cursor would begin anew.
    let keys = "paging = 'cursor'\nitems = '/data'\nnext_in_item = '/sort'\nitem = '/it'";
    let sorted = config(&api.url, keys, "GET /p/:category?after=:cursor", "");
    api.script(|_| ApiAnswer::json(r#"{"data": [{"it": {"id": 1}, "sort": null}]}"#));
    let expect = "the definition does not fit the origin: the answer has nothing at `/sort` (`next_in_item`)";
    fails(&sorted, expect).await;

    // A cursor has the bound that a URL has.
    api.script(|_| {
        ApiAnswer::json(format!(
            r#"{{"data": [], "meta": {{"next": "{}"}}}}"#,
            "x".repeat(40_000)
        ))
    });
    let expect = "the origin is unavailable: GET /v1/p/A%26B%2FC is longer than 32768 bytes with its query";
    fails(&shop, expect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_a_coding_in_capitals_and_padding_change_nothing() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let shop = config(&api.url, "paging = 'none'", QUERY, "");
    api.script(|_| ApiAnswer::json(format!("\u{feff}{}", list(0, ITEMS))));
    reads_whole(&shop).await;
    for coding in ["GZIP", "X-Gzip", "identity, gzip"] {
        api.script(move |_| {
            let padded = [packed(&list(0, ITEMS)), vec![0; 512]].concat();
            ApiAnswer::json(padded).header("content-encoding", coding)
        });
        reads_whole(&shop).await;
    }
    api.script(|_| {
        let trailed = [packed(&list(0, ITEMS)), b"\0\0x".to_vec()].concat();
        ApiAnswer::json(trailed).header("content-encoding", "gzip")
    });
    fails(&shop, "the origin is unavailable: not whole gzip").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_good_answer_fails_the_read_and_passes_where_it_says_so() {
    let api = Api::start(|_| ApiAnswer::status(500));
    let keys = "paging = 'cursor'\nitems = '/data/products/nodes'\nnext = '/data/products/pageInfo/endCursor'";
    let query = "POST /graphql\n{\"variables\": {\"c\": \":category\", \"after\": \":cursor\"}}";
    let shop = config(&api.url, keys, query, "");
    let page = |errors: &str| {
        let nodes = list(0, SIZE);
        format!(r#"{{"data": {{"products": {{"nodes": {nodes}, "pageInfo": {{"endCursor": null}}}}}}{errors}}}"#)
    };
    // A part came: it is not published.
    let partial = page(r#", "errors": [{"message": "price service is away", "path": ["products"]}]"#);
    api.script(move |_| ApiAnswer::json(partial.clone()));
    let says = "the origin is unavailable: POST /v1/graphql answered with an error:";
    fails(&shop, &format!("{says} price service is away")).await;
    assert_eq!(api.requests().len(), 1, "it does not pass by itself");

    // Throttled is asked again, with `data` or without.
    let whole = page("");
    api.script(move |request| match request.number {
        1 => ApiAnswer::json(r#"{"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}"#)
            .header("retry-after", "0.7"),
        2 => ApiAnswer::json(r#"{"data": null, "errors": [{"type": "RATE_LIMITED", "message": "Slow down"}]}"#),
        _ => ApiAnswer::json(whole.clone()),
    });
    let begun = std::time::Instant::now();
    counts(&shop, SIZE, "after two refusals").await;
    assert!(
        begun.elapsed() >= std::time::Duration::from_secs_f64(0.7 + 0.32),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(api.requests().len(), 4);
    api.script(|_| ApiAnswer::json(r#"{"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}"#));
    let impatient = config(&api.url, &format!("{keys}\nretries = 1"), query, "");
    fails(&impatient, &format!("{says} Throttled")).await;
    assert_eq!(api.requests().len(), 6);

    // Errors elsewhere, as of an index of which a part did not answer.
    let keys = "paging = 'none'\nitems = '/hits'\nerrors = '/_shards/failures'";
    let search = config(&api.url, keys, QUERY, "");
    api.script(|_| ApiAnswer::json(r#"{"_shards": {"failures": [{"reason": {"reason": "no room"}}]}, "hits": []}"#));
    let says = "the origin is unavailable: GET /v1/products/A%26B%2FC answered";
    fails(&search, &format!("{says} with an error: no room")).await;
    api.script(|_| ApiAnswer::json(r#"{"_shards": {"failed": 0}, "hits": [{"id": 1}], "errors": ["none of mine"]}"#));
    counts(&search, 1, "no failures").await;

    // The API's own words, whatever the status.
    api.script(|_| ApiAnswer::json(r#"{"error": {"message": "the index is being rebuilt"}}"#));
    let plain = config(&api.url, "paging = 'none'\nitems = '/hits'", QUERY, "");
    fails(&plain, &format!("{says} with an error: the index is being rebuilt")).await;
    api.script(|_| ApiAnswer {
        status: 401,
        ..ApiAnswer::json(r#"{"message": "the token\nhas expired"}"#)
    });
    fails(&plain, &format!("{says} 401 Unauthorized: the token has expired")).await;
}
