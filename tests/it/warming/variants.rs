//! Which variants of a name are warmed.

use super::*;

fn shop() -> Shop {
    let shop = Shop::start(0, |request| {
        assert!(request.query.contains_key("currency"));
        ApiAnswer::json(r#"[{"id":1,"price":1,"brand":"ACME"},{"id":2,"price":2,"brand":"Other"}]"#)
    });
    let config = format!(
        r#"
        [redis]
        url = "{}"
        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        names = ["A", "B"]
        query = "GET /categories/:category?currency=:currency&segment=:segment"
        [listings.sorts]
        price = {{ by = ["price"] }}
        [listings.variants]
        currency = ["EUR", "USD"]
        segment = ["b2c", "b2b"]
        [listings.filters]
        brand = {{}}
        "#,
        shop.redis.url(),
        shop.api.url
    );
    fs::write(shop.file(), config).unwrap();
    shop
}

fn read(shop: &Shop) -> Vec<String> {
    let requests = shop.api.requests();
    let read = requests.iter().map(|request| {
        let category = request.path.rsplit('/').next().unwrap();
        format!("{category} {} {}", request.query["currency"], request.query["segment"])
    });
    let mut read: Vec<_> = read.collect();
    read.sort();
    read
}

#[test]
fn the_matrix_of_variants_is_warmed_whole_or_in_part() {
    for (flags, expect) in [
        (&[][..], &["A EUR b2c", "B EUR b2c"][..]),
        (&["--variant", "currency=USD"], &["A USD b2c", "B USD b2c"]),
        (
            &["--variant", "currency=USD,EUR", "--include", "category:A"],
            &["A EUR b2c", "A USD b2c"],
        ),
        (
            &["--variants", "all"],
            &[
                "A EUR b2b",
                "A EUR b2c",
                "A USD b2b",
                "A USD b2c",
                "B EUR b2b",
                "B EUR b2c",
                "B USD b2b",
                "B USD b2c",
            ],
        ),
        (
            &["--variants", "all", "--variant", "segment=b2b", "--exclude", "*B"],
            &["A EUR b2b", "A USD b2b"],
        ),
    ] {
        let shop = shop();
        let warmed = shop.warm(flags);
        assert_eq!(warmed.code, Some(0), "{warmed:?}");
        assert_eq!(read(&shop), expect, "{flags:?}");
    }
}

#[test]
fn choices_are_told_and_checked() {
    let shop = shop();
    let warmed = shop.warm(&["--variant", "currency=USD", "--include", "category:A"]);
    let line = warmed.lines.iter().find(|line| line["event"] == "refreshed").unwrap();
    assert_eq!(line["name"], "category:A");
    assert_eq!(
        line["choices"],
        serde_json::json!({ "currency": "USD", "segment": "b2c" })
    );
    for flags in [
        ["--variant", "currency=CHF"],
        ["--variant", "colour=red"],
        ["--variant", "currency"],
    ] {
        let refused = shop.warm(&flags);
        assert_eq!((refused.code, refused.lines.len()), (Some(1), 0), "{flags:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_warmed_most_read_first() {
    let shop = shop();
    let config = fs::read_to_string(shop.file()).unwrap();
    let service = crate::support::service::Service::start(&config);
    for (path, times) in [
        ("category:B?currency=USD", 3),
        ("category:A?segment=b2b", 2),
        ("category:A", 1),
    ] {
        for _ in 0..times {
            let answer = reqwest::get(service.url(&format!("/v1/listings/{path}")))
                .await
                .unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    // Counts are told every few seconds.
    crate::support::eventually(async || {
        let popular = shop.redis.cli_lines(&["--scan", "--pattern", "*:popular"]);
        let mut counts: Vec<String> = Vec::new();
        for key in &popular {
            counts.extend(shop.redis.cli_lines(&["ZRANGE", key, "0", "-1"]));
        }
        if counts.len() == 3 { Ok(()) } else { Err(counts) }
    })
    .await;
    let warmed = shop.warm(&["--variants", "read", "--concurrency", "1"]);
    assert_eq!(warmed.code, Some(0), "{warmed:?}");
    let order: Vec<String> = warmed
        .lines
        .iter()
        .filter(|line| line["event"] == "refreshed")
        .map(|line| {
            let choices = &line["choices"];
            let text = |parameter: &str| choices[parameter].as_str().unwrap().to_owned();
            format!(
                "{} {} {}",
                line["name"].as_str().unwrap(),
                text("currency"),
                text("segment")
            )
        })
        .collect();
    assert_eq!(
        order,
        [
            "category:B USD b2c",
            "category:A EUR b2b",
            "category:A EUR b2c",
            "category:B EUR b2c"
        ]
    );
}
