//! The plan, against what the warm-up then takes.

use super::*;

/// What all keys take but those that a pattern of Lua fits.
fn bytes(shop: &Shop, without: &str) -> i64 {
    const SUM: &str = "local sum = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
        if not string.find(key, ARGV[1]) then sum = sum + redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0') end end return sum";
    shop.redis.cli(&["EVAL", SUM, "0", without]).parse().unwrap()
}

const NONE: &str = "^$";

#[test]
fn a_plan_says_within_a_tenth_what_the_warm_up_takes() {
    type Sizes = fn(usize) -> (usize, usize);
    let cases: [(&str, usize, Sizes); 5] = [
        ("tiny", 200, |number| (1 + number % 5, 120)),
        ("with empty ones", 40, |number| (number % 3, 300)),
        ("usual", 100, |number| (50 + number * 2, 300)),
        ("small items", 30, |number| (100 * number, 60)),
        ("large items, a long listing", 4, |number| {
            ([3, 700, 20_000, 50][number], [600, 5000, 500, 20_000][number])
        }),
    ];
    for (case, categories, sizes) in cases {
        let shop = Shop::start(categories, move |request| {
            let (count, json_bytes) = sizes(number_of(request));
            ApiAnswer::json(items(count, json_bytes))
        });
        let planned = shop.warm(&["--dry-run"]);
        assert_eq!(planned.code, Some(0), "{planned:?}");
        assert_eq!(shop.redis.cli(&["KEYS", "*:gen:*"]), "", "a dry run writes nothing");
        let reads = shop.api.requests().len();
        assert_eq!(reads, categories);
        let before = bytes(&shop, NONE);
        let warmed = shop.warm(&[]);
        assert_eq!(warmed.code, Some(0), "{warmed:?}");
        let taken = bytes(&shop, NONE) - before;
        for what in ["listings", "items"] {
            assert_eq!(planned.count(what), warmed.count(what), "{case}: {what}");
        }
        assert_eq!(
            planned.count("origin_reads") as usize,
            shop.api.requests().len() - reads,
            "{case}"
        );
        let ratio = planned.count("bytes") as f64 / taken as f64;
        eprintln!(
            "{case}: {} listings, {} items, {taken} bytes taken, {} planned, ratio {ratio:.3}; {} ms planned, {} taken",
            planned.count("listings"),
            planned.count("items"),
            planned.count("bytes"),
            planned.count("takes_ms"),
            warmed.count("took_ms"),
        );
        assert!((0.9..=1.1).contains(&ratio), "{case}: {ratio}");

        // Kept now: measured, and only timed at the origin.
        let reads = shop.api.requests().len();
        let again = shop.warm(&["--dry-run"]);
        assert_eq!(again.last()["measured"]["listings"], planned.count("listings"));
        assert_eq!(again.last()["estimated"]["listings"], 0);
        assert_eq!(again.count("items"), planned.count("items"));
        assert!(shop.api.requests().len() - reads <= 10);
        // The logs are there already.
        let ratio = again.count("bytes") as f64 / (bytes(&shop, ":log$")) as f64;
        assert!((0.9..=1.1).contains(&ratio), "{case}, kept: {ratio}");
        assert_eq!(shop.warm(&["--dry-run", "--skip-fresh"]).count("listings"), 0);
    }
}

#[test]
fn a_plan_counts_reads_of_families_too_large_to_be_sorted_here_and_keeps_to_the_rate() {
    let shop = Shop::start_with(4, "", |request| ApiAnswer::json(items(5 * number_of(request), 100)));
    let config = fs::read_to_string(shop.file()).unwrap();
    fs::write(
        shop.file(),
        config.replace("[defaults]", "[defaults]\nsort_in_memory_max = 7"),
    )
    .unwrap();
    let planned = shop.warm(&["--dry-run", "--rate", "2"]);
    // 12 listings, 2 a second.
    assert_eq!(planned.count("takes_ms"), 6000, "{}", planned.last());
    let before = shop.api.requests().len();
    // Two of at most 7 items; two with one reading that is given up, and one a sort.
    assert_eq!(planned.count("origin_reads"), 2 + 2 * 4);
    assert_eq!(shop.warm(&[]).code, Some(0));
    assert_eq!(shop.api.requests().len() - before, 10);
}
