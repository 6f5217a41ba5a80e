mod cells;
mod fields;

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, TryStreamExt};

use super::*;
use crate::{
    listing::Taken,
    origin::{
        OriginItem, SortValue,
        testing::{TIMEOUT, any_order, by, collect, definition, ids, lines, read, variant},
    },
};

fn fixture(name: &str) -> FileOrigin {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    FileOrigin::open(&path, TIMEOUT).unwrap()
}

/// A file of this name with these bytes; the directory goes with it.
fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, FileOrigin) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    let origin = FileOrigin::open(&path, TIMEOUT).unwrap();
    (directory, origin)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

async fn all(origin: &FileOrigin, order: ReadOrder) -> Result<Vec<OriginItem>, OriginError> {
    collect(origin, read(definition("all", ""), "all", &[], order)).await
}

fn message(error: &OriginError) -> String {
    error.to_string()
}

#[tokio::test]
async fn ndjson_an_array_and_csv_of_the_same_items_are_the_same() {
    let expect = include_str!("../../../fixtures/items.ndjson");
    for name in ["items.ndjson", "items.json", "items.csv"] {
        let items = all(&fixture(name), any_order(&["rating", "brand"])).await.unwrap();
        assert_eq!(lines(&items), expect, "{name}");
        assert_eq!(items[0].id, SortValue::Integer(1));
        assert_eq!(*items[0].keys, [SortValue::Real(4.5), SortValue::Text("Hearth".into())]);
        assert_eq!(*items[1].keys, [SortValue::Integer(4), SortValue::Null]);
    }
}

