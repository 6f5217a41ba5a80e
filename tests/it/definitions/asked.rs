//! `check-config --origins`: what is not there is named before the service meets it.

use std::{fs, path::Path, process::Command};

use crate::support::{
    api::{Api, ApiAnswer},
    service::Shop,
};

/// The exit code, stdout and stderr.
fn check(directory: &Path, listings: &str, api: &str) -> (Option<i32>, String, String) {
    let config = format!(
        r#"
        [redis]
        url = "redis://127.0.0.1:1"
        [origins.shop]
        kind = "sql"
        url = "sqlite://shop.db?mode=ro"
        [origins.export]
        kind = "file"
        path = "items.ndjson"
        [origins.gone]
        kind = "file"
        path = "gone.csv"
        [origins.api]
        kind = "http"
        url = "{api}"
        paging = "none"
        {listings}"#
    );
    fs::write(directory.join("listcache.toml"), config).unwrap();
    let asked = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["check-config", "--origins"])
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (asked.status.code(), text(&asked.stdout), text(&asked.stderr))
}

/// A definition of category `BREAD`, with a query and more keys.
fn of_shop(name: &str, query: &str, more: &str) -> String {
    format!(
        "[[listings]]\nname = \"{name}:{{category}}\"\norigin = \"shop\"\nnames = [\"BREAD\"]\nquery = \"{query}\"\n{more}\n"
    )
}

const BY_PRICE: &str = "[listings.sorts]\nprice = { by = [\"price_cents\"] }";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_origin_does_not_have_is_named() {
    let shop = Shop::new().await;
    fs::write(
        shop.path().join("items.ndjson"),
        "{\"id\":1,\"price\":2,\"kind\":\"x\"}\n",
    )
    .unwrap();
    let api = Api::start(|_| ApiAnswer::json(r#"[{"id":1,"price":1,"name":"x"}]"#));
    let select = "select id, brand, price_cents from products where category = :category";
    let good = of_shop("good", select, "hidden = [\"price_cents\"]")
        + BY_PRICE
        + "\n[listings.filters]\nbrand = {}\n[listings.variants.store]\na = { table = \"products\" }\nb = { table = \"products\" }\n"
        + "[[listings]]\nname = \"export\"\norigin = \"export\"\n[listings.sorts]\nprice = { by = [\"price\"] }\n";
    let (code, out, err) = check(shop.path(), &good, &api.url);
    assert_eq!(code, Some(0), "{out}{err}");
    for line in [
        "listings[0] (good:{category}): good:BREAD has 31 items",
        "listings[0] (good:{category}): good:BREAD?store=b has 31 items",
        "listings[1] (export): export has 1 item",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let stores = "\n[listings.variants.store]\na = { table = \"products\" }\nb = { table = \"no_such_table\" }\n";
    let from_store = select.replace("products", "{store.table}");
    let filtered = "\n[listings.filters]\nbrand = { label = \"brand_name\" }\n";
    let of = |origin: &str, query: &str| {
        format!(
            "[[listings]]\nname = \"{origin}\"\norigin = \"{origin}\"\n{query}\n[listings.sorts]\nprice = {{ by = [\"price\"] }}\n"
        )
    };
    let bad = [
        of_shop("column", select, "[listings.sorts]\nprice = { by = [\"cost\"] }"),
        of_shop("table", &from_store, BY_PRICE) + stores,
        of_shop("placeholder", &format!("{select} and currency = :currency"), BY_PRICE),
        of_shop("filter", select, BY_PRICE) + filtered,
        of_shop("syntax", "selec id from products", BY_PRICE),
        of_shop(
            "version",
            select,
            &format!("version_query = \"select no_such from products\"\n{BY_PRICE}"),
        ),
        of("gone", ""),
        of("export", "hidden = [\"pirce\"]").replace("name = \"export\"", "name = \"hidden\""),
        of("export", "").replace("by = [\"price\"]", "by = [\"cost\"]"),
        of("api", "query = \"GET /products\"")
            + "[listings.filters]\nkind = {}\nsize = { at = \"name\", range = true }\n",
    ];
    let (code, out, err) = check(shop.path(), &bad.concat(), &api.url);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        err.contains("the origins have 11 errors for this configuration"),
        "{err}"
    );
    assert!(out.contains("table:BREAD has 31 items"), "{out}");
    for (place, said) in [
        ("listings[0] (column:{category})", "cost"),
        ("listings[1] (table:{category}): table:BREAD?store=b", "no_such_table"),
        ("listings[2] (placeholder:{category})", "currency"),
        (
            "listings[3] (filter:{category})",
            "no item has `brand_name`, which the filter `brand` reads",
        ),
        ("listings[4] (syntax:{category})", "syntax error"),
        ("listings[5] (version:{category})", "no_such"),
        ("listings[6] (gone)", "gone.csv"),
        ("listings[7] (hidden)", "no item has `pirce`, which `hidden` names"),
        ("listings[8] (export)", "no item has `cost`, which sorts go by"),
        (
            "listings[9] (api): api: no item has `kind`",
            "which the filter `kind` reads",
        ),
        (
            "listings[9] (api): api: no item has a number",
            "at `name`, which the filter `size` reads; the first has `x`",
        ),
    ] {
        let line = err.lines().find(|line| line.contains(place)).unwrap_or_default();
        assert!(line.contains(said), "{place} {said}: {err}");
    }
}
