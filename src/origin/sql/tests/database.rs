//! A database that is absent, of another encoding, misnamed, or replaced.

use super::*;

#[tokio::test]
async fn a_database_that_is_not_there_is_unavailable_and_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.db");
    let origin = SqlOrigin::open(&format!("sqlite:{}", path.display()), TIMEOUT).unwrap();
    let error = collect(
        &origin,
        read(definition("all", "select 1 as id"), "all", &[], any_order(&[])),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(
        source.to_string(),
        format!("the database `{}` cannot be opened", path.display())
    );
    assert!(!path.exists());

    std::fs::write(&path, "this is no database, whatever its name says").unwrap();
    let error = collect(
        &origin,
        read(definition("all", "select * from t"), "all", &[], any_order(&[])),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_database_whose_texts_have_other_bytes_is_refused() {
    let shop = TestDatabase::create("pragma encoding = 'UTF-16le'; create table t (id)").await;
    let error = collect(
        &shop.origin(),
        read(definition("all", "select * from t"), "all", &[], any_order(&[])),
    )
    .await
    .unwrap_err();
    assert!(message(error).ends_with("the database is encoded in UTF-16le, and only UTF-8 is sorted by its bytes"));
}

#[tokio::test]
async fn a_url_is_checked_when_it_is_opened() {
    for (url, expect) in [
        (
            "oracle://shop:secret@db/shop",
            "`oracle:` is no database that is supported: use `sqlite:FILE`, `postgres:` or `mysql:`",
        ),
        ("sqlite::memory:", "the URL of a SQLite database must name a file"),
        ("sqlite:", "the URL of a SQLite database must name a file"),
    ] {
        let error = SqlOrigin::open(url, TIMEOUT).err().unwrap();
        assert_eq!(
            message(error),
            format!("the definition does not fit the origin: {expect}")
        );
    }
    assert!(SqlOrigin::open("sqlite:x.db?mode=nonsense", TIMEOUT).is_err());
}

#[tokio::test]
async fn another_writer_may_change_the_database_and_even_replace_it() {
    for mode in ["pragma journal_mode = wal", "pragma journal_mode = delete"] {
        let mut shop = TestDatabase::create(SHOP).await;
        shop.run(mode).await;
        let origin = shop.origin();
        let order = || ReadOrder::By(by(&[]));
        let bread = || {
            read(
                definition("{category}", "select * from products where category = :category"),
                "CAKE/PIE",
                &[],
                order(),
            )
        };
        assert_eq!(ids(&collect(&origin, bread()).await.unwrap()), ["1"]);

        shop.run("insert into products values (3, 'Tart', 'CAKE/PIE', null, 5, null)")
            .await;
        assert_eq!(ids(&collect(&origin, bread()).await.unwrap()), ["1", "3"]);

        shop.run("alter table products add column stock integer").await;
        let items = collect(&origin, bread()).await.unwrap();
        assert!(lines(&items).ends_with("\"details\":null,\"stock\":null}\n"));

        // In WAL mode the log beside the file would be taken for the new one's.
        if mode.ends_with("wal") {
            continue;
        }
        let directory = shop.close().await;
        let mut other = TestDatabase::connect(&directory, "other.db").await;
        sqlx::raw_sql("create table products (id, category); insert into products values (77, 'CAKE/PIE')")
            .execute(&mut other)
            .await
            .unwrap();
        sqlx::Connection::close(other).await.unwrap();
        std::fs::rename(directory.path().join("other.db"), directory.path().join("shop.db")).unwrap();
        assert_eq!(ids(&collect(&origin, bread()).await.unwrap()), ["77"]);
    }
}
