//! Nodes are killed at 40 points between the row of an outbox and the page: no change is lost, and one that is made twice does no harm.
//!
//! A point is a turn with Redis, counted from the commit in the database: its request never arrives, or its reply never does. The
//! statements on the outbox lie between two turns. So the first points lie close, and the others are spread over the whole way.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use fastrand::Rng;

use super::{ChangingShop, check_all, outbox::TRIGGERS, progress::Progress};
use crate::support::{Proxy, RedisServer, eventually, service::Service, stop_point::Side};

const CATEGORIES: [&str; 2] = ["a", "b"];
const PRODUCTS: i64 = 60;
const POINTS: usize = 40;
/// The first turns, at each of which two nodes are killed.
const CLOSE: usize = 8;
/// Shops in which nodes are killed at the same time: most of the time they wait for leases to end.
const SHOPS: usize = 8;

/// How far a change had come when its node was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The row is in the outbox, and Redis does not have the change.
    Row,
    /// Redis has it, and the row is still there.
    RowAndRecord,
    /// The row is deleted, and no head has moved.
    Record,
    /// Some heads have moved, and the change is not worked off.
    SomePages,
    /// It is worked off.
    Pages,
}

/// The turn of a point, and its half.
fn point(number: usize, turns: usize) -> (usize, Side) {
    let side = if number.is_multiple_of(2) {
        Side::Request
    } else {
        Side::Reply
    };
    let (at, rest) = (number / 2, POINTS / 2 - CLOSE);
    match at < CLOSE {
        true => (at + 1, side),
        false => (CLOSE + (at - CLOSE + 1) * turns.saturating_sub(CLOSE) / rest, side),
    }
}

struct Killing {
    shop: ChangingShop,
    redis: RedisServer,
    config: String,
    random: Rng,
}

impl Killing {
    async fn start(number: usize) -> Self {
        let mut shop = ChangingShop::with_products(PRODUCTS, &CATEGORIES).await;
        sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
        let redis = RedisServer::start();
        Self {
            config: shop.config_with_outbox(&redis),
            shop,
            redis,
            random: Rng::with_seed(number as u64),
        }
    }

    /// A node that has all of Redis by a proxy, and has the roles: what it was told is on its pages.
    async fn node(&mut self) -> (Service, Proxy) {
        let proxy = Proxy::start(&self.redis.url());
        let node = Service::start(&self.config.replace(&self.redis.url(), &proxy.url()));
        self.change().await;
        self.is_right(&node).await;
        (node, proxy)
    }

    /// All listings are what the database has, and nothing waits.
    async fn is_right(&mut self, node: &Service) {
        self.shop.empty_outbox().await;
        Progress::of(&self.redis).are_worked_off().await;
        check_all(node, &self.shop, &CATEGORIES).await;
    }

    /// Prices, a category, and sometimes a deletion or a new product, in one transaction.
    async fn change(&mut self) {
        let ids: BTreeSet<i64> = (0..3).map(|_| self.random.i64(1..=PRODUCTS)).collect();
        for (at, id) in ids.iter().enumerate() {
            let price = vec![Some(self.random.i64(80..200))];
            match self.shop.products.get_mut(id) {
                Some(_) if at == 2 => drop(self.shop.products.remove(id)),
                Some(product) => {
                    product.offers = price;
                    product.categories = [CATEGORIES[self.random.usize(..2)].to_owned()].into();
                }
                None => {
                    let mut product = super::products(PRODUCTS, &CATEGORIES).remove(id).unwrap();
                    product.offers = price;
                    self.shop.products.insert(*id, product);
                }
            }
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        self.shop.write(&ids).await;
    }

    /// Kills a node at each of these points.
    async fn kill_at(&mut self, points: impl Iterator<Item = usize>) -> Vec<Stage> {
        let (mut node, mut proxy) = self.node().await;
        proxy.clear();
        self.change().await;
        self.is_right(&node).await;
        let turns = proxy.turns().len();
        let mut stages = Vec::new();
        for number in points {
            let heads = Progress::of(&self.redis).heads();
            let (turn, side) = point(number, turns);
            proxy.stop_at(turn, side);
            self.change().await;
            let stage = eventually(async || match (proxy.has_stopped(), self.stage(&heads).await) {
                // It has come to its end in fewer turns than the one that was counted.
                (true, stage) | (false, stage @ Stage::Pages) => Ok(stage),
                (false, stage) => Err((turn, side, stage)),
            })
            .await;
            stages.push(stage);
            node.kill();
            // The bytes that were held never arrive.
            drop(proxy);
            (node, proxy) = self.node().await;
        }
        stages
    }

    async fn stage(&mut self, heads: &BTreeMap<String, String>) -> Stage {
        let progress = Progress::of(&self.redis);
        let is_row = self.shop.waiting_rows().await > 0;
        let is_recorded = !progress.behind().is_empty();
        match (is_row, is_recorded) {
            (true, false) => Stage::Row,
            (true, true) => Stage::RowAndRecord,
            (false, false) => Stage::Pages,
            (false, true) if progress.heads() == *heads => Stage::Record,
            (false, true) => Stage::SomePages,
        }
    }
}

#[test]
fn nodes_killed_at_forty_points_between_the_row_and_the_page_lose_no_change() {
    let kill = |number: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let points = (0..POINTS).filter(|point| point % SHOPS == number);
            Killing::start(number).await.kill_at(points).await
        })
    };
    let stages: Vec<Stage> = thread::scope(|scope| {
        let shops: Vec<_> = (0..SHOPS).map(|number| scope.spawn(move || kill(number))).collect();
        shops.into_iter().flat_map(|shop| shop.join().unwrap()).collect()
    });
    let mut kills: BTreeMap<Stage, usize> = BTreeMap::new();
    for stage in &stages {
        *kills.entry(*stage).or_default() += 1;
    }
    eprintln!("{} kills: {kills:?}", stages.len());
    assert_eq!(stages.len(), POINTS);
    for stage in [Stage::Row, Stage::RowAndRecord, Stage::Record, Stage::SomePages] {
        assert!(kills.contains_key(&stage), "no node was killed at {stage:?}: {kills:?}");
    }
}
