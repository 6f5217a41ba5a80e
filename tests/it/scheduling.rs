//! Refreshing by due times: what nobody reads at this moment stays fresh, what nobody reads at all is let go, and what
//! somebody waits for comes first.

mod diary;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use listcache::{
    engine::{Engine, EngineError, EngineLimits, EngineParts, PageState, Shrink},
    listing::{Definition, Family, ListingName, Order, Policy, definition::StreamOrder},
    origin::Origins,
    store::Drawn,
    telemetry::Metrics,
};

use self::diary::Diary;
use crate::support::{
    RedisServer, all_the_while, eventually,
    shop::{self, ScriptedOrigin, definition, definitions, enumerated, items, page, place, select, sort},
};

async fn node(redis: &RedisServer, origin: &Arc<Diary>, defined: Definition, limits: EngineLimits) -> Arc<Engine> {
    let mut origins = Origins::default();
    origins.insert("shop", origin.clone());
    Engine::start(EngineParts {
        cdns: Vec::new(),
        store: shop::store(&redis.url()).await,
        origins,
        definitions: definitions(vec![defined]),
        l1: shop::l1(),
        limits,
        metrics: Arc::new(Metrics::new()),
        refreshes_due: true,
    })
}

fn fresh_for(fresh_for: Duration) -> Policy {
    Policy {
        fresh_for,
        ..shop::policy()
    }
}

fn names(prefix: &str, count: usize) -> Vec<ListingName> {
    (0..count)
        .map(|number| shop::name(&format!("category:{prefix}{number}")))
        .collect()
}

