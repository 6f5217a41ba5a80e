//! What a server gives up for the sake of others is tried again, a few times, and only while nothing was handed out.

use super::*;
use crate::support::{MariadbDatabase, PostgresDatabase};

/// A function that fails as a conflict with others does, and counts its calls through a connection of its own: the
/// transaction that calls it only reads.
const POSTGRES_CONFLICTS: &str = r#"
    create extension dblink;
    create table calls (number serial);
    create function conflict(times bigint, state text) returns int language plpgsql as $$
    declare
        before bigint;
    begin
        select n into before from dblink(
            format('dbname=%s user=postgres host=%s port=%s',
                current_database(), current_setting('unix_socket_directories'), current_setting('port')),
            'insert into calls default values returning (select count(*) from calls)') as t(n bigint);
        if before < times then
            raise exception 'another was faster' using errcode = state;
        end if;
        return 1;
    end $$;"#;

#[tokio::test]
async fn a_conflict_is_tried_again_a_few_times() {
    let mut database = PostgresDatabase::create(POSTGRES_CONFLICTS).await;
    let origin = open(&database.url());
    for (query, tries, succeeds) in [
        ("select conflict(2, '40001') as id", 3, true),
        ("select conflict(2, '40P01') as id", 3, true),
        ("select conflict(9, '40001') as id", 3, false),
        ("select conflict(2, 'P0001') as id", 1, false),
        // The 5,000th row fails: what was handed out would come again.
        (
            "select case when n < 5000 then n else conflict(2, '40001') end as id from generate_series(1, 9000) n",
            1,
            false,
        ),
    ] {
        database.run("truncate calls").await;
        let outcome = collect(&origin, read(query, any_order(&[]))).await;
        assert_eq!(outcome.is_ok(), succeeds, "{query}: {outcome:?}");
        assert_eq!(database.number("select count(*) from calls").await, tries, "{query}");
    }
    database.run("truncate calls").await;
    let names = origin.names("select conflict(2, '40001')", &["id".into()]).await;
    assert_eq!(names.unwrap(), [["1"]]);
}

#[tokio::test]
async fn a_deadlock_of_mariadb_is_tried_again() {
    let database = MariadbDatabase::create(
        "create table holders (id int primary key); insert into holders values (1);
         create function conflict() returns int not deterministic reads sql data
         begin
             -- The transaction that calls it only reads, so it is the session that remembers.
             set @calls = coalesce(@calls, 0) + 1;
             if @calls < 3 then
                 signal sqlstate '40001' set mysql_errno = 1213, message_text = 'Deadlock found';
             end if;
             return @calls;
         end",
    )
    .await;
    let origin = open(&database.url());
    let items = collect(&origin, read("select conflict() as id from holders", any_order(&[])))
        .await
        .unwrap();
    assert_eq!(ids(&items), ["3"]);
}
