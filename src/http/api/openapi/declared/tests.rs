//! The part of a configuration that the description shows.

use serde_json::{Value, json};

use crate::http::api::openapi::tests::described;

const ORIGIN: &str = "[origins.shop]\nkind = 'sql'\nurl = 'sqlite:x.db'\n";

fn listing(name: &str, more: &str) -> String {
    format!(
        "[[listings]]\nname = '{name}'\norigin = 'shop'\nquery = 'select 1 as id'\nsorts.price = {{ by = ['id'] }}\n{more}\n"
    )
}

/// The parameters of the page operation, those of the components followed.
fn parameters(description: &Value) -> Vec<&Value> {
    let given = description["paths"]["/v1/listings/{name}"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let followed = given.iter().map(|given| match given["$ref"].as_str() {
        Some(to) => description.pointer(to.trim_start_matches('#')).unwrap(),
        None => given,
    });
    followed.collect()
}

fn parameter<'d>(description: &'d Value, name: &str) -> &'d Value {
    let found = parameters(description)
        .into_iter()
        .find(|parameter| parameter["name"] == name);
    found.unwrap_or(&Value::Null)
}

#[test]
fn variants_filters_and_sorts_of_all_definitions_are_described_once() {
    let first = listing(
        "category:{category}",
        "variants.currency = ['EUR', 'USD']\nfilters.brand = { at = 'brand_id', label = 'brand_name' }\nfilters.price = { range = true, steps = [500] }\nfilters.sale = { as = 'boolean' }",
    );
    let second = listing(
        "all",
        "variants.currency = ['SEK', 'EUR']\nfilters.brand = {}\nsorts.rank = { by = ['rank'] }",
    );
    let pushed = "[pushed]\nnames = ['promo:*']\nfilters.'promo:*' = { colour = {} }\n";
    let description = described(&format!("{ORIGIN}{first}{second}{pushed}"));

    let currency = parameter(&description, "currency");
    assert_eq!(currency["schema"]["enum"], json!(["EUR", "USD", "SEK"]));
    assert_eq!(currency["schema"]["default"], Value::Null);
    assert_eq!(currency["description"], "A variant of `category:{category}`, `all`.");

    let brand = parameter(&description, "f.brand");
    assert_eq!(brand["schema"]["items"], json!({"type": "string", "minLength": 1}));
    assert_eq!(
        (&brand["explode"], &brand["schema"]["maxItems"]),
        (&json!(true), &json!(50))
    );
    assert_eq!(
        brand["description"],
        "Shows only items that have one of these. Declared: values of `brand_id` labelled by `brand_name` in `category:{category}`; values \
         of `brand` in `all`."
    );
    assert!(parameter(&description, "f.price")["schema"]["items"]["pattern"].is_string());
    assert_eq!(
        parameter(&description, "f.sale")["schema"]["items"]["enum"],
        json!(["true", "false"])
    );

    let facets = parameter(&description, "facets");
    assert_eq!(
        facets["schema"]["items"]["enum"],
        json!(["brand", "colour", "price", "sale"])
    );
    assert_eq!(facets["explode"], false);

    // A pusher names the sort.
    let sort = parameter(&description, "sort");
    assert!(sort["schema"]["enum"].is_null() && sort["schema"]["pattern"].is_string());
    let told = sort["description"].as_str().unwrap();
    assert!(
        told.contains("`category:{category}` has `price`; `all` has `price`, `rank`."),
        "{told}"
    );
    let closed = described(&format!("{ORIGIN}{first}{second}"));
    assert_eq!(parameter(&closed, "sort")["schema"]["enum"], json!(["price", "rank"]));
}

#[test]
fn a_service_without_filters_describes_none() {
    let description = described(ORIGIN);
    let names: Vec<&str> = parameters(&description)
        .iter()
        .map(|found| found["name"].as_str().unwrap())
        .collect();
    assert!(!names.contains(&"facets"), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("f.")), "{names:?}");
}

#[test]
fn where_listings_differ_a_value_may_be_any_text() {
    let ranges = listing("a", "filters.price = { range = true }");
    let values = listing("b", "filters.price = {}");
    let description = described(&format!("{ORIGIN}{ranges}{values}"));
    let price = parameter(&description, "f.price");
    assert_eq!(price["schema"]["items"], json!({"type": "string", "minLength": 1}));
}

#[test]
fn many_definitions_stay_within_the_bound() {
    let many = |count: usize| {
        let filters =
            |at: usize| (0..10).map(move |number| format!("filters.a_filter_with_a_long_name_{at}_{number} = {{}}\n"));
        let listings = (0..count).map(|at| {
            listing(
                &format!("a_pattern_with_a_long_name_{at}:{{x}}"),
                &filters(at).collect::<String>(),
            )
        });
        described(&format!("{ORIGIN}{}", listings.collect::<String>()))
    };
    let few = many(20);
    assert_eq!(
        parameters(&few)
            .iter()
            .filter(|one| one["name"].as_str().unwrap().starts_with("f."))
            .count(),
        200
    );
    let all = many(300);
    assert!(all.to_string().len() < 512 * 1024, "{}", all.to_string().len());
    let told = all["paths"]["/v1/listings/{name}"]["get"]["description"]
        .as_str()
        .unwrap();
    assert!(told.contains("more declared parameters have no room"), "{told}");
}