async fn fill(node: &Engine, names: &[ListingName]) {
    for filled in join_all(names.iter().map(|name| shop::fill(node, name))).await {
        filled.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_read_each_listing_is_refreshed_about_once_a_period_and_by_whoever_is_left() {
    const PERIOD: Duration = Duration::from_secs(2);
    const PERIODS: usize = 4;
    let redis = RedisServer::start();
    let origin = Diary::new();
    let node = || node(&redis, &origin, definition(fresh_for(PERIOD)), EngineLimits::default());
    let (one, two) = (node().await, node().await);
    let names = names("x", 30);
    fill(&one, &names).await;

    for survivors in ["both", "one"] {
        // By now each has had its first refresh, whose phase is anywhere in the period.
        let began = Instant::now();
        eventually(async || match origin.since(began).iter().min() {
            Some(1..) => Ok(()),
            least => Err(format!("{least:?} with {survivors}")),
        })
        .await;
        let began = Instant::now();
        tokio::time::sleep(PERIOD * PERIODS as u32).await;
        let counts = origin.since(began);
        // What is due is looked for twice a second, and a loaded machine is late: a period may seem half as long again.
        for count in &counts {
            assert!(
                (PERIODS / 2..=PERIODS + 2).contains(count),
                "{counts:?} with {survivors}"
            );
        }
        two.shut_down(Duration::from_secs(5)).await;
    }
    one.shut_down(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_warmed_up_and_is_never_read_stops_being_refreshed_until_it_is_read() {
    let redis = RedisServer::start();
    let origin = Diary::new();
    let policy = Policy {
        idle_stop: Duration::from_secs(2),
        ..fresh_for(Duration::from_millis(500))
    };
    let node = node(&redis, &origin, definition(policy), EngineLimits::default()).await;
    let store = shop::store(&redis.url()).await;
    let name = shop::name("category:x");
    let family = Family::plain(name.clone());
    let next_due = async || store.due.time_of(&family).await.unwrap();

    shop::fill(&node, &name).await.unwrap();
    assert!(next_due().await.is_some());
    // Refreshed for a while, for it may be read yet.
    eventually(async || match origin.count() {
        3.. => Ok(()),
        count => Err(count),
    })
    .await;
    eventually(async || match next_due().await {
        None => Ok(()),
        due => Err(due),
    })
    .await;
    let stopped = origin.count();
    // Once more past its time, and nobody has asked the origin.
    all_the_while(Duration::from_millis(1200), async || {
        assert_eq!(origin.count(), stopped)
    })
    .await;

    page(&node, &name, &place(0, 5)).await.unwrap();
    eventually(async || match next_due().await {
        Some(_) => Ok(()),
        None => Err("not due again"),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_together_is_not_due_together() {
    const LISTINGS: usize = 200;
    const PERIOD: Duration = Duration::from_secs(1000);
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(5, 0));
    let node = shop::engine(&redis.url(), &origin, definitions(vec![definition(fresh_for(PERIOD))])).await;
    let store = shop::store(&redis.url()).await;
    let names = names("x", LISTINGS);
    let due_after = async || {
        let now = store.now();
        let mut parts = Vec::new();
        for name in &names {
            let due = store.due.time_of(&Family::plain(name.clone())).await.unwrap().unwrap();
            parts.push(due.since(now).as_secs_f64() / PERIOD.mul_f64(shop::policy().refresh_ahead).as_secs_f64());
        }
        parts
    };

    fill(&node, &names).await;
    let mut quarters = [0; 4];
    for part in due_after().await {
        quarters[((part * 4.0) as usize).min(3)] += 1;
    }
    // 50 each, were it exact; less than 20 or more than 80 comes once in millions.
    assert!(quarters.iter().all(|count| (20..=80).contains(count)), "{quarters:?}");

    // From the second time on a jitter keeps them apart.
    for name in &names {
        node.writes
            .refresh_and_wait(name, &Default::default(), None, Shrink::Refused)
            .await
            .unwrap();
    }
    let parts = due_after().await;
    assert!(parts.iter().all(|part| (0.85..1.1).contains(part)), "{parts:?}");
    let (least, most) = parts.iter().fold((f64::MAX, f64::MIN), |(least, most), part| {
        (least.min(*part), most.max(*part))
    });
    assert!(most - least > 0.1, "{least} to {most}");
}

/// A scanner of names under a definition that enumerates none must not leave work behind for every name it made up.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_have_no_items_are_not_due() {
    let redis = RedisServer::start();
    let origin = Diary::new();
    let policy = fresh_for(Duration::from_millis(300));
    let node = node(&redis, &origin, definition(policy.clone()), EngineLimits::default()).await;
    let store = shop::store(&redis.url()).await;
    let nothing = shop::name("category:nothing");
    for _ in 0..20 {
        let answer = page(&node, &nothing, &place(0, 5)).await;
        assert!(matches!(answer, Err(EngineError::NotFound)), "{answer:?}");
    }
    assert_eq!(origin.count(), 1, "that there are no items is remembered for a while");
    assert_eq!(store.due.time_of(&Family::plain(nothing.clone())).await.unwrap(), None);
    // Asked for again past its time it is looked for again.
    eventually(async || {
        let answer = page(&node, &nothing, &place(0, 5)).await;
        assert!(matches!(answer, Err(EngineError::NotFound)), "{answer:?}");
        match origin.count() {
            2.. => Ok(()),
            count => Err(count),
        }
    })
    .await;
    node.shut_down(Duration::from_secs(5)).await;

    // A name that is enumerated exists: it is refreshed like any other.
    let empty = ScriptedOrigin::new(Vec::new());
    let node = shop::engine(&redis.url(), &empty, definitions(vec![enumerated(definition(policy))])).await;
    let known = shop::name("category:known1");
    assert_eq!(page(&node, &known, &place(0, 5)).await.unwrap().meta.total, 0);
    assert!(store.due.time_of(&Family::plain(known)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_first_fill_is_left_to_whoever_asks_next() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(5, 0));
    origin.failing.store(true, Ordering::SeqCst);
    let node = shop::engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await;
    let store = shop::store(&redis.url()).await;
    let cold = shop::name("category:cold");
    page(&node, &cold, &place(0, 5)).await.unwrap_err();
    // The name may be anybody's invention: its failure is remembered where it was asked for, and leaves nothing in Redis.
    let selection = select(&node, &cold, Order::Asc).await.unwrap();
    assert!(node.inspector.explain(&selection).await.unwrap().last_error.is_some());
    assert_eq!(store.failures.last(&Family::plain(cold.clone())).await.unwrap(), None);
    assert_eq!(store.due.time_of(&Family::plain(cold)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_leaves_places_to_what_somebody_waits_for() {
    let redis = RedisServer::start();
    let origin = Diary::new();
    let limits = EngineLimits {
        fill_wait: Duration::from_secs(20),
        refreshes_at_once: Some(4),
        ..EngineLimits::default()
    };
    let node = node(&redis, &origin, definition(shop::policy()), limits).await;
    let store = shop::store(&redis.url()).await;
    let held: Vec<Family> = names("held", 20).into_iter().map(Family::plain).collect();
    store.due.schedule_all(&held, Duration::ZERO).await.unwrap();
    eventually(async || match origin.count() {
        3.. => Ok(()),
        count => Err(count),
    })
    .await;
    // Those that are read hang, the others wait behind them. A reader's listing passes them all.
    page(&node, &shop::name("category:wanted"), &place(0, 5)).await.unwrap();
    // So does one that was only due, once somebody waits for it.
    let waiting: Vec<String> = {
        let reads = origin.reads.lock();
        let all = (0..20).map(|number| format!("held{number}"));
        all.filter(|name| !reads.contains_key(name)).collect()
    };
    let hurried = shop::name(&format!("category:{}", waiting[0]));
    let asking = tokio::spawn({
        let (node, hurried) = (node.clone(), hurried.clone());
        async move { page(&node, &hurried, &place(0, 5)).await }
    });
    eventually(async || match origin.reads.lock().contains_key(&waiting[0]) {
        true => Ok(()),
        false => Err("it stands back"),
    })
    .await;
    origin.held.add_permits(1000);
    asking.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshes_that_wait_are_bounded_and_who_comes_later_hears_it_at_once() {
    let redis = RedisServer::start();
    let origin = Diary::new();
    let limits = EngineLimits {
        fill_wait: Duration::from_secs(20),
        refreshes_waiting_max: 10,
        ..EngineLimits::default()
    };
    let node = node(&redis, &origin, enumerated(definition(shop::policy())), limits).await;
    let names = names("held", 100);
    let asking = names.iter().map(|name| {
        let (node, name) = (node.clone(), name.clone());
        tokio::spawn(async move { page(&node, &name, &place(0, 5)).await })
    });
    let asking: Vec<_> = asking.collect();
    eventually(
        async || match asking.iter().filter(|asking| asking.is_finished()).count() {
            90.. => Ok(()),
            shed => Err(shed),
        },
    )
    .await;
    let refused = node
        .writes
        .refresh(
            &shop::name("category:held-too"),
            &Default::default(),
            None,
            Shrink::Refused,
        )
        .await;
    assert!(matches!(refused, Err(EngineError::Overloaded { .. })), "{refused:?}");
    origin.held.add_permits(1000);
    let answers = join_all(asking).await;
    let shed = |answer: &&Result<_, _>| matches!(answer, Err(EngineError::Overloaded { .. }));
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(shed).count(), 90);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
}

/// Redis's clock was set back by an hour: what was read just before seems to be read in the future, and due in an hour.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_clock_was_set_back_a_listing_is_refreshed_whether_it_is_read_or_not() {
    const HOUR: Duration = Duration::from_secs(3600);
    let redis = RedisServer::start();
    let origin = Diary::new();
    let defined = Definition {
        sorts: vec![sort("price")],
        ..definition(fresh_for(Duration::from_secs(60)))
    };
    let store = shop::store(&redis.url()).await;
    let published = async |name: &ListingName| {
        let family = Family::plain(name.clone());
        let stream: StreamOrder<'_> = defined.streams().next().unwrap();
        let key = family.listing(stream.stored());
        let Drawn::Granted(grant) = store.draws.with_lease(&family, 1, false).await.unwrap() else {
            panic!("leased")
        };
        let (as_of, hash) = (grant.as_of.after(HOUR), defined.hash_of(&stream.stored()).unwrap());
        let mut writer = store
            .writes
            .begin(&key, grant.generations[0], as_of, hash, &defined.policy);
        for item in items(5, 0) {
            writer.append(item).await.unwrap();
        }
        let finished = writer.finish().await.unwrap();
        let due_in = HOUR + Duration::from_secs(54);
        let lease = grant.lease.as_ref();
        store
            .writes
            .publish(finished, &defined.policy, lease, Some(due_in))
            .await
            .unwrap();
        grant.lease.unwrap().release().await;
        grant.generations[0]
    };
    let (read, unread) = (shop::name("category:read"), shop::name("category:unread"));
    let generation = published(&read).await;
    published(&unread).await;
    let node = node(&redis, &origin, defined.clone(), EngineLimits::default()).await;

    let stale = page(&node, &read, &place(0, 5)).await.unwrap();
    assert_eq!(stale.meta.freshness.state, PageState::Refreshing);
    eventually(async || {
        let page = page(&node, &read, &place(0, 5)).await.unwrap();
        match page.meta.freshness.state {
            PageState::Fresh => Ok(()),
            state => Err(state),
        }
    })
    .await;
    // The origin has what was kept: it lives on, and is as old as it is.
    let again = page(&node, &read, &place(0, 5)).await.unwrap();
    assert_eq!(again.meta.generation, generation);
    assert!(
        (50_000..=60_000).contains(&again.meta.freshness.ttl_ms),
        "{:?}",
        again.meta.freshness
    );

    eventually(async || match origin.reads.lock().contains_key("unread") {
        true => Ok(()),
        false => Err("not due"),
    })
    .await;
    let due = async || {
        store
            .due
            .time_of(&Family::plain(unread.clone()))
            .await
            .unwrap()
            .unwrap()
    };
    eventually(async || {
        let ahead: Duration = due().await.since(store.now());
        match ahead < HOUR {
            true => Ok(()),
            false => Err(ahead),
        }
    })
    .await;
    // A time that the period allows stays as it is.
    assert!(store.now() < due().await);
}
