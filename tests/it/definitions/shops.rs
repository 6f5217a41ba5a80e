//! What shops of several stores need: properties of variants, and columns that no answer shows.

use std::fs;

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    service::{Service, Shop},
};

const TWO_STORES: &str = "
    create table index_1 (id integer primary key, category text, website integer, name text, cost integer);
    create table index_2 (id integer primary key, category text, website integer, name text, cost integer);
    insert into index_1 values (1, 'A', 10, 'one', 300), (2, 'A', 10, 'two', 200), (3, 'A', 11, 'of another website', 1);
    insert into index_2 values (4, 'A', 20, 'four', 5), (5, 'A', 20, 'five', 7);";

async fn page(service: &Service, path: &str) -> (u16, Value) {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn items(page: &Value) -> String {
    page["items"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_with_a_table_each_need_one_definition_and_show_no_hidden_column() {
    let (redis, shop) = (RedisServer::start(), Shop::new().await);
    shop.sql(TWO_STORES).await;
    let config = format!(
        r#"
        [redis]
        url = "{}"
        [origins.shop]
        kind = "sql"
        url = "sqlite://{}?mode=ro"
        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        query = "select id, name, cost from {{store.table}} where category = :category and website = :store.website"
        hidden = ["cost"]
        [listings.sorts]
        cheapest = {{ by = ["cost"] }}
        [listings.variants.store]
        de = {{ website = 10, table = "index_1" }}
        at = {{ website = 20, table = "main.index_2" }}
        "#,
        redis.url(),
        shop.path().join("shop.db").display()
    );
    let service = Service::start(&config);
    let (status, first) = page(&service, "/v1/listings/category:A").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(items(&first), r#"[{"id":2,"name":"two"},{"id":1,"name":"one"}]"#);
    for sort in ["", "&order=desc"] {
        let (_, of_at) = page(&service, &format!("/v1/listings/category:A?store=at{sort}")).await;
        let (four, five) = (r#"{"id":4,"name":"four"}"#, r#"{"id":5,"name":"five"}"#);
        let expect = if sort.is_empty() { [four, five] } else { [five, four] };
        assert_eq!(items(&of_at), format!("[{}]", expect.join(",")));
    }
    let (_, about) = page(&service, "/v1/listings/category:A/about?store=at").await;
    assert_eq!(
        (&about["total"], &about["first"]),
        (&2.into(), &"/v1/listings/category:A?store=at".into())
    );
    // Nothing that a client sends is a part of a statement, whether it is a value or a property's name.
    for hostile in [
        "store=index_2",
        "store=main.index_2",
        "store=de%27%20or%20%271",
        "store=at%3Bdrop%20table%20index_1",
    ] {
        let (status, problem) = page(&service, &format!("/v1/listings/category:A?{hostile}")).await;
        assert_eq!(status, 400, "{hostile}: {problem}");
    }
    let (_, unmoved) = page(&service, "/v1/listings/category:A?store.table=index_2&store.website=11").await;
    assert_eq!(items(&unmoved), items(&first), "properties are no parameters");
    let (status, _) = page(&service, "/v1/listings/category:A%27%20or%201%20--").await;
    assert_eq!(status, 404);
    // A hidden value that changes is a change of the order, and is still in no answer.
    shop.sql("update index_1 set cost = 400 where id = 2").await;
    let refreshed = service
        .admin(Method::POST, "/v1/listings/category:A/refresh")
        .send()
        .await
        .unwrap();
    assert!(refreshed.status().is_success(), "{}", refreshed.status());
    crate::support::eventually(async || {
        let (_, page) = page(&service, "/v1/listings/category:A").await;
        let expect = r#"[{"id":1,"name":"one"},{"id":2,"name":"two"}]"#;
        if items(&page) == expect { Ok(()) } else { Err(page) }
    })
    .await;
}

const TOWNS: [(&str, [&str; 6]); 3] = [
    ("de", ["Apfel", "Äpfel", "Banane", "Öl", "Ost", "Zebra"]),
    ("sv", ["Apfel", "Ost", "Zebra", "Ål", "Äpfel", "Öl"]),
    ("tr", ["Cam", "Çanakkale", "Dere", "Isparta", "Izgara", "İzmir"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn names_stand_in_the_order_of_their_language_through_every_origin() {
    let (redis, shop) = (RedisServer::start(), Shop::new().await);
    // The origins have them in no order, and each language in a table, a file or an answer of its own.
    let shuffled = || TOWNS.map(|(lang, names)| (lang, [4, 1, 5, 0, 3, 2].map(|at| (at + 1, names[at]))));
    let mut statements =
        String::from("create table towns (id integer primary key, lang text, town integer, name text);");
    let mut lines = String::new();
    for (lang, towns) in shuffled() {
        for (town, name) in towns {
            statements.push_str(&format!(
                "insert into towns (lang, town, name) values ('{lang}', {town}, '{name}');"
            ));
            lines.push_str(&format!(
                "{{\"id\":\"{lang}{town}\",\"lang\":\"{lang}\",\"name\":\"{name}\"}}\n"
            ));
        }
    }
    shop.sql(statements.leak()).await;
    fs::write(shop.path().join("towns.ndjson"), lines).unwrap();
    let api = Api::start(move |request| {
        let of_lang = shuffled().into_iter().find(|(lang, _)| *lang == request.query["lang"]);
        let (lang, towns) = of_lang.unwrap();
        let items = towns.map(|(town, name)| serde_json::json!({"id": format!("{lang}{town}"), "name": name}));
        ApiAnswer::json(serde_json::to_string(&items).unwrap())
    });
    let listings = [
        (
            "sql",
            "query = \"select lang || town as id, name from towns where lang = :lang\"",
        ),
        ("file", ""),
        ("api", "query = \"GET /towns?lang=:lang\""),
    ]
    .map(|(origin, query)| {
        format!(
            r#"
            [[listings]]
            name = "{origin}"
            origin = "{origin}"
            {query}
            [listings.sorts]
            name = {{ by = [{{ field = "name", collate = ":lang" }}] }}
            [listings.variants]
            lang = ["de", "sv", "tr"]
            "#
        )
    });
    let config = |max: &str| {
        format!(
            r#"
            [redis]
            url = "{}"
            [defaults]
            sort_in_memory_max = {max}
            [origins.sql]
            kind = "sql"
            url = "sqlite://{}?mode=ro"
            [origins.file]
            kind = "file"
            path = "{}"
            [origins.api]
            kind = "http"
            url = "{}"
            paging = "none"
            {}"#,
            redis.url(),
            shop.path().join("shop.db").display(),
            shop.path().join("towns.ndjson").display(),
            api.url,
            listings.concat()
        )
    };
    let service = Service::start(&config("6"));
    for origin in ["sql", "file", "api"] {
        for (lang, names) in TOWNS {
            for order in ["asc", "desc"] {
                let (_, page) = page(&service, &format!("/v1/listings/{origin}?lang={lang}&order={order}")).await;
                let found = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
                let mut found: Vec<&str> = found.iter().map(|item| item["name"].as_str().unwrap()).collect();
                if order == "desc" {
                    found.reverse();
                }
                assert_eq!(found, names, "{origin} {lang} {order}");
            }
        }
    }
    // No origin knows this order, so a listing that is too long to be sorted here cannot have it.
    let other = RedisServer::start();
    let service = Service::start(&config("5").replace(&redis.url(), &other.url()));
    let (status, problem) = page(&service, "/v1/listings/sql").await;
    assert!(status >= 500, "{problem}");
    assert!(service.logs("`collate` sorts in the process"), "the log names the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_apis_hide_members_too_and_apis_are_told_properties() {
    let (redis, directory) = (RedisServer::start(), tempfile::tempdir().unwrap());
    let file = directory.path().join("shop.ndjson");
    fs::write(
        &file,
        "{\"id\": 1, \"cost\": 3, \"in\": [ 1 ]}\n{\"cost\": 2, \"id\": 2}\n{\"id\":3}\n",
    )
    .unwrap();
    let api = Api::start(|request| {
        assert_eq!(request.path.split('?').next(), Some("/stores/north/products"));
        assert_eq!(request.query["website"], "7&8");
        ApiAnswer::json(r#"[{"id":1,"cost":2,"a":{"cost":1}},{"cost":1,"id":2}]"#)
    });
    let config = format!(
        r#"
        [redis]
        url = "{}"
        [origins.export]
        kind = "file"
        path = "{}"
        [origins.api]
        kind = "http"
        url = "{}"
        paging = "none"
        [[listings]]
        name = "file"
        origin = "export"
        hidden = ["cost", "csot"]
        [listings.sorts]
        cost = {{ by = ["cost"] }}
        [[listings]]
        name = "api"
        origin = "api"
        query = "GET /stores/:store.path/products?website=:store.website"
        hidden = ["cost"]
        [listings.sorts]
        cost = {{ by = ["cost"] }}
        [listings.variants.store]
        n = {{ path = "north", website = "7&8" }}
        "#,
        redis.url(),
        file.display(),
        api.url
    );
    let service = Service::start(&config);
    let (_, of_file) = page(&service, "/v1/listings/file").await;
    assert_eq!(items(&of_file), r#"[{"id":2},{"id":1,"in":[1]},{"id":3}]"#);
    let (_, of_api) = page(&service, "/v1/listings/api").await;
    assert_eq!(items(&of_api), r#"[{"id":2},{"id":1,"a":{"cost":1}}]"#);
    assert!(
        service.logs("no item has the member that `hidden` names"),
        "a mistyped name is told"
    );
}
