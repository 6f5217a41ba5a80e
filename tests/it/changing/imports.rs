//! Long imports: changes that come faster than they can be worked off are kept in bounded pieces, and the first of them do not wait for the last.

use std::{fmt::Write as _, fs, process::Command};

use super::{ChangingShop, check_all, outbox::TRIGGERS, progress::Progress, shown};
use crate::support::{RedisServer, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];
/// Changes of items that no listing holds.
const MANY: i64 = 60_000;
/// The greatest pieces: what a request may have, and what is read from an outbox at once.
const PIECE_OF_COMMANDS: usize = 10_000;
const PIECE_OF_OUTBOXES: usize = 1000;

/// Two products of the same listings: the first one that is reported, and the last.
const FIRST: i64 = 6;
const LAST: i64 = 12;

impl ChangingShop {
    /// Exchanges the prices of the first and the last product of an import.
    async fn import(&mut self) {
        for id in [FIRST, LAST] {
            self.products.get_mut(&id).unwrap().offers = vec![Some(1)];
        }
        assert_eq!(self.products[&FIRST].categories, self.products[&LAST].categories);
        self.write(&[FIRST, LAST]).await;
    }

    /// Waits until the first product of the import is on its page with the new price. Returns whether the last one is not.
    async fn first_comes_alone(&self, node: &Service) -> bool {
        let category = self.products[&FIRST].categories.first().unwrap();
        eventually(async || {
            let rows = shown(node, category, 0, "price", false).await;
            let has = |id: i64| rows.contains(&(id, Some(1)));
            match has(FIRST) {
                true => Ok(!has(LAST)),
                false => Err("the first change is not on its page"),
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_wait_do_not_hold_up_the_first_ones() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "");
    let mut service = Service::start(&config);
    check_all(&service, &shop, &CATEGORIES).await;
    service.kill();
    shop.import().await;
    let mut changes = format!("{{\"id\":{FIRST}}}\n");
    for id in 0..MANY {
        writeln!(changes, "{{\"id\":{}}}", 1_000_000 + id).unwrap();
    }
    writeln!(changes, "{{\"id\":{LAST}}}").unwrap();
    let file = shop.directory.path().join("changes.ndjson");
    fs::write(&file, changes).unwrap();
    let recorded = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["changes", "--file"])
        .arg(&file)
        .env("LISTCACHE_CONFIG", service.file("listcache.toml"))
        .output()
        .unwrap();
    assert!(recorded.status.success(), "{recorded:?}");
    let entries = Progress::of(&redis).entries();
    assert_eq!(entries.iter().sum::<usize>() as i64, MANY + 2);
    assert!(entries.iter().all(|length| *length <= PIECE_OF_COMMANDS), "{entries:?}");
    let service = Service::start(&config);
    assert!(
        shop.first_comes_alone(&service).await,
        "the first change waited until the last one was read"
    );
    Progress::of(&redis).are_worked_off().await;
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_filled_by_an_import_is_recorded_in_pieces_and_its_first_rows_do_not_wait() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_outbox(&redis));
    Progress::of(&redis).are_worked_off().await;
    check_all(&service, &shop, &CATEGORIES).await;
    // The triggers' own rows of the last product would be the first ones.
    sqlx::raw_sql("drop trigger products_added; drop trigger products_removed; drop trigger offers_changed; drop trigger categories_removed")
        .execute(&mut shop.database)
        .await
        .unwrap();
    shop.import().await;
    let import = format!(
        "begin;
         insert into listcache_outbox (product_id) values ({FIRST});
         with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {MANY})
         insert into listcache_outbox (product_id) select 1000000 + n from numbers;
         insert into listcache_outbox (product_id) values ({LAST});
         commit"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(import))
        .execute(&mut shop.database)
        .await
        .unwrap();
    assert!(
        shop.first_comes_alone(&service).await,
        "the first row waited until the last one was read"
    );
    assert!(shop.waiting_rows().await > 0, "the first change waited for the outbox");
    shop.empty_outbox().await;
    Progress::of(&redis).are_worked_off().await;
    check_all(&service, &shop, &CATEGORIES).await;
    let entries = Progress::of(&redis).entries();
    assert!(entries.iter().all(|length| *length <= PIECE_OF_OUTBOXES), "{entries:?}");
}
