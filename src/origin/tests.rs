//! Origins side by side: the same catalogue in a file and in a database is the same listing.

use std::{fs, io::Read as _, path::Path, sync::Arc};

use flate2::read::GzDecoder;

use super::{
    ordering::order_by,
    sort_key::SortKeys,
    testing::{TIMEOUT, any_order, by, collect, definition, ids, keys_of, lines, read},
    *,
};
use crate::{config::Secret, listing::Field};

const CATALOGUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/catalogue.ndjson.gz");

const BY_CATEGORY: &str = "select *, list_cents - price_cents as discount from products where category = :category";
const ALL: &str = "select *, list_cents - price_cents as discount from products";

const SORTS: [&[&str]; 6] = [
    &["price_cents"],
    &["list_cents"],
    &["name"],
    &["orders desc"],
    &["first_sold desc"],
    &["discount desc"],
];

/// The catalogue with the discount that the database's query computes.
fn with_discounts(directory: &Path) -> FileOrigin {
    let mut catalogue = String::new();
    GzDecoder::new(fs::File::open(CATALOGUE).unwrap())
        .read_to_string(&mut catalogue)
        .unwrap();
    let path = directory.join("discounts.ndjson");
    let lines = catalogue.lines().map(|line| {
        let product: serde_json::Value = serde_json::from_str(line).unwrap();
        let discount = product["list_cents"].as_i64().unwrap() - product["price_cents"].as_i64().unwrap();
        format!("{},\"discount\":{discount}}}\n", line.strip_suffix('}').unwrap())
    });
    fs::write(&path, lines.collect::<String>()).unwrap();
    FileOrigin::open(&path, TIMEOUT).unwrap()
}

#[tokio::test]
async fn a_file_and_a_database_of_the_same_catalogue_yield_the_same_listings() {
    let directory = tempfile::tempdir().unwrap();
    let sample = SampleCatalogue::create(&directory.path().join("a sample's 50%.db"))
        .await
        .unwrap();
    let database = SqlOrigin::open(&sample.url(), TIMEOUT).unwrap();
    let file = with_discounts(directory.path());
    let columns: Vec<Field> = ["price_cents", "list_cents", "name", "orders", "first_sold", "discount"]
        .map(Field::from)
        .into();

    for (pattern, name, query, expect) in [
        ("all", "all", ALL, 5090),
        ("{category}", "SOFT DRINKS", BY_CATEGORY, 1296),
        ("{category}", "EASTER LILY", BY_CATEGORY, 1),
    ] {
        let of = |order| read(definition(pattern, query), name, &[], order);
        let unsorted = collect(
            &database,
            of(ReadOrder::Any {
                columns: columns.clone(),
            }),
        )
        .await
        .unwrap();
        assert_eq!(unsorted.len(), expect);
        for sort in SORTS {
            let sort = by(sort);
            let from_database = collect(&database, of(ReadOrder::By(sort.clone()))).await.unwrap();
            let from_file = collect(&file, of(ReadOrder::By(sort.clone()))).await.unwrap();
            assert_eq!(ids(&from_database), ids(&from_file), "{name} {sort:?}");
            assert!(
                lines(&from_database) == lines(&from_file),
                "{name} {sort:?}: the bytes differ"
            );
            let here = order_by(&unsorted, &columns, &sort);
            let here: Vec<&OriginItem> = here.iter().map(|at| &unsorted[*at as usize]).collect();
            let ids_here: Vec<&str> = here.iter().map(|item| item.item.id.as_str()).collect();
            assert_eq!(ids_here, ids(&from_database), "{name} {sort:?}");

            // One key an item, wherever it was sorted.
            let keys = keys_of(&from_database, &SortKeys::of_order(&sort));
            assert!(keys.is_sorted(), "{name} {sort:?}");
            assert_eq!(keys, keys_of(&from_file, &SortKeys::of_order(&sort)), "{name} {sort:?}");
            assert_eq!(
                keys,
                keys_of(here, &SortKeys::of_columns(&columns, &sort)),
                "{name} {sort:?}"
            );
        }
    }
    let categories = "select distinct category from products order by category collate binary";
    let names = database.names(categories, &["category".into()]).await.unwrap();
    assert_eq!(names.len(), 51);
    assert_eq!(names, file.names("category", &["category".into()]).await.unwrap());
}

#[tokio::test]
async fn the_sample_is_the_catalogue_and_its_prices_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sample.db");
    let sample = SampleCatalogue::create(&path).await.unwrap();
    let database = SqlOrigin::open(&sample.url(), TIMEOUT).unwrap();
    let file = FileOrigin::open(Path::new(CATALOGUE), TIMEOUT).unwrap();
    let all = |order| read(definition("all", "select * from products"), "all", &[], order);
    let products = collect(&database, all(ReadOrder::By(vec![]))).await.unwrap();
    assert_eq!(
        lines(&products),
        lines(&collect(&file, all(ReadOrder::By(vec![]))).await.unwrap())
    );

    let lily = || {
        read(
            definition("{category}", BY_CATEGORY),
            "EASTER LILY",
            &[],
            any_order(&["id", "price_cents"]),
        )
    };
    let key = |items: &[OriginItem]| items[0].keys.clone();
    let before = key(&collect(&database, lily()).await.unwrap());
    let SortValue::Integer(id) = before[0] else {
        panic!("{before:?}")
    };
    assert_eq!(
        sample.change_price(id, 12_345).await.unwrap().as_deref(),
        Some("EASTER LILY")
    );
    assert_eq!(
        key(&collect(&database, lily()).await.unwrap())[1],
        SortValue::Integer(12_345)
    );
    assert_eq!(sample.change_price(-1, 1).await.unwrap(), None);

    // Not filled twice.
    assert!(matches!(
        SampleCatalogue::create(&path).await,
        Err(OriginError::Unavailable(_))
    ));
    assert_eq!(collect(&database, lily()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn configured_origins_are_opened_by_name() {
    let config = |name: &str, kind| OriginConfig {
        changes: Default::default(),
        name: name.into(),
        timeout: TIMEOUT,
        bounds: Default::default(),
        kind,
    };
    let sql = |url: &str| OriginKind::Sql {
        max_transaction_time: None,
        strict: false,
        url: Secret::new(url.to_owned()),
    };
    let file = |path: &str| OriginKind::File {
        path: path.into(),
        watch: false,
        csv: Default::default(),
        decimal_comma: false,
    };
    let origins = Origins::open(&[config("shop", sql("sqlite:none.db")), config("export", file(CATALOGUE))]).unwrap();
    assert!(origins.get("shop").is_some());
    assert!(origins.get("other").is_none());
    let export: Arc<dyn Origin> = origins.get("export").unwrap();
    let names = export.names("category", &["category".into()]).await.unwrap();
    assert_eq!(names.len(), 51);

    let Err(error) = Origins::open(&[config("bad", file("x.doc"))]) else {
        panic!()
    };
    assert!(
        error
            .to_string()
            .starts_with("the definition does not fit the origin: origin `bad`: the name of the file")
    );
}
