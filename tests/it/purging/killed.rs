//! Nodes that die while they purge: no change is left without a purge.

use std::{
    collections::BTreeMap,
    sync::mpsc,
    time::{Duration, Instant},
};

use super::{ApiAnswer, RedisServer, ScriptedCdn, config, eventually, fastly, push, start};

const DEATHS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_within_a_call_or_behind_it_leaves_no_change_unpurged() {
    let redis = RedisServer::start();
    let (told, calls) = mpsc::channel();
    let told = parking_lot::Mutex::new(told);
    // Half of the deaths come before the answer, and half behind it.
    let cdn = ScriptedCdn::start(move |request| {
        let _ = told.lock().send(request.number);
        match request.number % 2 {
            0 => ApiAnswer::json("{}").after(Duration::from_millis(400)),
            _ => ApiAnswer::json("{}"),
        }
    });
    let config = config(&redis, &fastly(&cdn));
    let mut nodes = vec![start(&config), start(&config)];
    // Until then all pages are purged, whatever has changed.
    cdn.purged("~all", 2).await;
    let mut pushed = BTreeMap::new();
    for death in 0..DEATHS {
        let name = format!("promo:{death}");
        push(&nodes[0], &name, death as u64).await;
        pushed.insert(name, Instant::now());
        // The next call, whatever it is of, kills the node that makes it.
        while calls.try_recv().is_ok() {}
        let number = tokio::task::block_in_place(|| calls.recv_timeout(Duration::from_secs(20)).unwrap());
        if number % 2 == 1 {
            // Some milliseconds later its place is kept or not.
            tokio::time::sleep(Duration::from_millis(death as u64)).await;
        }
        let purges = |node: &crate::support::service::Service| node.log().contains("this node purges the CDN");
        let worker = nodes.iter().position(purges).unwrap();
        nodes[worker].kill();
        nodes.remove(worker);
        nodes.push(start(&config));
    }
    for (name, at) in &pushed {
        // A call whose node died may or may not have been done: two that were made after the change are none too many.
        let calls = eventually(async || match cdn.done(name) {
            calls if calls.iter().filter(|call| call.at > *at).count() >= 2 => Ok(calls),
            calls => Err((name.clone(), calls.len())),
        })
        .await;
        assert!(calls.len() <= 2 + DEATHS, "{name}: {} calls", calls.len());
    }
    // And nothing is left to do.
    let all = cdn.calls.lock().len();
    eventually(async || match nodes[0].metric("listcache_purge_lag_seconds").await {
        0.0 => Ok(()),
        lag => Err(lag),
    })
    .await;
    assert!(cdn.calls.lock().len() <= all + 4);
}
