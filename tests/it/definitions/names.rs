//! Names that a definition has: of its pattern, of a query, of a file.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_have_several_parameters_and_exists_as_the_definition_says() {
    let world = World::new().await;
    let node = world.node(LISTINGS).await;
    let by_rank = ("rank", Order::Asc);
    let page = ask(&node, "shelf:BREAD:B & C", by_rank, &[]).await.unwrap();
    assert_eq!(ids(&page), [9]);
    // Known, but empty; unknown; and where nothing enumerates them, names that have no items.
    let empty = ask(&node, "category:EMPTY", by_rank, &[]).await.unwrap();
    assert_eq!((empty.meta.total, empty.count), (0, 0));
    for unknown in ["category:NONE", "shelf:BREAD:nobody", "any:NONE"] {
        let answer = ask(&node, unknown, by_rank, &[]).await;
        assert!(matches!(answer, Err(EngineError::NotFound)), "{unknown}: {answer:?}");
    }
    assert_eq!(ids(&ask(&node, "any:MILK:WHOLE", by_rank, &[]).await.unwrap()), [12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_names_is_read_again() {
    let world = World::new().await;
    let file = world.directory.path().join("names.txt");
    // Some editors begin a file with a byte order mark.
    std::fs::write(&file, "\u{feff}BREAD\n").unwrap();
    let listings = format!(
        r#"
[[listings]]
name = "filed:{{category}}"
origin = "shop"
names_file = "{}"
query = "select id from products where category = :category"
fresh_for = "1s"
stale_while_revalidate = "1s"
[listings.sorts]
rank = {{ by = ["id"] }}
"#,
        file.display()
    );
    let node = world.node(&listings).await;
    let by_rank = ("rank", Order::Asc);
    assert_eq!(ask(&node, "filed:BREAD", by_rank, &[]).await.unwrap().count, 5);
    let unknown = ask(&node, "filed:MILK:WHOLE", by_rank, &[]).await;
    assert!(matches!(unknown, Err(EngineError::NotFound)), "{unknown:?}");
    std::fs::write(&file, "MILK:WHOLE\n").unwrap();
    eventually(async || ask(&node, "filed:MILK:WHOLE", by_rank, &[]).await).await;
    let gone = ask(&node, "filed:BREAD", by_rank, &[]).await;
    assert!(matches!(gone, Err(EngineError::NotFound)), "{gone:?}");
    // A file that is away for a moment takes no name with it.
    std::fs::remove_file(&file).unwrap();
    all_the_while(Duration::from_millis(1500), async || {
        assert_eq!(ask(&node, "filed:MILK:WHOLE", by_rank, &[]).await.unwrap().count, 1);
    })
    .await;
}
