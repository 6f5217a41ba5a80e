use super::*;
use crate::cli::moving::format::{ExportWriter, ListingBegins};

fn item(id: &str, json: &str) -> Item {
    Item {
        id: ItemId::parse(id).unwrap(),
        json: json.as_bytes().to_vec().into(),
    }
}

const ITEMS: [(&str, &str); 4] = [
    ("7", r#"{"id":7,"a":"\u2028 ☀ \" \\"}"#),
    ("ä\"\\", "{\n  \"id\":\r\n 8 }"),
    ("7", r#"{"id":1e400,"a":1,"a":2}"#),
    ("end", r#"{"end":true}"#),
];

fn write() -> String {
    let mut file = Vec::new();
    let mut writer = ExportWriter::begin(&mut file, 1, "shop", "*", "now").unwrap();
    let begins = |name| ListingBegins {
        name,
        sort: "price",
        items: ITEMS.len() as u64,
        generation: String::new(),
        as_of: String::new(),
    };
    writer.listing(&begins("a/ü ☀")).unwrap();
    for (id, json) in ITEMS {
        writer.item(&item(id, json)).unwrap();
    }
    writer.end_listing().unwrap();
    writer.listing(&begins("torn")).unwrap();
    writer.item(&item("7", "{}")).unwrap();
    writer.break_listing("torn/price", "chunk 1 is missing").unwrap();
    writer.end(1, 1).unwrap();
    String::from_utf8(file).unwrap()
}

fn read(file: &str) -> Result<Vec<Part>, BadExport> {
    let mut reader = ExportReader::begin(file.as_bytes(), 200)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next()? {
        parts.push(part);
    }
    Ok(parts)
}

#[track_caller]
fn check(file: &str, says: &str) {
    let error = read(file).unwrap_err().to_string();
    assert!(error.contains(says), "no `{says}` in: {error}");
}

#[test]
fn what_is_written_is_read() {
    let begin = |name| Part::Listing {
        name: ListingName::parse(name).unwrap(),
        sort: SortName::parse("price").unwrap(),
    };
    let mut expect = vec![begin("a/ü ☀")];
    expect.extend(ITEMS.map(|(id, json)| Part::Item(item(id, json))));
    expect.extend([Part::Whole, begin("torn"), Part::Item(item("7", "{}"))]);
    expect.push(Part::Broken {
        listing: "torn/price".to_owned(),
        reason: "chunk 1 is missing".to_owned(),
    });
    let file = write();
    assert_eq!(read(&file).unwrap(), expect);
    assert_eq!(file.lines().count(), 11);
    assert_eq!(read(&file.replace('\n', "\r\n")).unwrap(), expect);
}

#[test]
fn a_file_that_lost_anything_is_refused() {
    let file = write();
    for bytes in (0..file.len()).filter(|at| file.is_char_boundary(*at)) {
        assert!(read(&file[..bytes]).is_err(), "{bytes}");
    }
    let lines: Vec<&str> = file.lines().collect();
    // A line behind a part that is broken anyway may go.
    for lost in (0..lines.len()).filter(|line| ![7, 8, 9].contains(line)) {
        let mut lines = lines.clone();
        lines.remove(lost);
        assert!(read(&(lines.join("\n") + "\n")).is_err(), "{lost}");
    }
}

#[test]
fn a_bad_file_is_named_by_its_line() {
    let file = write();
    check("{\"id\":1}\n", "not written by `listcache export`");
    check("", "not written by");
    check(&file.replacen("export\":1", "export\":2", 1), "newer version");
    check(
        &file.replacen("\"id\":7", "\"id\":6", 1),
        "line 7: the listing's sum is another",
    );
    check(
        &file.replacen("[\"end\",", "[\"end\",3,", 1),
        "line 6: not an id and an item",
    );
    check(
        &file.replacen("{\"end\":true}]", "3]", 1),
        "line 6: an item must be a JSON object",
    );
    check(&file.replacen("[\"end\"", "[\"\"", 1), "line 6: an id must have");
    check(&file.replacen("\"price\"", "\"Price\"", 1), "line 2: the sort");
    check(
        &file.replacen("[\"7\"", &format!("[\"{}\"", "7".repeat(300)), 1),
        "line 3: an id",
    );
    check(&format!("{file}\n"), "line 12: a line behind the end");
    let large = format!("{{\"a\":\"{}\"}}]", "x".repeat(200));
    check(
        &file.replacen("{\"end\":true}]", &large, 1),
        "line 6: an item of more than 200 bytes",
    );
    let larger = format!("{{\"a\":\"{}\"}}]", "x".repeat(20_000));
    check(
        &file.replacen("{\"end\":true}]", &larger, 1),
        "line 6: an item of more than 200 bytes",
    );
}

#[test]
fn a_person_may_edit_items() {
    let file = write();
    let (before, sum) = file.split_once(",\"sum\":\"").unwrap();
    let edited = before.replacen("\"id\":7", "\"id\":6", 1) + &sum[17..];
    assert_eq!(
        read(&edited).unwrap()[1],
        Part::Item(item("7", &ITEMS[0].1.replace('7', "6")))
    );
}
