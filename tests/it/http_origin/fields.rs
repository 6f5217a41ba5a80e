//! What a listing names of an API's items: members below members, by what they are sorted, found and known.

use super::*;

/// Two pages of JSON:API: the first category has all, the second no rank.
fn json_api(request: &ApiRequest) -> ApiAnswer {
    let item = |sku: &str, price: &str, rest: &str| {
        format!(r#"{{"type":"product","attributes":{{"sku":"{sku}","price":"{price}","brand":"{sku}{sku}"{rest}}}}}"#)
    };
    let items = match &*request.path {
        "/v1/categories" => vec![r#"{"slug":"tv"}"#.to_owned(), r#"{"slug":"radio"}"#.to_owned()],
        "/v1/c/tv" => vec![
            item("a", "9.50", ",\"rank\":2"),
            item("b", "10", ",\"rank\":1"),
            item("c", "100.00", ""),
        ],
        "/v1/c/radio" => vec![item("d", "1", ""), item("e", "2", "")],
        _ => Vec::new(),
    };
    ApiAnswer::json(format!(r#"{{"data":[{}]}}"#, items.join(",")))
}

fn shop(api: &Api, sort: &str) -> Config {
    let text = format!(
        r#"
        [origins.shop]
        kind = "http"
        url = "{}/v1/"
        paging = "none"
        items = "/data"

        [[listings]]
        name = "c:{{category}}"
        origin = "shop"
        query = "GET /c/:category"
        names = "GET /categories"
        id = "/attributes/sku"
        sorts.price = {{ by = [{sort}] }}
        fields.category = "slug"
        "#,
        api.url
    );
    let sources = Sources::default();
    sources.load_text(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

async fn ids(
    origin: &Arc<dyn Origin>,
    config: &Config,
    name: &str,
    choices: &[(&str, &str)],
) -> Result<String, String> {
    let mut read = read_of(config, name, choices, unsorted());
    read.order = ReadOrder::By(read.defined.definition.sorts[0].by.clone());
    let items = async { origin.read(read).await?.try_concat().await };
    let items: Vec<OriginItem> = items.await.map_err(|error| chain(&error))?;
    Ok(items.iter().map(|item| item.item.id.as_str()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_sorted_found_and_known_by_members_below() {
    let api = Api::start(json_api);
    let config = shop(&api, r#"{ field = "/attributes/price", as = "number", desc = true }"#);
    let origin = origin(&config);
    assert_eq!(ids(&origin, &config, "c:tv", &[]).await.unwrap(), "cba");
    let definition = &config.definitions.defined[0];
    let names = origin
        .names("GET /categories", &[definition.field_of("category")])
        .await;
    assert_eq!(names.unwrap().concat(), ["radio", "tv"]);
    // As texts.
    let config = shop(&api, "\"/attributes/price\"");
    assert_eq!(ids(&origin, &config, "c:tv", &[]).await.unwrap(), "bca");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_item_of_an_api_has_is_an_error_that_names_it() {
    let api = Api::start(json_api);
    let config = shop(&api, "\"attributes.price\"");
    let misdeclared = "the definition does not fit the origin: no item has";
    let error = ids(&origin(&config), &config, "c:tv", &[]).await.unwrap_err();
    let expect = format!(
        "{misdeclared} `attributes.price`, which sorts go by; the first item has `type`, `attributes`. A member of a member is a JSON pointer: `/attributes/price`"
    );
    assert!(error.starts_with(&expect), "{error}");
    let error = origin(&config)
        .names("GET /categories", &["category".into()])
        .await
        .unwrap_err();
    let expect = format!("{misdeclared} `category`, which names go by; the first item has `slug`");
    assert!(error.to_string().starts_with(&expect), "{error}");
    assert_eq!(
        ids(&origin(&config), &config, "c:none", &[]).await.unwrap(),
        "",
        "without items nothing is missing"
    );

    // An API may leave out what is null: that another category has the member is enough.
    let config = shop(&api, "\"/attributes/rank desc\"");
    let read_before = origin(&config);
    assert_eq!(ids(&read_before, &config, "c:tv", &[]).await.unwrap(), "abc");
    assert_eq!(ids(&read_before, &config, "c:radio", &[]).await.unwrap(), "de");
    let error = ids(&origin(&config), &config, "c:radio", &[]).await.unwrap_err();
    assert!(error.contains("no item has `/attributes/rank`"), "{error}");
    let config = shop(&api, r#"{ field = "/attributes/rank", optional = true }"#);
    assert_eq!(ids(&origin(&config), &config, "c:radio", &[]).await.unwrap(), "de");
}
