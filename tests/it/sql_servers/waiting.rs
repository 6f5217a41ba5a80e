//! A read waits for nothing but the server.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::*;
use crate::support::{MariadbDatabase, PostgresDatabase};

const CATEGORIES: usize = 100;
const SHOP: &str = "create table products (id int primary key, category int, name varchar(50), price numeric(8, 2));
    create index by_category on products (category)";

/// The reads of all categories, from both origins in turn: how long the quickest tenth took. The rest is what the machine did
/// besides.
async fn quickest_reads(origins: [&SqlOrigin; 2]) -> [Duration; 2] {
    let category = async |origin: &SqlOrigin, number: usize| {
        let query = "select id, name, price from products where category = :category";
        let category = definition("{category}", query);
        let begun = Instant::now();
        let items = collect(
            origin,
            read_of(category, &number.to_string(), &[], ReadOrder::By(by(&["price"]))),
        );
        assert_eq!(items.await.unwrap().len(), 10);
        begun.elapsed()
    };
    // Every connection that there may be is open afterwards.
    for origin in origins {
        join_all((0..CATEGORIES).map(|number| category(origin, number))).await;
    }
    let mut taken = [Vec::new(), Vec::new()];
    for number in 0..CATEGORIES {
        for (origin, taken) in origins.iter().zip(&mut taken) {
            taken.push(category(origin, number).await);
        }
    }
    taken.map(|mut taken| {
        taken.sort();
        taken.iter().take(CATEGORIES / 10).sum()
    })
}

/// Over TCP a message that has no answer holds up the next one for 40 ms (Nagle's algorithm, and the delayed confirmation).
#[tokio::test]
async fn a_read_over_tcp_takes_no_longer_than_over_a_socket() {
    let mut postgres = PostgresDatabase::create(SHOP).await;
    postgres
        .run("insert into products select n, n % 100, 'bread', n from generate_series(0, 999) n")
        .await;
    let mut mariadb = MariadbDatabase::create(SHOP).await;
    mariadb
        .run("insert into products select seq, seq % 100, 'bread', seq from seq_0_to_999")
        .await;
    for urls in [[postgres.url(), postgres.tcp_url()], [mariadb.url(), mariadb.tcp_url()]] {
        let [unix, tcp] = urls.each_ref().map(|url| open(url));
        let [by_socket, by_tcp] = quickest_reads([&unix, &tcp]).await;
        assert!(
            by_tcp <= by_socket.mul_f64(1.5),
            "{by_tcp:?} by TCP and {by_socket:?} by socket: {}",
            urls[1]
        );
    }
}