#[tokio::test]
async fn a_packed_file_may_have_several_members() {
    let bytes = include_bytes!("../../../fixtures/items.ndjson");
    let (first, second) = bytes.split_at(700);
    let (_directory, origin) = file("items.JSONL.gz", &[packed(first), packed(second)].concat());
    let items = all(&origin, any_order(&[])).await.unwrap();
    assert_eq!(lines(&items).as_bytes(), bytes);

    // A tape's last block is filled with zeros.
    let (_directory, origin) = file("items.ndjson.gz", &[packed(bytes), vec![0; 100_000]].concat());
    let items = all(&origin, any_order(&[])).await.unwrap();
    assert_eq!(lines(&items).as_bytes(), bytes);

    for broken in [&packed(bytes)[..500], &[packed(bytes), b"\0x".to_vec()].concat(), b""] {
        let (_directory, origin) = file("items.ndjson.gz", broken);
        let outcome = all(&origin, any_order(&[])).await;
        assert!(matches!(outcome, Err(OriginError::Unavailable(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn half_a_character_is_refused_whether_or_not_a_sort_looks_at_it() {
    let text = r#"{"id":1,"name":"Rye","c":"a"}
{"id":2,"name":"Bread \ud83d","c":"b"}
"#;
    let (_directory, origin) = file("items.ndjson", text.as_bytes());
    let category = || definition("{c}", "");
    for order in [any_order(&[]), any_order(&["name"]), ReadOrder::By(by(&["name"]))] {
        let error = collect(&origin, read(category(), "b", &[], order.clone()))
            .await
            .unwrap_err();
        let says = "item 2: line 2: half of a character stands alone";
        assert!(message(&error).starts_with(says), "{error}");
        // The listings beside it are not concerned.
        let items = collect(&origin, read(category(), "a", &[], order)).await.unwrap();
        assert_eq!(ids(&items), ["1"]);
    }
}

#[tokio::test]
async fn items_are_sorted_nulls_last_then_by_the_id() {
    for name in ["items.ndjson", "items.csv"] {
        let sorted = all(&fixture(name), ReadOrder::By(by(&["rating desc"]))).await.unwrap();
        let expect = "30 11 1 12 41 102 22 40 2 8 31 101 32 3 9 21 100 10 20 42";
        assert_eq!(ids(&sorted).join(" "), expect, "{name}");
        assert_eq!(*sorted[0].keys, [SortValue::Real(4.9)], "{name}");
        assert_eq!(*sorted[19].keys, [SortValue::Null], "{name}");
    }
}

#[tokio::test]
async fn members_decide_what_belongs_to_a_name() {
    for name in ["items.ndjson", "items.csv"] {
        let origin = fixture(name);
        let bread = definition("{category}", "");
        let order = || ReadOrder::By(by(&["price_cents"]));
        let items = collect(&origin, read(bread.clone(), "BREAD", &[], order()))
            .await
            .unwrap();
        assert_eq!(ids(&items), ["3", "8", "1", "2", "20"]);
        let items = collect(&origin, read(bread.clone(), "bread", &[], order()))
            .await
            .unwrap();
        assert!(items.is_empty());
        let mut by_brand = bread.clone();
        by_brand.variants.push(variant("brand", &["Hearth", "Alto"]));
        let items = collect(&origin, read(by_brand, "BREAD", &[], order())).await.unwrap();
        assert_eq!(ids(&items), ["3", "8", "1"]);
        let by_currency = {
            let mut definition = definition("all", "");
            definition.variants.push(variant("currency", &["EUR"]));
            definition
        };
        let items = collect(&origin, read(by_currency, "all", &[], any_order(&[]))).await;
        let error = message(&items.unwrap_err());
        assert!(error.contains("`currency`"), "no item has a currency: {error}");
    }
}

#[tokio::test]
async fn names_are_the_values_of_members() {
    for name in ["items.ndjson", "items.json", "items.csv"] {
        let origin = fixture(name);
        let names = origin.names("category", &["c".into()]).await.unwrap();
        let expect = [
            "BREAD",
            "DESSERTS",
            "DRINKS",
            "FRUIT",
            "OILS & VINEGARS",
            "READY/FRESH",
            "SNACKS",
        ];
        assert_eq!(names.concat(), expect);
        let pairs = origin.names("brand, rating", &["b".into(), "r".into()]).await.unwrap();
        assert_eq!(pairs[..3], [["Alto", "4.5"], ["Alto", "4.75"], ["Hearth", "3.25"]]);
        let error = origin.names("brand", &["b".into(), "r".into()]).await.unwrap_err();
        assert!(message(&error).contains("for each parameter of the pattern (b, r), not `brand`"));
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_said_with_its_place() {
    for (name, bytes, expect) in [
        (
            "a.ndjson",
            "{\"id\":1}\n\n{\"id\":}\n",
            "item 2: line 3: not a JSON object: expected value",
        ),
        (
            "a.ndjson",
            "{\"id\":1}\n{\"name\":1}\n",
            "item 2: line 2: the member `id`, the item's id, is missing",
        ),
        (
            "a.json",
            "[{\"id\":1},\n7]",
            "item 2: line 2: an item must be a JSON object",
        ),
        (
            "a.json",
            "[{\"id\":1}\n",
            "item 2: line 2: the document ends without `]`",
        ),
        ("a.csv", "id,x\n1,2\n,3\n", "item 2: line 3: an id has 1 to 256 bytes"),
        (
            "a.csv",
            "id,x\n1,2\n1\n",
            "item 2: line 3: the row has 1 cells, and the header 2",
        ),
        (
            "a.csv",
            "id,x\n1,2\n1,2,,3\n",
            "item 2: line 3: the row has 4 cells, and the header 2",
        ),
        (
            "a.csv",
            "id,name\n1,\"TV 55\" Smart\"\n",
            "the origin's data is damaged: line 2: something stands behind the quote that closes a cell; a quote within a quoted cell is written twice",
        ),
        (
            "a.csv",
            "id,name\n1,\"TV\n2,Radio\n3,\"Lamp\"\n",
            "the origin's data is damaged: line 4: something stands behind the quote that closes a cell (the cell begins in line 2); a quote within a quoted cell is written twice",
        ),
        (
            "a.csv",
            "id,name\n1,TV\n2,\"Rad",
            "the origin's data is damaged: line 3: the quoted cell that begins here does not end; the file was cut, or a quote is missing",
        ),
        (
            "a.csv",
            "ID;Name\n1;TV\n",
            "the definition does not fit the origin: the file has no column `id`; its header has `ID;Name`: if the delimiter is `;`, say `delimiter = \";\"`",
        ),
        (
            "a.csv",
            "id,id\n",
            "the definition does not fit the origin: the file has two columns `id`",
        ),
        (
            "a.csv",
            "x\n",
            "the definition does not fit the origin: the file has no column `id`; its header has `x`",
        ),
        (
            "a.csv",
            "",
            "the definition does not fit the origin: the file has no column `id`; its first line names none",
        ),
    ] {
        let (_directory, origin) = file(name, bytes.as_bytes());
        let error = all(&origin, ReadOrder::By(vec![])).await.unwrap_err();
        assert_eq!(message(&error), expect, "{bytes}");
    }
    let long = format!("{{\"id\":1}}\n{{\"id\":2,\"x\":\"{}\"}}", "x".repeat(300_000));
    let (_directory, origin) = file("a.ndjson", long.as_bytes());
    let error = all(&origin, any_order(&[])).await.unwrap_err();
    assert_eq!(message(&error), "item 2: line 2: an item may have 262144 bytes");
}

#[tokio::test]
async fn what_cannot_be_compared_is_misdeclared() {
    let (_directory, origin) = file("a.ndjson", b"{\"id\":1,\"x\":[1]}\n");
    let expect = "the definition does not fit the origin: the member `x` of item 1 is an object or array, and cannot be compared";
    assert_eq!(message(&all(&origin, any_order(&["x"])).await.unwrap_err()), expect);
    assert_eq!(
        message(&all(&origin, ReadOrder::By(by(&["x"]))).await.unwrap_err()),
        expect
    );
    assert_eq!(message(&origin.names("x", &["x".into()]).await.unwrap_err()), expect);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_unavailable_and_a_strange_name_misdeclared() {
    let origin = FileOrigin::open(Path::new("/nowhere/items.json"), TIMEOUT).unwrap();
    let error = all(&origin, any_order(&[])).await.unwrap_err();
    assert!(matches!(error, OriginError::Unavailable(_)));
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the file `/nowhere/items.json` cannot be read");
    assert!(source.source().is_some());
    for name in ["items", "items.xml", "items.gz", "items.json.zip"] {
        assert!(
            matches!(
                FileOrigin::open(Path::new(name), TIMEOUT),
                Err(OriginError::Misdeclared(_))
            ),
            "{name}"
        );
    }
}

#[test]
fn a_slow_file_is_a_time_out() {
    // A pipe that nobody writes to.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slow.ndjson");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let origin = FileOrigin::open(&path, Duration::from_millis(50)).unwrap();
        assert!(matches!(all(&origin, any_order(&[])).await, Err(OriginError::TimedOut)));
        assert!(matches!(
            origin.names("x", &["x".into()]).await,
            Err(OriginError::TimedOut)
        ));
    });
    // The threads that read wait for a writer until the process ends.
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_file_that_is_written_to_while_it_is_read_is_no_listing() {
    let line = |id: usize| format!("{{\"id\":{id},\"x\":\"{}\"}}\n", "x".repeat(1000));
    let bytes: String = (0..2000).map(line).collect();
    let (directory, origin) = file("a.ndjson", bytes.as_bytes());
    let mut items = origin
        .read(read(definition("all", ""), "all", &[], any_order(&[])))
        .await
        .unwrap();
    // The reader waits far from the end, for few items are on the way at a time.
    items.next().await.unwrap().unwrap();
    let mut writer = fs::OpenOptions::new()
        .append(true)
        .open(directory.path().join("a.ndjson"))
        .unwrap();
    writer.write_all(line(2000).as_bytes()).unwrap();
    let error = items.try_concat().await.expect_err("the read ends in an error");
    assert!(matches!(error, OriginError::Shifted(_)), "{error}");

    // Replacing it is something else: an open file is whole.
    let mut items = origin
        .read(read(definition("all", ""), "all", &[], any_order(&[])))
        .await
        .unwrap();
    let first = items.next().await.unwrap().unwrap();
    fs::write(directory.path().join("next"), "").unwrap();
    fs::rename(directory.path().join("next"), directory.path().join("a.ndjson")).unwrap();
    assert_eq!(first.len() + items.try_concat().await.unwrap().len(), 2001);
}
