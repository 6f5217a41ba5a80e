//! What is known need not be sent again, and HEAD says what GET would.

use reqwest::{Method, StatusCode};

use super::{BREAD, header, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_known_page_is_304_with_the_same_headers() {
    let world = world().await;
    let first = world.get(BREAD).await;
    let etag = header(&first, "etag").to_owned();
    let strong = etag.trim_start_matches("W/").to_owned();
    for tags in [etag.clone(), strong, format!("\"x\", {etag}"), "*".to_owned()] {
        let request = world.service.request(Method::GET, BREAD).header("If-None-Match", &tags);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{tags}");
        for name in [
            "etag",
            "vary",
            "content-location",
            "link",
            "x-total-count",
            "access-control-allow-origin",
        ] {
            assert_eq!(header(&response, name), header(&first, name), "{name}");
        }
        assert!(header(&response, "cache-control").starts_with("max-age="));
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let request = world
        .service
        .request(Method::GET, BREAD)
        .header("If-None-Match", "\"x\"");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_sent_when_its_second_is_over_and_then_compared() {
    let world = world().await;
    let date = loop {
        let response = world.get(BREAD).await;
        let date = header(&response, "last-modified");
        if !date.is_empty() {
            break date.to_owned();
        }
    };
    let ask = |name: &'static str, value: &str| {
        let request = world.service.request(Method::GET, BREAD).header(name, value);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(ask("If-Modified-Since", &date).await, 304);
    assert_eq!(ask("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_what_get_would() {
    let world = world().await;
    world.page(BREAD).await;
    for path in [
        BREAD,
        "/v1/listings/category:NOBODY",
        "/v1/listings/category:BREAD?page=x",
    ] {
        let get = world.get(path).await;
        let head = world.service.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), get.status());
        for name in [
            "etag",
            "content-type",
            "content-length",
            "x-total-count",
            "link",
            "vary",
        ] {
            assert_eq!(header(&head, name), header(&get, name), "{path} {name}");
        }
        let length: usize = header(&get, "content-length").parse().unwrap();
        assert_eq!(get.bytes().await.unwrap().len(), length);
        assert!(head.bytes().await.unwrap().is_empty());
    }
}
