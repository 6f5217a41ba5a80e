//! A job that is killed is taken up where it was; several at once share it.

use listcache::{
    engine::{
        Shrink,
        warm_up::{Effort, RESUMABLE_FOR, Step},
    },
    listing::{NameGlobs, WarmScope},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::shop;

const CATEGORIES: usize = 120;

/// After a kill the families that were being read then are read again, and no other; no listing is published twice.
fn killed_and_resumed(concurrency: usize) {
    let shop = Shop::start(CATEGORIES, answer);
    let at_once = concurrency.to_string();
    let flags = ["--concurrency", &at_once];
    let mut kills = 0;
    for done in [1, 13, 30, 31, 64, 65, 101] {
        let mut warmer = shop.begin(&flags);
        warmer.until_done(done);
        // In the middle of a read: one more was asked for, and is not answered yet.
        let asked = shop.api.requests().len();
        while shop.api.requests().len() == asked {
            std::thread::sleep(Duration::from_millis(1));
        }
        warmer.kill();
        kills += 1;
    }
    let last = shop.warm(&flags);
    assert_eq!(last.code, Some(0), "{last:?}");
    assert_eq!(last.count("refreshed") + last.count("already_done"), CATEGORIES as u64);
    assert!(last.count("already_done") >= 101, "{}", last.last());
    let reads = shop.reads();
    assert_eq!(reads.len(), CATEGORIES);
    let repeated = shop.api.requests().len() - CATEGORIES;
    assert!(
        repeated <= kills * concurrency,
        "{repeated} reads again after {kills} kills: {reads:?}"
    );
    let publishes = shop.publishes();
    assert_eq!(publishes.len(), 3 * CATEGORIES);
    let twice: Vec<_> = publishes.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    eprintln!(
        "{kills} kills, {concurrency} at once: {repeated} of {CATEGORIES} read again, 0 listings published twice"
    );
}

#[test]
fn a_killed_job_goes_on_where_it_was_and_reads_at_most_one_again() {
    killed_and_resumed(1);
}

#[test]
fn with_several_at_once_only_those_that_were_being_read_are_read_again() {
    killed_and_resumed(6);
}

#[test]
fn several_warmers_at_once_read_each_family_once() {
    const FAMILIES: usize = 300;
    for warmers in [2, 3] {
        let shop = Shop::start(FAMILIES, answer);
        let running: Vec<_> = (0..warmers).map(|_| shop.begin(&["--concurrency", "4"])).collect();
        let ended: Vec<_> = running.into_iter().map(Warmer::end).collect();
        for one in &ended {
            assert_eq!(one.code, Some(0), "{:?}", one.last());
            let warm = one.count("refreshed") + one.count("already_done");
            assert_eq!(warm, FAMILIES as u64, "{}", one.last());
        }
        assert_eq!(shop.api.requests().len(), FAMILIES, "{warmers} warmers");
        assert_eq!(shop.reads().len(), FAMILIES);
        let shares: Vec<u64> = ended.iter().map(|one| one.count("refreshed")).collect();
        eprintln!("{warmers} warmers: {FAMILIES} reads of {FAMILIES} families, shared {shares:?}");
        // They do not wait for each other: each does a part.
        assert!(
            shares.iter().all(|share| *share * 4 >= FAMILIES as u64 / warmers),
            "{shares:?}"
        );
        // The job is over: nothing of it is left, and the next one is another.
        assert_eq!(shop.redis.cli(&["KEYS", "listcache:2:warm-up:*"]), "");
    }
}

#[test]
fn a_job_that_is_done_is_begun_anew_by_the_next_and_one_that_is_not_by_a_flag() {
    let shop = Shop::start(20, answer);
    assert_eq!(shop.warm(&[]).count("refreshed"), 20);
    assert_eq!(shop.warm(&[]).count("refreshed"), 20);
    assert_eq!(shop.api.requests().len(), 40);
    let mut warmer = shop.begin(&["--concurrency", "1"]);
    warmer.until_done(10);
    warmer.kill();
    let resumed = shop.warm(&["--dry-run"]);
    assert_eq!(resumed.code, Some(0));
    let anew = shop.warm(&["--anew"]);
    assert_eq!((anew.count("refreshed"), anew.count("already_done")), (20, 0));
    // Another scope is another job.
    let mut warmer = shop.begin(&["--concurrency", "1"]);
    warmer.until_done(10);
    warmer.kill();
    let other = shop.warm(&["--include", "category:C00?"]);
    assert_eq!((other.count("refreshed"), other.count("already_done")), (10, 0));
    let resumed = shop.warm(&[]);
    assert_eq!(resumed.count("refreshed") + resumed.count("already_done"), 20);
    assert!(resumed.count("already_done") >= 10, "{}", resumed.last());
}

#[test]
fn what_fails_is_tried_once_more_and_then_told() {
    let shop = Shop::start(10, |request| {
        let failed_before = request.number >= 10;
        match number_of(request) {
            3 if !failed_before => ApiAnswer::status(500),
            7 => ApiAnswer::status(500),
            _ => answer(request),
        }
    });
    let warmed = shop.warm(&[]);
    assert_eq!(warmed.code, Some(2), "{warmed:?}");
    assert_eq!((warmed.count("refreshed"), warmed.count("failed")), (9, 1));
    let failed: Vec<_> = warmed.lines.iter().filter(|line| line["event"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["name"], "category:C007");
    assert_eq!(shop.reads()["/categories/C003"], 2);
    assert_eq!(shop.reads()["/categories/C007"], 2);

    let nothing = Shop::start(3, |_| ApiAnswer::status(500));
    assert_eq!(nothing.warm(&[]).code, Some(1));
}

/// Killed between two publishes of a family: what was published stays, and only the rest is built.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_family_that_is_half_done_only_the_rest_is_published() {
    let redis = RedisServer::start();
    let origin = shop::ScriptedOrigin::new(shop::items(30, 1));
    let mut definition = shop::enumerated(shop::definition(shop::policy()));
    definition.sorts = ["price", "name", "newest"].map(shop::sort).to_vec();
    let engine = shop::engine(&redis.url(), &origin, shop::definitions(vec![definition])).await;
    let scope = WarmScope {
        include: NameGlobs::parse(["category:known7"]).unwrap(),
        ..WarmScope::default()
    };
    let effort = Effort {
        concurrency: 1.try_into().unwrap(),
        rate: None,
        origin_latency_max: None,
        shrink: Shrink::Refused,
        skip_fresh: false,
        stop_at: None,
    };
    let reads = engine.warm_ups.recorded_reads().await.unwrap();
    let targets = engine.warm_ups.targets(&scope, &reads).await.unwrap();
    assert_eq!(targets.len(), 1);
    let job = engine
        .warm_ups
        .begin(&scope, false, false, RESUMABLE_FOR)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let warm = async || {
        let mut steps = Vec::new();
        let tell = &mut |_: &_, step: &Step| steps.push(step.clone());
        engine
            .warm_ups
            .run(Some(&job), targets.clone(), &effort, &stop, tell)
            .await;
        steps
    };
    let published = |steps: &[Step]| match steps {
        [Step::Refreshed { listings, .. }] => listings.iter().map(|one| one.listing.to_string()).collect(),
        _ => Vec::new(),
    };
    assert_eq!(published(&warm().await).len(), 3);
    let kept = redis.cli(&["HGET", &head(&redis, "price"), "id"]);
    redis.cli(&["DEL", &head(&redis, "name")]);
    origin.items.lock().push(shop::item(30, 2));
    assert_eq!(published(&warm().await), ["category:known7/name"]);
    assert_eq!(redis.cli(&["HGET", &head(&redis, "price"), "id"]), kept);
    assert_eq!(origin.reads(), 2);
    assert!(matches!(warm().await[..], [Step::Done]));
    assert_eq!(origin.reads(), 2);
}

fn head(redis: &RedisServer, sort: &str) -> String {
    let heads = redis.cli_lines(&["--scan", "--pattern", &format!("*:head:category:known7/{sort}")]);
    heads[0].clone()
}
