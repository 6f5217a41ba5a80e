//! A read ends at the server too: when it takes too long, when nobody waits for it, when it holds its transaction too long.

use futures_util::StreamExt;
use listcache::origin::SqlLimits;

use super::*;
use reqwest::Method;

use crate::support::{MariadbDatabase, PostgresDatabase, RedisServer, eventually, service::Service};

/// Rows that take minutes to sort.
const POSTGRES_SLOW: &str = "select a * 1000 + b as id from generate_series(1, 1000000) a, generate_series(1, 1000) b";
const MARIADB_SLOW: &str = "select a.seq * 1000 + b.seq as id from seq_1_to_1000000 a, seq_1_to_1000 b";

/// Statements and transactions of listcache in the test's database.
const POSTGRES_BUSY: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'listcache' and (state <> 'idle' or xact_start is not null)";
/// The same, but for transactions that have failed: those hold neither a snapshot nor a lock, only their connection. One that
/// the server ended before the sockets were full stays so until this process takes its answer: on a busy machine.
const POSTGRES_HOLDS: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'listcache'
        and (backend_xmin is not null or state in ('active', 'idle in transaction'))";
const MARIADB_BUSY: &str = "select count(*) from information_schema.processlist
    where db = database() and id <> connection_id() and command <> 'Sleep'";

async fn is_idle(count: i64) -> Result<(), i64> {
    if count == 0 { Ok(()) } else { Err(count) }
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_ended() {
    let mut postgres = PostgresDatabase::create("select 1").await;
    let mut mariadb = MariadbDatabase::create("select 1").await;
    for (url, slow) in [(postgres.url(), POSTGRES_SLOW), (mariadb.url(), MARIADB_SLOW)] {
        let origin = SqlOrigin::open(&url, Duration::from_millis(500)).unwrap();
        // More than there are connections, one after the other.
        for _ in 0..10 {
            let error = collect(&origin, read(slow, ReadOrder::By(by(&["id desc"]))))
                .await
                .unwrap_err();
            assert!(matches!(error, OriginError::TimedOut), "{error:?}");
        }
        let error = origin
            .names(&format!("select max(id) from ({slow}) as x"), &["id".into()])
            .await
            .unwrap_err();
        assert!(matches!(error, OriginError::TimedOut), "{error:?}");
        let origin = open(&url);
        assert_eq!(origin.names("select 1", &["id".into()]).await.unwrap(), [["1"]]);
    }
    eventually(async || is_idle(postgres.number(POSTGRES_BUSY).await).await).await;
    eventually(async || is_idle(mariadb.number(MARIADB_BUSY).await).await).await;
}

#[tokio::test]
async fn a_dropped_stream_ends_its_statement_at_the_server() {
    let mut postgres = PostgresDatabase::create("select 1").await;
    let mut mariadb = MariadbDatabase::create("select 1").await;
    for (url, slow) in [(postgres.url(), POSTGRES_SLOW), (mariadb.url(), MARIADB_SLOW)] {
        let origin = open(&url);
        for _ in 0..10 {
            let mut items = origin.read(read(slow, any_order(&[]))).await.unwrap();
            assert!(items.next().await.unwrap().is_ok());
            drop(items);
            // This one yields nothing before it is dropped.
            let mut sorted = origin.read(read(slow, ReadOrder::By(by(&["id desc"])))).await.unwrap();
            assert!(
                tokio::time::timeout(Duration::from_millis(20), sorted.next())
                    .await
                    .is_err()
            );
        }
        assert_eq!(origin.names("select 1", &["id".into()]).await.unwrap(), [["1"]]);
    }
    eventually(async || is_idle(postgres.number(POSTGRES_BUSY).await).await).await;
    eventually(async || is_idle(mariadb.number(MARIADB_BUSY).await).await).await;
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_a_transaction_beyond_its_time() {
    let mut database = PostgresDatabase::create("select 1").await;
    let mut limits = SqlLimits::new(TIMEOUT);
    limits.max_transaction_time = Duration::from_secs(1);
    let origin = SqlOrigin::open_with(&database.url(), limits).unwrap();
    let mut items = origin.read(read(POSTGRES_SLOW, any_order(&[]))).await.unwrap();
    assert!(items.next().await.unwrap().is_ok());
    assert_eq!(database.number(POSTGRES_BUSY).await, 1);
    // Nothing more is taken meanwhile.
    eventually(async || is_idle(database.number(POSTGRES_BUSY).await).await).await;
    let error = loop {
        match items.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let OriginError::Unavailable(why) = error else {
        panic!("{error:?}")
    };
    assert!(why.to_string().contains("max_transaction_time"), "{why}");
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn a_read_sees_one_state_of_the_database() {
    let rows = "create table t (id int); insert into t select * from generate_series(1, 20000)";
    let mut postgres = PostgresDatabase::create(rows).await;
    let mut mariadb = MariadbDatabase::create(
        "create table t (id int) engine = innodb; insert into t select seq from seq_1_to_20000",
    )
    .await;
    let mut reads = Vec::new();
    for url in [postgres.url(), mariadb.url()] {
        let mut items = open(&url).read(read("select * from t", any_order(&[]))).await.unwrap();
        let first = items.next().await.unwrap().unwrap();
        reads.push((first.len(), items));
    }
    postgres.run("delete from t where id > 1").await;
    mariadb.run("delete from t where id > 1").await;
    for (first, items) in reads {
        assert!(first < 20_000);
        assert_eq!(first + items.try_concat().await.unwrap().len(), 20_000);
    }
}

/// A service that is asked for the one listing of a database, and reads it from there.
async fn reading(redis: &RedisServer, database: &mut PostgresDatabase, query: &str, longest: &str) -> Service {
    const READING: &str = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'listcache' and query like '%as items%order by%' and state = 'active'";
    let service = Service::start(&format!(
        r#"
[redis]
url = "{}"
[origins.shop]
kind = "sql"
url = "{}"
timeout = "1m"
max_transaction_time = "{longest}"
[[listings]]
name = "all"
origin = "shop"
query = "{query}"
sorts = {{ id = {{ by = ["id desc"] }} }}
"#,
        redis.url(),
        database.tcp_url()
    ));
    tokio::spawn(service.request(Method::GET, "/v1/listings/all").send());
    eventually(async || match database.number(READING).await {
        0 => Err(0),
        _ => Ok(()),
    })
    .await;
    service
}

/// A process that is stopped takes nothing any more, and nothing in it ends what it began.
#[tokio::test]
async fn a_process_that_stands_still_does_not_hold_a_transaction_beyond_its_time() {
    // Far more than sockets hold.
    let mut database = PostgresDatabase::create(
        "create table t (id int primary key, text text);
         insert into t select n, rpad('', 2000, 'brown bread ') from generate_series(1, 100000) n",
    )
    .await;
    let redis = RedisServer::start();
    let service = reading(&redis, &mut database, "select id, text from t", "2s").await;
    service.stop();
    assert_ne!(
        database.number(POSTGRES_BUSY).await,
        0,
        "it had read all before it was stopped"
    );
    eventually(async || is_idle(database.number(POSTGRES_HOLDS).await).await).await;
    service.cont();
}

#[tokio::test]
async fn a_killed_process_leaves_no_statement_behind() {
    let mut database = PostgresDatabase::create("select 1").await;
    let redis = RedisServer::start();
    let mut service = reading(&redis, &mut database, POSTGRES_SLOW, "10m").await;
    service.kill();
    eventually(async || is_idle(database.number(POSTGRES_BUSY).await).await).await;
}
