//! Due times and read counts.

use std::{collections::BTreeSet, time::Duration};

use listcache::{
    listing::Family,
    store::{Drawn, DrawnFor, ReadEnd},
};

use crate::support::{
    RedisServer, eventually,
    store::{connect, family, finished, listing, moved, policy, schedule},
};

const LATER: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_due_family_is_claimed_once_and_again_after_its_claim() {
    let redis = RedisServer::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let families: BTreeSet<Family> = (0..200).map(|at| family(&format!("f{at}?currency=EUR"))).collect();
    for family in &families {
        schedule(&store, family, Duration::ZERO).await;
    }
    schedule(&store, &family("later"), LATER).await;

    let mut claimed = Vec::new();
    // The estimate of Redis's time may be a moment ahead.
    eventually(async || {
        let (one, two) = tokio::join!(store.due.claim(2, LATER), other.due.claim(2, LATER));
        claimed.extend(one.unwrap().into_iter().map(|claim| claim.family));
        claimed.extend(two.unwrap().into_iter().map(|claim| claim.family));
        if claimed.len() >= families.len() {
            Ok(())
        } else {
            Err(claimed.len())
        }
    })
    .await;
    assert_eq!(claimed.len(), families.len());
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), families);
    assert!(store.due.claim(100, LATER).await.unwrap().is_empty());

    let due = store.due.time_of(&family("f7?currency=EUR")).await.unwrap().unwrap();
    assert!(due > store.now().after(LATER / 2));
    // The longest due comes first; what no version wrote is thrown away.
    let due_sets = redis.cli_lines(&["--scan", "--pattern", "*:due"]);
    for (score, member) in [("1", "%"), ("2", "x"), ("3", "y")] {
        redis.cli(&["ZADD", &due_sets[0], score, member]);
    }
    assert!(store.due.claim(1, LATER).await.unwrap().is_empty());
    assert_eq!(store.due.claim(1, LATER).await.unwrap()[0].family, family("x"));
    assert_eq!(redis.cli(&["ZSCORE", &due_sets[0], "%"]), "");
}

#[tokio::test]
async fn schedule_leaves_a_due_time_as_it_is() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = family("shoes");
    assert_eq!(store.due.time_of(&shoes).await.unwrap(), None);
    schedule(&store, &shoes, LATER).await;
    let due = store.due.time_of(&shoes).await.unwrap();
    let again = std::slice::from_ref(&shoes);
    store.due.schedule_all(again, Duration::ZERO).await.unwrap();
    assert_eq!(store.due.time_of(&shoes).await.unwrap(), due);
    store.due.remove(&shoes).await.unwrap();
    assert_eq!(store.due.time_of(&shoes).await.unwrap(), None);
}

#[tokio::test]
async fn a_publish_sets_the_next_due_time() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let written = finished(&store, &shoes, &grant, 3).await;
    moved(
        store
            .writes
            .publish(written, &policy(), None, Some(LATER))
            .await
            .unwrap(),
    );
    let due = store.due.time_of(&shoes.family).await.unwrap().unwrap();
    let wait = due.since(store.now());
    assert!(
        wait <= LATER + Duration::from_secs(1) && wait > LATER - Duration::from_secs(60),
        "{wait:?}"
    );
}

#[tokio::test]
async fn reads_are_counted_over_nodes() {
    let redis = RedisServer::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let reads: Vec<(Family, u64)> = (0..300).map(|at| (family(&format!("f{at}")), 1 + at % 7)).collect();
    assert_eq!(store.reads.last(&family("f5")).await.unwrap(), None);
    store.reads.record(&reads).await.unwrap();
    other
        .reads
        .record(&[(family("f5"), 100), (family("f6"), 50)])
        .await
        .unwrap();

    let popular = store.reads.popular(3).await.unwrap();
    assert_eq!(popular[..2], [(family("f5"), 106), (family("f6"), 57)]);
    assert_eq!(popular[2].1, 7);
    assert_eq!(store.reads.popular(10_000).await.unwrap().len(), 300);
    let read = store.reads.last(&family("f5")).await.unwrap().unwrap();
    assert!(store.now().since(read) < Duration::from_secs(60));
}

#[tokio::test]
async fn what_is_made_due_now_is_not_put_off_by_it() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let families: Vec<Family> = (0..250).map(|at| family(&format!("f{at}"))).collect();
    schedule(&store, &families[0], LATER).await;
    schedule(&store, &families[1], Duration::ZERO).await;
    let before = store.due.time_of(&families[1]).await.unwrap();
    store.due.bring_forward(families.iter()).await.unwrap();
    for family in &families {
        let due = store.due.time_of(family).await.unwrap().unwrap();
        assert!(due <= store.now(), "{family}");
    }
    assert_eq!(store.due.time_of(&families[1]).await.unwrap(), before);
}

#[tokio::test]
async fn a_claim_that_a_read_has_overtaken_brings_nothing_forward() {
    const COALESCE_FOR: Duration = Duration::from_secs(100);
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = family("shoes");
    let draw = async |drawn_for| store.draws.coalesced(&shoes, 1, drawn_for, COALESCE_FOR).await.unwrap();
    let due_in = async || store.due.time_of(&shoes).await.unwrap().unwrap().since(store.now());

    // Asked for, and found due by one node while another begins to read.
    store
        .coalesced
        .ask(std::slice::from_ref(&shoes), COALESCE_FOR)
        .await
        .unwrap();
    let Drawn::Granted(mut grant) = draw(DrawnFor::Asked).await else {
        panic!("nothing stands in the way of the first read");
    };
    store.due.bring_forward([&shoes].into_iter()).await.unwrap();
    let claims = store.due.claim(1, LATER).await.unwrap();
    let claim = claims.first().map(|claim| claim.due_again);
    assert!(claim.is_some());
    let current = ReadEnd::Current(Some(2 * LATER));
    store
        .coalesced
        .settle(&shoes, &grant, COALESCE_FOR, current)
        .await
        .unwrap();
    grant.lease.take().unwrap().release().await;
    for drawn_for in [DrawnFor::Due(claim), DrawnFor::Due(None)] {
        assert!(matches!(draw(drawn_for).await, Drawn::TooSoon { .. }));
        assert!(due_in().await > LATER, "the read's own due time stands");
    }

    // Claimed after that read: it is due when it may be read.
    store.due.postpone(&shoes, Duration::ZERO).await.unwrap();
    let claims = store.due.claim(1, LATER).await.unwrap();
    let claim = claims.first().map(|claim| claim.due_again);
    assert!(matches!(draw(DrawnFor::Due(claim)).await, Drawn::TooSoon { .. }));
    assert!(due_in().await <= COALESCE_FOR);

    // And so where somebody asks, whoever draws.
    store.due.postpone(&shoes, LATER).await.unwrap();
    store
        .coalesced
        .ask(std::slice::from_ref(&shoes), COALESCE_FOR)
        .await
        .unwrap();
    store.due.postpone(&shoes, LATER).await.unwrap();
    assert!(matches!(draw(DrawnFor::Due(None)).await, Drawn::TooSoon { .. }));
    assert!(due_in().await <= COALESCE_FOR);
}
