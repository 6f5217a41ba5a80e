//! How changes are told, what is refused, and what is said of them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ChangingShop, check_all, shown, tell};
use crate::support::{
    RedisServer, eventually,
    service::{Service, json_of},
};

const CATEGORIES: [&str; 2] = ["a", "b"];

async fn post(service: &Service, kind: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let request = service
        .admin(Method::POST, "/v1/changes")
        .header("content-type", kind)
        .body(body);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_in_any_form_and_bad_ones_are_refused_whole() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    for (at, (kind, body)) in (1..).zip([
        ("application/json", r#"{"id":1}"#),
        ("application/json; charset=utf-8", r#"[{"id":"2"},{"id":2}]"#),
        ("application/x-ndjson", "{\"id\":3}\n{\"id\":\"nobody has this\"}\n"),
    ]) {
        shop.products.get_mut(&at).unwrap().offers = vec![Some(500 + at)];
        shop.write(&[at]).await;
        let (status, answer) = post(&service, kind, body).await;
        assert_eq!(
            (status, &answer["state"]),
            (StatusCode::ACCEPTED, &json!("accepted")),
            "{answer}"
        );
        let path = format!("/v1/changes/{}?wait=true", answer["change"].as_str().unwrap());
        let outcome = service.admin(Method::GET, &path).send().await.unwrap();
        let outcome: Value = outcome.error_for_status().unwrap().json().await.unwrap();
        assert_eq!(
            (&outcome["state"], &outcome["change"]),
            (&json!("done"), &answer["change"])
        );
        assert!(outcome["published"].as_u64().unwrap() > 0, "{outcome}");
        check_all(&service, &shop, &CATEGORIES).await;
    }
    let (before, recorded) = (
        shown(&service, "a", 0, "price", false).await,
        service.metric("listcache_changes").await,
    );
    let many = format!("[{}]", vec![r#"{"id":1}"#; 10_001].join(","));
    for (kind, body, status, code) in [
        ("application/json", "", 422, "bad-change"),
        ("application/json", "{\"id\":1}\n{\"id\":}", 422, "bad-change"),
        (
            "application/json",
            r#"[{"id":1},{"id":1,"price":3}]"#,
            422,
            "bad-change",
        ),
        ("application/json", &many, 422, "bad-change"),
        ("text/plain", r#"{"id":1}"#, 415, "unsupported-media-type"),
    ] {
        let (answered, problem) = post(&service, kind, body.to_owned()).await;
        assert_eq!(
            (answered.as_u16(), &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
    }
    let (_, second) = post(&service, "application/json", "{\"id\":1}\n{\"id\":}").await;
    assert_eq!(second["line"], 2, "{second}");
    let (status, large) = post(&service, "application/json", " ".repeat(5 << 20)).await;
    assert_eq!(
        (status, &large["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("body-too-large"))
    );
    for (path, expect) in [
        ("/v1/changes/0123456789abcdef0123456789abcdef", StatusCode::NOT_FOUND),
        ("/v1/changes/x", StatusCode::NOT_FOUND),
        ("/v1/changes/x?wiat=true", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(
            service.admin(Method::GET, path).send().await.unwrap().status(),
            expect,
            "{path}"
        );
    }
    let stranger = service
        .request(Method::POST, "/v1/changes")
        .json(&json!({ "id": 1 }))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.metric("listcache_changes").await, recorded);
    assert_eq!(shown(&service, "a", 0, "price", false).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_variants_and_globs_narrow_and_widen_a_change() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    // In both categories.
    shop.products.get_mut(&7).unwrap().categories = CATEGORIES.map(str::to_owned).into();
    shop.write(&[7]).await;
    tell(&service, json!({ "id": 7 })).await;
    check_all(&service, &shop, &CATEGORIES).await;
    let before = shown(&service, "b", 1, "price", false).await;
    shop.products.get_mut(&7).unwrap().offers = vec![Some(1)];
    shop.write(&[7]).await;
    let outcome = tell(
        &service,
        json!({ "id": 7, "names": ["category:a", "category:unknown"] }),
    )
    .await;
    assert_eq!(
        (&outcome["published"], &outcome["families"]),
        (&json!(2), &json!(2)),
        "{outcome}"
    );
    check_all(&service, &shop, &["a"]).await;
    assert_eq!(
        shown(&service, "b", 1, "price", false).await,
        before,
        "it was not told of"
    );
    let outcome = tell(&service, json!({ "id": 7, "variants": { "grp": "1" } })).await;
    assert_eq!(outcome["published"], 1, "{outcome}");
    assert_eq!(
        shown(&service, "b", 1, "price", false).await,
        shop.expected("b", 1, "price", false)
    );
    let reads = service.metric("listcache_origin_reads").await;
    let outcome = tell(&service, json!({ "listings": "category:b*" })).await;
    assert_eq!(
        (&outcome["refreshed"], &outcome["families"]),
        (&json!(2), &json!(2)),
        "{outcome}"
    );
    assert_eq!(service.metric("listcache_origin_reads").await, reads + 2.0);
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_obeys_the_variants_it_names_and_refuses_other_parameters() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    let before = shown(&service, "a", 0, "price", false).await;
    let ids: Vec<i64> = shop.products.keys().copied().collect();
    for product in shop.products.values_mut() {
        product.offers = vec![Some(3)];
    }
    shop.write(&ids).await;
    let refresh = |query: &str| {
        service.admin(
            Method::POST,
            &format!("/v1/listings/category:a/refresh?wait=true{query}"),
        )
    };
    let refreshed = refresh("&grp=1").send().await.unwrap();
    let refreshed: Value = refreshed.error_for_status().unwrap().json().await.unwrap();
    let keys = refreshed["refreshed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].as_str().unwrap());
    assert!(
        keys.clone().all(|key| key.ends_with("?grp=1")) && keys.count() > 1,
        "{refreshed}"
    );
    assert_eq!(
        shown(&service, "a", 1, "price", false).await,
        shop.expected("a", 1, "price", false)
    );
    assert_eq!(
        shown(&service, "a", 0, "price", false).await,
        before,
        "the other variant was not named"
    );
    for (query, parameter) in [
        ("&grp=7", "grp"),
        ("&group=1", "group"),
        ("&sort=price&limit=3", "limit"),
    ] {
        let refused = refresh(query).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{query}");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_away_and_nodes_that_die_lose_no_change() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let mut first = Service::start(&shop.config(&redis, ""));
    check_all(&first, &shop, &CATEGORIES).await;
    let away = shop.path().with_extension("away");
    shop.products.get_mut(&5).unwrap().offers = vec![Some(9)];
    shop.write(&[5]).await;
    std::fs::rename(shop.path(), &away).unwrap();
    let (status, answer) = post(&first, "application/json", r#"{"id":5}"#).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let path = format!("/v1/changes/{}", answer["change"].as_str().unwrap());
    let outcome = eventually(async || {
        let outcome = json_of(first.admin(Method::GET, &path)).await;
        match outcome["failed"].as_object().unwrap().is_empty() {
            true => Err(outcome),
            false => Ok(outcome),
        }
    })
    .await;
    assert_eq!(outcome["state"], "accepted");
    let why = outcome["failed"].to_string();
    assert!(why.contains("waiting: the refresh failed"), "{why}");
    assert!(first.metric("listcache_changes_waiting").await > 0.0);
    first.kill();
    std::fs::rename(&away, shop.path()).unwrap();
    // Another node takes them over.
    let second = Service::start(&shop.config(&redis, ""));
    let outcome = eventually(async || {
        let outcome = json_of(second.admin(Method::GET, &path)).await;
        match outcome["state"] == "done" {
            true => Ok(outcome),
            false => Err(outcome),
        }
    })
    .await;
    assert!(
        outcome["published"].as_u64().unwrap() > 0 && outcome["failed"] == json!({}),
        "{outcome}"
    );
    check_all(&second, &shop, &CATEGORIES).await;
}
