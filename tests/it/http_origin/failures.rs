//! What an API may do wrong: half a listing must never look like a whole one.

use std::time::{Duration, Instant};

use listcache::origin::Reading;

use super::*;

const NONE: &str = "paging = 'none'";

async fn fails(config: &Config, expect: &str) {
    let error = read(config, &[], unsorted()).await.unwrap_err();
    assert_eq!(chain(&error), expect);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_waited_for_as_the_api_asks() {
    let api = Api::start(|request| match request.number {
        0 => ApiAnswer::status(503),
        1 => ApiAnswer::status(429).header("retry-after", "1"),
        _ => ApiAnswer::json(list(0, ITEMS)),
    });
    let begun = Instant::now();
    let items = read(&config(&api.url, NONE, QUERY, ""), &[], unsorted()).await.unwrap();
    assert_eq!((items.len(), api.requests().len()), (ITEMS, 3));
    assert!(begun.elapsed() >= Duration::from_millis(1160), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn repeating_has_an_end() {
    let api = Api::start(|_| ApiAnswer::status(502));
    let unavailable = "the origin is unavailable: GET /v1/products/A%26B%2FC answered";
    let twice = config(&api.url, "paging = 'none'\nretries = 2", QUERY, "");
    fails(&twice, &format!("{unavailable} 502 Bad Gateway")).await;
    assert_eq!(api.requests().len(), 3);

    // Waiting past the time-out is no use, so it is not begun.
    api.script(|_| ApiAnswer::status(429).header("retry-after", "18446744073709551615"));
    let begun = Instant::now();
    let expect = format!("{unavailable} 429 Too Many Requests, and asks to wait 18446744073709551615 s");
    fails(&config(&api.url, NONE, QUERY, ""), &expect).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(api.requests().len(), 4);

    for (status, says) in [
        (500, "500 Internal Server Error"),
        (401, "401 Unauthorized"),
        (404, "404 Not Found"),
    ] {
        api.script(move |_| ApiAnswer::status(status));
        fails(&config(&api.url, NONE, QUERY, ""), &format!("{unavailable} {says}")).await;
    }
    assert_eq!(api.requests().len(), 7, "what does not pass is not repeated");
    let empty = config(&api.url, "paging = 'none'\nnot_found = 'empty'", QUERY, "");
    assert!(read(&empty, &[], unsorted()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_away_or_breaks_off_is_unavailable() {
    let api = Api::start(|_| ApiAnswer::json("[]"));
    let url = api.url.clone();
    drop(api);
    let config = config(&url, "paging = 'none'\nretries = 1", QUERY, "");
    let error = read(&config, &[], unsorted()).await.unwrap_err();
    let text = chain(&error);
    assert!(matches!(error, OriginError::Unavailable(_)));
    assert!(text.contains("GET /v1/products/A%26B%2FC failed: "), "{text}");
}

/// Answers one connection after the other with these bytes, and closes each.
fn raw_server(answers: Vec<String>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let all = list(0, ITEMS);
    let whole = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{all}",
        all.len()
    );
    let half = whole[..whole.len() - all.len() / 2].to_owned();
    let address = raw_server(vec![half.clone(), whole, half.clone()]);
    let shop = |url: &str| config(url, "paging = 'none'\nretries = 1\ntimeout = '20s'", QUERY, "");
    let items = read(&shop(&format!("http://{address}")), &[], unsorted())
        .await
        .unwrap();
    assert_eq!(texts(&items), catalogue());
    // Half an answer, and then nobody is there.
    let error = read(&shop(&format!("http://{address}")), &[], unsorted())
        .await
        .unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)), "{error}");

    let plain = raw_server(vec![half.clone(), half]);
    let error = read(&shop(&format!("https://{plain}")), &[], unsorted())
        .await
        .unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_api_is_cut_at_the_time_out() {
    let api = Api::start(|request| match request.number_of("page") {
        Some(3) => ApiAnswer::json("[]").after(Duration::from_secs(600)),
        _ => by_page(request, 1),
    });
    let keys = "paging = 'page'\nitems = '/items'\ntimeout = '300ms'";
    let config = config(&api.url, keys, "GET /p/:category?page=:page", "");
    let begun = Instant::now();
    fails(&config, "the origin did not answer in time").await;
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(10));
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_shift_are_read_again_and_then_refused() {
    let keys = "paging = 'offset'\nitems = '/items'\ntotal = '/meta/total'";
    let query = "GET /p/:category?from=:offset&n=:limit";
    let page = |from: usize, total: usize| {
        ApiAnswer::json(format!(
            r#"{{"meta": {{"total": {total}}}, "items": {}}}"#,
            list(from, SIZE)
        ))
    };
    // An item was inserted in front: the last of the first page is the first of the second.
    let api = Api::start(move |request| {
        let from = request.number_of("from").unwrap();
        page(from - usize::from(request.number == 1), ITEMS)
    });
    let shop = config(&api.url, keys, query, "");
    let items = read(&shop, &[], unsorted()).await.unwrap();
    assert_eq!(texts(&items), catalogue(), "the second read is whole");
    assert_eq!(api.requests().len(), 2 + 5);

    // It goes on so: refused after two repetitions, by whichever sign.
    let shifted = "the origin's items shifted while they were read:";
    for (shift, expect) in [
        (
            Box::new(|from: usize| (from.saturating_sub(1), ITEMS)) as Box<dyn Fn(usize) -> _ + Send + Sync>,
            "`5` was on two pages",
        ),
        (
            Box::new(|from| (from, ITEMS - from / 15)),
            "there were 23 items, and then 22",
        ),
        (
            Box::new(|from| (from + from / 15, ITEMS)),
            "there are 23 items, and its pages had 22",
        ),
    ] {
        let before = api.requests().len();
        api.script(move |request| {
            let (from, total) = shift(request.number_of("from").unwrap());
            page(from, total)
        });
        let error = read(&shop, &[], unsorted()).await.unwrap_err();
        assert!(matches!(error, OriginError::Shifted(_)));
        assert_eq!(chain(&error), format!("{shifted} {expect}"));
        let starts = api.requests()[before..]
            .iter()
            .filter(|request| request.query["from"] == "0")
            .count();
        assert_eq!(starts, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_reads_are_bounded() {
    let api = Api::start(|request| by_page(request, 1));
    let query = "GET /p/:category?page=:page";
    let keys = |more: &str| format!("paging = 'page'\nitems = '/items'\n{more}");
    let small = config(&api.url, &keys("response_max = '1KiB'\nread_max = '1KiB'"), query, "");
    fails(
        &small,
        "the definition does not fit the origin: the answers of one read have more than 1024 bytes (`read_max`)",
    )
    .await;
    let too_large = "the definition does not fit the origin: an answer has more than 1024 bytes (`response_max`)";
    let none = config(&api.url, "paging = 'none'\nresponse_max = '1KiB'", QUERY, "");
    api.script(|_| ApiAnswer::json(list(0, ITEMS)));
    fails(&none, too_large).await;
    api.script(|_| {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b' '; 1 << 20]).unwrap();
        let bomb = packer.finish().unwrap();
        assert!(bomb.len() < 1100, "{}", bomb.len());
        ApiAnswer::json(bomb[..1024].to_vec()).header("content-encoding", "gzip")
    });
    fails(&none, too_large).await;
    api.script(|_| ApiAnswer::json(format!("[{{\"id\":1,\"x\":\"{}\"}}]", "x".repeat(300_000))));
    fails(
        &config(&api.url, NONE, QUERY, ""),
        "item 1: an item may have 262144 bytes",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_stay_on_the_host_and_secrets_with_them() {
    let elsewhere = Api::start(|_| ApiAnswer::json(list(0, ITEMS)));
    let api = Api::start(|request| match &*request.path {
        "/v1/products/A%26B%2FC" => ApiAnswer::status(302).header("location", "/moved/here?x=1"),
        _ => ApiAnswer::json(list(0, ITEMS)),
    });
    let variables = [("LISTCACHE_ORIGINS__SHOP__HEADERS__X_API_KEY", "hunter2")];
    let shop = config_with(&api.url, NONE, QUERY, "", &variables);
    assert_eq!(read(&shop, &[], unsorted()).await.unwrap().len(), ITEMS);
    let requests = api.requests();
    assert_eq!(requests[1].path, "/moved/here");
    assert!(requests.iter().all(|request| request.headers["x-api-key"] == "hunter2"));

    let there = elsewhere.url.clone();
    api.script(move |_| ApiAnswer::status(307).header("location", format!("{there}/v1")));
    let host = elsewhere.url.clone();
    fails(
        &shop,
        &format!("the origin is unavailable: GET /v1/products/A%26B%2FC is redirected to another host, `{host}`"),
    )
    .await;
    assert!(elsewhere.requests().is_empty());

    api.script(|_| ApiAnswer::status(301).header("location", "/v1/again"));
    fails(
        &shop,
        "the origin is unavailable: GET /v1/products/A%26B%2FC is redirected more than 4 times",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_as_declared_is_told() {
    let api = Api::start(|_| ApiAnswer::json("<html>"));
    let shop = config(
        &api.url,
        "paging = 'none'\nitems = '/a~1b'\nitem = '/it'\ntotal = '/n'",
        QUERY,
        "",
    );
    let misdeclared = "the definition does not fit the origin: the answer";
    for (body, expect) in [
        ("<html>", "the origin is unavailable: the answer is not JSON: expected value".to_owned()),
        ("{\"a/b\":[]", "the origin is unavailable: the answer is not JSON: EOF while parsing an object".to_owned()),
        ("[1]", "the definition does not fit the origin: `items`: a list stands on the way to `/a~1b`, where an object should be".to_owned()),
        ("{\"a\":1}", format!("{misdeclared} has nothing at `/a~1b` (`items`)")),
        ("{\"a/b\":7}", format!("{misdeclared}'s value at `/a~1b` (`items`) is no list")),
        ("{\"a/b\":[{\"it\":{\"id\":1}}]}", format!("{misdeclared} has nothing at `/n` (`total`)")),
        ("{\"a/b\":[],\"n\":\"1.5\"}", format!("{misdeclared}'s value at `/n` (`total`) is no count")),
        ("{\"n\":2,\"a/b\":[{\"it\":{\"id\":1}},{}]}", "item 2: it has nothing at `/it` (`item`)".to_owned()),
        ("{\"n\":1,\"a/b\":[{\"it\":{\"x\":1}}]}", "item 1: the member `id`, the item's id, is missing".to_owned()),
        ("{\"n\":1,\"a/b\":[{\"it\":[]}]}", "item 1: an item must be a JSON object".to_owned()),
        (
            "{\"n\":1,\"a/b\":[{\"it\":{\"id\":1,\"price\":[1]}}]}",
            "the definition does not fit the origin: the member `price` of item 1 is an object or array, and cannot be compared".to_owned(),
        ),
    ] {
        api.script(move |_| ApiAnswer::json(body));
        fails(&shop, &expect).await;
    }
    let headers = config(&api.url, "paging = 'none'\ntotal_header = 'x-total'", QUERY, "");
    api.script(|_| ApiAnswer::json("[]").header("x-total", "many"));
    fails(
        &headers,
        &format!("{misdeclared}'s header `x-total` (`total_header`) is no count"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_that_has_not_changed_is_not_read_again() {
    let api = Api::start(|request| {
        let version = if request.query["v"] == "2" { "\"v2\"" } else { "\"v1\"" };
        match request.headers.get("if-none-match") {
            Some(known) if known == version => ApiAnswer::status(304),
            _ => ApiAnswer::json(list(0, ITEMS)).header("etag", version),
        }
    });
    let shop = config(&api.url, NONE, "GET /p?v=:category", "");
    let shop_origin = origin(&shop);
    let read = |name| read_of(&shop, name, &[], unsorted());
    let Reading::Items { items, version } = shop_origin.read_unless(read("c:1"), None).await.unwrap() else {
        panic!("nothing was known yet");
    };
    assert_eq!(items.try_concat().await.unwrap().len(), ITEMS);
    assert!(matches!(
        shop_origin.read_unless(read("c:1"), version.as_ref()).await.unwrap(),
        Reading::Unchanged
    ));
    assert!(matches!(
        shop_origin.read_unless(read("c:2"), version.as_ref()).await.unwrap(),
        Reading::Items { .. }
    ));

    // A version of another API says nothing of this one, though its entity tags may be alike.
    let other = config(
        &api.url,
        &format!(
            "{NONE}
headers = {{ x = 'y' }}"
        ),
        "GET /p?v=:category",
        "",
    );
    let asked = origin(&other).read_unless(read("c:1"), version.as_ref()).await;
    assert!(matches!(asked.unwrap(), Reading::Items { .. }));
    assert!(!api.requests().last().unwrap().headers.contains_key("if-none-match"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_tells_nothing_of_further_ones() {
    let api = Api::start(|request| by_page(request, 1).header("etag", "\"v1\""));
    let total = "\ntotal = '/meta/total'";
    for (size, total, is_told) in [(SIZE, total, false), (ITEMS, "", false), (ITEMS, total, true)] {
        let shop = config(
            &api.url,
            &format!("paging = 'page'\nitems = '/items'{total}"),
            &format!("GET /p/:category?page=:page&n={size}"),
            "",
        );
        let reading = origin(&shop)
            .read_unless(read_of(&shop, "c:1", &[], unsorted()), None)
            .await;
        let Reading::Items { version, .. } = reading.unwrap() else {
            panic!("nothing was known yet");
        };
        // A full page that does not say that it is the last stays as it is when another follows.
        assert_eq!(version.is_some(), is_told, "{size} {total}");
    }
}
