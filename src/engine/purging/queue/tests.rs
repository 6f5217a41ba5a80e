use std::time::Instant;

use super::*;
use crate::{config::CdnPace, engine::purging::pace::Pace};

const SECOND_AFTER: Duration = Duration::from_secs(7);

fn limits(tags_a_call: usize) -> Limits {
    Limits {
        debounce: Duration::from_secs(1),
        widen_after: Duration::from_secs(60),
        second_after: SECOND_AFTER,
        tags_a_call,
    }
}

fn waiting(number: usize, since: u64) -> Waiting {
    Waiting {
        tag: format!("listing-{number}").into(),
        definition: format!("~definition-{}", number % 3).into(),
        since: Timestamp(since),
        ends: [(number % 64, LogCursor::default())].into(),
    }
}

/// Makes all calls of one phase that are due, without a bound on the pace. Returns the tags of each.
fn calls(queue: &mut Queue, phase: Phase, now: Timestamp) -> Vec<Vec<Arc<str>>> {
    let mut calls = Vec::new();
    while let Some((due, batch)) = queue.next(|_| Duration::ZERO) {
        if due > now || batch.phase != phase {
            break;
        }
        calls.push(batch.tags.clone());
        queue.done(batch, now);
    }
    calls
}

fn count(calls: &[Vec<Arc<str>>]) -> usize {
    calls.iter().map(Vec::len).sum()
}

#[test]
fn three_thousand_listings_are_as_few_calls_as_the_provider_takes() {
    for (tags_a_call, expected) in [(256, 12), (100, 30), (1, 3000)] {
        let mut queue = Queue::new(limits(tags_a_call));
        queue.add((0..3000).map(|number| waiting(number, 10_000)));
        assert!(
            calls(&mut queue, Phase::First, Timestamp(10_999)).is_empty(),
            "they wait for others"
        );
        let first = calls(&mut queue, Phase::First, Timestamp(11_000));
        assert_eq!((first.len(), count(&first)), (expected, 3000));
        assert!(
            calls(&mut queue, Phase::Second, Timestamp(17_999)).is_empty(),
            "nodes may not have heard"
        );
        let second = calls(&mut queue, Phase::Second, Timestamp(18_000));
        assert_eq!(count(&second), 3000);
        assert!(queue.next(|_| Duration::ZERO).is_none());
    }
}

#[test]
fn what_changes_again_is_purged_again() {
    let mut queue = Queue::new(limits(100));
    queue.add([waiting(1, 1000), waiting(1, 1500), waiting(2, 1800)]);
    let first = calls(&mut queue, Phase::First, Timestamp(2000));
    assert_eq!((first.len(), count(&first)), (1, 2), "once a call");
    queue.add([waiting(1, 2500)]);
    assert_eq!(count(&calls(&mut queue, Phase::First, Timestamp(3500))), 1);
    assert_eq!(count(&calls(&mut queue, Phase::Second, Timestamp(60_000))), 3);
}

#[test]
fn too_much_for_the_plan_is_one_call_of_definitions() {
    // Cloudflare's free plan.
    let given = CdnPace {
        calls_per_second: 5.0 / 60.0,
        burst: 25,
    };
    let now = Instant::now();
    let pace = Pace::new(given, now);
    let mut queue = Queue::new(limits(100));
    queue.add((0..3000).map(|number| waiting(number, 10_000)));
    let (_, batch) = queue.next(|calls| pace.time_for(calls, now)).unwrap();
    assert!(batch.is_widened);
    let tags: Vec<&str> = batch.tags.iter().map(|tag| &**tag).collect();
    assert_eq!(tags, ["~definition-0", "~definition-1", "~definition-2"]);
    let ends = queue.done(batch, Timestamp(11_000));
    assert_eq!(ends.len(), 64, "all of them are done");
    let (due, batch) = queue.next(|calls| pace.time_for(calls, now)).unwrap();
    assert_eq!((due, batch.phase), (Timestamp(18_000), Phase::Second));
    assert_eq!(batch.tags.len(), 3);
    // The pro plan takes them all.
    let pace = Pace::new(
        CdnPace {
            calls_per_second: 5.0,
            burst: 25,
        },
        now,
    );
    let mut queue = Queue::new(limits(100));
    queue.add((0..3000).map(|number| waiting(number, 10_000)));
    assert!(!queue.next(|calls| pace.time_for(calls, now)).unwrap().1.is_widened);
}

#[test]
fn a_cut_log_purges_everything() {
    let mut queue = Queue::new(limits(100));
    queue.add([waiting(1, 1000)]);
    queue.lose(
        Timestamp(5000),
        (0..64).map(|log| (log, LogCursor::default())).collect(),
    );
    let first = calls(&mut queue, Phase::First, Timestamp(6000));
    assert_eq!(first, [[Arc::from(cache_tag::ALL)]]);
    assert_eq!(queue.lag(Timestamp(6000 + 7000 + 2000)), Duration::from_secs(2));
    assert_eq!(calls(&mut queue, Phase::Second, Timestamp(13_000)).len(), 1);
    assert_eq!(queue.lag(Timestamp(99_000)), Duration::ZERO);
}

#[test]
fn what_a_worker_before_has_purged_once_is_purged_once_more() {
    let mut queue = Queue::new(limits(100));
    queue.add_purged(vec![waiting(1, 1000)], Timestamp(50_000));
    assert!(calls(&mut queue, Phase::First, Timestamp(56_000)).is_empty());
    assert_eq!(count(&calls(&mut queue, Phase::Second, Timestamp(57_000))), 1);
}

#[test]
fn calls_are_made_at_the_given_pace() {
    let given = CdnPace {
        calls_per_second: 2.0,
        burst: 3,
    };
    let now = Instant::now();
    let mut pace = Pace::new(given, now);
    for _ in 0..3 {
        assert_eq!(pace.time_for(1, now), Duration::ZERO);
        pace.count(now);
    }
    assert_eq!(pace.time_for(1, now), Duration::from_millis(500));
    assert_eq!(
        pace.time_for(4, now + Duration::from_millis(500)),
        Duration::from_millis(1500)
    );
    assert_eq!(
        pace.time_for(3, now + Duration::from_secs(60)),
        Duration::ZERO,
        "never more than the burst"
    );
}

#[test]
fn a_cdn_that_is_away_for_long_takes_bounded_memory() {
    let mut queue = Queue::new(limits(100));
    for round in 0..20 {
        queue.add((0..6000).map(|number| waiting(number, 1000 + round)));
        assert!(queue.first.len() <= WAITING_MAX);
    }
    let (_, batch) = queue.next(|_| Duration::ZERO).unwrap();
    assert_eq!(&*batch.tags[0], cache_tag::ALL);
    assert_eq!(
        queue.first.front().unwrap().since,
        Timestamp(1000),
        "as late as the oldest"
    );
    assert_eq!(batch.ends.len(), 64);
}
