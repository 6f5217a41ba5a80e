//! A warm-up that may not go on: nothing more is begun, what runs ends, and it says what is left.

use super::*;

#[test]
fn a_time_budget_ends_it_and_the_next_run_goes_on() {
    let shop = Shop::start(100, |request| answer(request).after(Duration::from_millis(50)));
    let first = shop.warm(&["--concurrency", "1", "--time-budget", "1s"]);
    assert_eq!(first.code, Some(2), "{first:?}");
    assert_eq!(first.last()["because"], "out of time");
    let (done, left) = (first.count("refreshed"), first.count("left"));
    assert!(done > 0 && left > 0 && done + left == 100, "{}", first.last());
    assert!(first.count("took_ms") < 5000, "{}", first.last());
    let second = shop.warm(&["--time-budget", "5m"]);
    assert_eq!(second.code, Some(0));
    assert_eq!((second.count("already_done"), second.count("refreshed")), (done, left));
    assert_eq!(shop.api.requests().len(), 100);
    assert!(second.lines.iter().any(|line| line["event"] == "resumed"));
}

#[test]
fn no_time_at_all_is_a_part_too() {
    let shop = Shop::start(5, answer);
    let warmed = shop.warm(&["--time-budget", "0s"]);
    assert_eq!((warmed.code, warmed.count("left")), (Some(2), 5), "{warmed:?}");
    assert!(shop.api.requests().is_empty());
}

#[test]
fn a_signal_lets_what_runs_end_and_begins_no_more() {
    for signal in ["TERM", "INT"] {
        let shop = Shop::start(60, |request| answer(request).after(Duration::from_millis(100)));
        let mut warmer = shop.begin(&["--concurrency", "3"]);
        warmer.until_done(5);
        warmer.signal(signal);
        let warmed = warmer.end();
        assert_eq!(warmed.code, Some(2), "{warmed:?}");
        assert_eq!(warmed.last()["because"], "stopped");
        let done = warmed.count("refreshed");
        assert_eq!(done + warmed.count("left"), 60);
        // Whatever was asked of the origin was published.
        assert_eq!(shop.api.requests().len() as u64, done);
        assert_eq!(shop.publishes().len() as u64, 3 * done);
        // Nobody else is at work on it.
        let next = shop.warm(&["--time-budget", "0s"]);
        assert!(next.lines.iter().any(|line| line["event"] == "resumed"), "{next:?}");
    }
}

#[test]
fn a_bar_that_nobody_sees_stops_nothing() {
    let shop = Shop::start(3, |request| match number_of(request) {
        0 => ApiAnswer::status(500),
        _ => answer(request),
    });
    assert_eq!(shop.warm_unseen(), Some(2));
}

#[test]
fn a_rate_is_kept_and_does_not_hold_up_the_end() {
    let shop = Shop::start(30, answer);
    // 30 names with 3 listings each, 60 listings a second.
    let warmed = shop.warm(&["--rate", "60"]);
    assert_eq!(warmed.code, Some(0));
    let took = warmed.count("took_ms");
    assert!((1400..6000).contains(&took), "{took} ms");
    let mut warmer = shop.begin(&["--rate", "3"]);
    warmer.until_done(1);
    warmer.signal("TERM");
    let warmed = warmer.end();
    assert_eq!(warmed.code, Some(2));
    assert!(warmed.count("left") > 25);
}
