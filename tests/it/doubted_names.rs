//! Names that are lost while a table is rebuilt: what was served is served on, and random names still cost the origin nothing.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop, json_of},
};

const BREAD: &str = "/v1/listings/c:BREAD";

/// Listings whose names a query enumerates, or a file. `keep_for` is long: what is tested is not that time has passed.
fn config(shop: &Shop, redis: &RedisServer, fresh_for: &str) -> String {
    let listing = |name: &str, names: &str| {
        format!(
            "[[listings]]\nname = '{name}:{{category}}'\norigin = 'shop'\n{names}\nfresh_for = '{fresh_for}'\n\
             stale_while_revalidate = '1s'\nquery = 'select id from products where category = :category'\n\
             sorts.id = {{ by = ['id'] }}\n"
        )
    };
    let file = shop.path().join("names.txt");
    format!(
        "[redis]\nurl = '{}'\n[origins.shop]\nkind = 'sql'\nurl = 'sqlite:{}'\n{}{}",
        redis.url(),
        shop.path().join("shop.db").display(),
        listing("c", "names = 'select distinct category from products'"),
        listing("f", &format!("names_file = '{}'", file.display())),
    )
}

async fn get(service: &Service, path: &str) -> (StatusCode, Value) {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    (
        answer.status(),
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

async fn status(service: &Service, path: &str) -> u16 {
    get(service, path).await.0.as_u16()
}

async fn until_log_says(service: &Service, text: &str) {
    eventually(async || {
        // Names are read when a name is asked for.
        status(service, "/v1/listings/c:NONE").await;
        status(service, "/v1/listings/f:NONE").await;
        match service.log().contains(text) {
            true => Ok(()),
            false => Err(text.to_owned()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_yield_nothing_make_no_page_404() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    std::fs::write(shop.path().join("names.txt"), "BREAD\n").unwrap();
    let long = config(&shop, &redis, "20s");
    let service = Service::start(&config(&shop, &redis, "2s"));
    let (_, page) = get(&service, &format!("{BREAD}?size=10")).await;
    let next = page["links"]["next"].as_str().unwrap().to_owned();
    // Frozen before anything happens, so that every node knows.
    redis.cli(&["HSET", "listcache:2:frozen", "c:BREAD", "99999999999999"]);
    assert_eq!(status(&service, "/v1/listings/f:BREAD").await, 200);

    shop.sql("delete from products; insert into products values (1, 'NEW', 'EUR', '', 1, 0); delete from products")
        .await;
    std::fs::write(shop.path().join("names.txt"), "").unwrap();
    until_log_says(&service, "names refused").await;
    for path in [BREAD, &next, "/v1/listings/f:BREAD"] {
        assert_eq!(status(&service, path).await, 200, "{path}");
    }
    assert_eq!(status(&service, "/v1/listings/c:NONE").await, 404);
    let (_, health) = get(&service, "/health/ready").await;
    assert!(
        health["refused"].to_string().contains("names of c:{category}"),
        "{health}"
    );

    std::fs::write(shop.path().join("names.txt"), "BREAD\n").unwrap();
    // A node that starts now has known no names: what is there is served, and the rest is not known not to exist.
    let other = Service::start(&long);
    assert_eq!(status(&other, BREAD).await, 200);
    assert_eq!(status(&other, "/v1/listings/c:NONE").await, 503);

    // Few names: a second read says the same. What is frozen is served all the same, and so are links.
    until_log_says(&service, "fewer names are believed").await;
    for path in [BREAD, &next] {
        assert_eq!(status(&service, path).await, 200, "{path}");
    }
    redis.cli(&["DEL", "listcache:2:frozen"]);
    eventually(async || match status(&service, BREAD).await {
        404 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(status(&service, &next).await, 200);
    assert_eq!(status(&service, &next.replace("c:BREAD", "c:NONE")).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lose_most_of_many_are_doubted_until_somebody_accepts_them() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(
        "with recursive numbers(n) as (select 100 union all select n + 1 from numbers where n < 199)
         insert into products select n, 'C' || n, 'EUR', '', n, 0 from numbers",
    )
    .await;
    std::fs::write(shop.path().join("names.txt"), "BREAD\n").unwrap();
    let service = Service::start(&config(&shop, &redis, "1s"));
    assert_eq!(status(&service, "/v1/listings/c:C150").await, 200);
    // Half-way: some names are gone, and one is new.
    shop.sql("delete from products where id > 110; insert into products values (300, 'NEW', 'EUR', '', 1, 0)")
        .await;
    until_log_says(&service, "names refused").await;
    for (name, expect) in [("C150", 200), ("C105", 200), ("NEW", 200), ("NONE", 404)] {
        assert_eq!(
            status(&service, &format!("/v1/listings/c:{name}")).await,
            expect,
            "{name}"
        );
    }
    let accept = service.admin(Method::POST, "/v1/listings/c:C105/refresh?accept_shrink=true");
    assert_eq!(accept.send().await.unwrap().status(), 202);
    eventually(async || match status(&service, "/v1/listings/c:C150").await {
        404 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(status(&service, "/v1/listings/c:NEW").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_read_are_told_by_explain_inspect_and_health() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let file = shop.path().join("names.txt");
    std::fs::write(&file, "BREAD\n").unwrap();
    let mistyped = config(&shop, &redis, "1s").replace("distinct category", "distinct categry");
    let service = Service::start(&mistyped);
    let error_of = async |name: &str| {
        let path = format!("/v1/listings/{name}");
        assert_eq!(status(&service, &path).await, 503, "{name}");
        let explained = json_of(service.admin(Method::GET, &format!("{path}/explain"))).await;
        explained["names_error"].as_str().unwrap_or_default().to_owned()
    };
    let error = error_of("c:BREAD").await;
    assert!(error.contains("no such column: categry"), "{error}");
    let inspect = std::process::Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["inspect", "c:BREAD", "--json"])
        .env("LISTCACHE_CONFIG", service.file("listcache.toml"))
        .current_dir(shop.path())
        .output()
        .unwrap();
    let inspected: Value = serde_json::from_slice(&inspect.stdout).unwrap();
    assert_eq!(inspected["names_error"], error);
    std::fs::write(&file, b"BR\xffEAD\n").unwrap();
    let cannot = format!("the names file `{}` cannot be read: ", file.display());
    assert_eq!(error_of("f:BREAD").await, format!("{cannot}it is not UTF-8"));
    let unread = async || get(&service, "/health/ready").await.1["names_unread"].clone();
    let both = unread().await.to_string();
    assert!(
        both.contains("\"c:{category}\"") && both.contains("\"f:{category}\""),
        "{both}"
    );

    std::fs::remove_file(&file).unwrap();
    until_log_says(&service, &format!("{cannot}No such file")).await;
    std::fs::write(&file, "BREAD\n").unwrap();
    eventually(async || match status(&service, "/v1/listings/f:BREAD").await {
        200 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(unread().await, serde_json::json!(["c:{category}"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_a_blob_or_no_listing_is_left_out_and_told_in_few_words() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    std::fs::write(shop.path().join("names.txt"), "BREAD\n").unwrap();
    shop.sql(
        "insert into products values (40, x'4252', 'EUR', '', 1, 0), (41, x'4253', 'EUR', '', 1, 0),
             (42, hex(zeroblob(5000)), 'EUR', '', 1, 0)",
    )
    .await;
    let service = Service::start(&config(&shop, &redis, "20s"));
    assert_eq!(status(&service, BREAD).await, 200);
    let log = service.log();
    let told = |text: &str| {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(text)).collect();
        assert_eq!(lines.len(), 1, "{text}: {log}");
        lines[0].to_owned()
    };
    let blobs = told("rows of names were left out: a BLOB is no text");
    for part in ["\"column\":\"category\"", "\"rows\":2", "c:{category}"] {
        assert!(blobs.contains(part), "{blobs}");
    }
    let long = told("enumerated names were left out");
    assert!(long.len() < 1000, "{long}");
}
