//! What lies in Redis is read back and counted.

use super::*;

#[test]
fn a_stream_that_lost_items_is_found_and_listed() {
    let shop = Shop::start(20, |request| ApiAnswer::json(items(10 + number_of(request), 100)));
    let warmed = shop.warm(&["--verify"]);
    assert_eq!(warmed.code, Some(0), "{warmed:?}");
    let verified = &warmed.last()["verified"];
    let items: u64 = 3 * (10..30).sum::<u64>();
    assert_eq!(
        verified,
        &serde_json::json!({ "listings": 60, "items": items, "different": 0 })
    );

    // One loses its last chunk, one is gone, one is no stream any more.
    let key = |listing: &str| {
        let keys = shop
            .redis
            .cli_lines(&["--scan", "--pattern", &format!("*:gen:*:{listing}")]);
        assert_eq!(keys.len(), 1, "{listing}");
        keys[0].clone()
    };
    assert_eq!(shop.redis.cli(&["XDEL", &key("category:C015/price"), "0-3"]), "1");
    assert_eq!(shop.redis.cli(&["DEL", &key("category:C003/name")]), "1");
    let heads = shop
        .redis
        .cli_lines(&["--scan", "--pattern", "*:head:category:C007/number"]);
    assert_eq!(shop.redis.cli(&["HSET", &heads[0], "total", "999"]), "0");
    let checked = shop.warm(&["--skip-fresh", "--verify"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    let mut different: Vec<Value> = checked
        .lines
        .iter()
        .filter(|line| line["event"] == "different")
        .cloned()
        .collect();
    different.sort_by_key(|line| line["listing"].to_string());
    let listing = |at: usize| {
        (
            different[at]["listing"].as_str().unwrap(),
            &different[at]["head"],
            &different[at]["stream"],
        )
    };
    assert_eq!(different.len(), 2, "{different:?}");
    assert_eq!(listing(0), ("category:C003/name", &13.into(), &0.into()));
    assert_eq!(listing(1), ("category:C015/price", &25.into(), &24.into()));
    assert_eq!(checked.last()["verified"]["listings"], 58);
    // A head that somebody has changed is none: its family is read again.
    assert_eq!(shop.api.requests().len(), 21, "verifying asks no origin");
}
