//! Files as origins, through the program itself.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    RedisServer,
    service::{Service, json_of},
};

/// A service of the listings `category:{category}` of a file.
fn service(redis: &RedisServer, file: &Path, listing: &str) -> Service {
    Service::start(&format!(
        r#"
        [redis]
        url = "{}"

        [origins.export]
        kind = "file"
        path = "{}"

        [[listings]]
        name = "category:{{category}}"
        origin = "export"
        {listing}
        "#,
        redis.url(),
        file.display()
    ))
}

async fn items(service: &Service, name: &str) -> Value {
    let page = json_of(service.request(Method::GET, &format!("/v1/listings/{name}"))).await;
    page["items"].clone()
}

async fn refresh(service: &Service, name: &str) -> (u16, String) {
    let path = format!("/v1/listings/{name}/refresh?wait=true");
    let answer = service.admin(Method::POST, &path).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_a_spreadsheet_is_served_and_a_damaged_one_is_refused_with_its_line() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("products.csv");
    let replace = |text: &str| {
        fs::write(directory.path().join("next"), text).unwrap();
        fs::rename(directory.path().join("next"), &file).unwrap();
    };
    replace("id,category,rating,,\r\n90.750,TV,4.5,,\r\n8,TV,,,\r\n,,,,\r\n");
    let service = service(&redis, &file, "sorts.rating = { by = [\"rating\"] }");
    let before = items(&service, "category:TV").await;
    let expect =
        json!([{"id": "90.750", "category": "TV", "rating": 4.5}, {"id": 8, "category": "TV", "rating": null}]);
    assert_eq!(before, expect);

    replace("id,category,rating,,\n7,TV,4.5,,\n8,TV,,,\n");
    assert_eq!(refresh(&service, "category:TV").await.0, 200);
    assert_eq!(items(&service, "category:TV").await[0]["id"], 7);
    let told = service.log().matches("columns without a name are left out").count();
    assert_eq!(told, 1, "{}", service.log());

    replace("id,category,rating,,\n7,TV,4.5,,\n8,\"TV,,,\n9,TV,2,,\n");
    let (status, said) = refresh(&service, "category:TV").await;
    assert_eq!(status, 502, "{said}");
    let damaged = "line 3: the quoted cell that begins here does not end";
    assert!(
        said.contains(damaged) || service.logs(damaged),
        "{said} {}",
        service.log()
    );
    assert_eq!(items(&service, "category:TV").await[0]["id"], 7);
}
