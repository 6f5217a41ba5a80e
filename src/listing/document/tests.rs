use proptest::prelude::*;

use super::*;

/// The yield of a document: each item's id and JSON, then the error, if any.
type Outcome = (Vec<(String, String)>, Option<BadItem>);

const ITEM_BYTES_MAX: usize = 64;

fn read(format: DocumentFormat, feeds: &[&[u8]]) -> Outcome {
    let mut reader = DocumentReader::new(format, "id", ITEM_BYTES_MAX);
    let mut items = Vec::new();
    let mut failed = None;
    for feed in feeds {
        failed = reader.feed(feed, &mut items).err();
        if failed.is_some() {
            break;
        }
    }
    let failed = failed.or_else(|| reader.end(&mut items).err());
    let items = items.into_iter().map(|item| {
        let json = String::from_utf8(item.json.to_vec()).unwrap();
        (item.id.as_str().to_owned(), json)
    });
    (items.collect(), failed)
}

/// Whole, and byte by byte: both must yield these ids and this error.
#[track_caller]
fn check(format: DocumentFormat, document: &str, ids: &[&str], error: Option<(u64, &str)>) {
    let whole = read(format, &[document.as_bytes()]);
    let bytes: Vec<&[u8]> = document.as_bytes().chunks(1).collect();
    assert_eq!(whole, read(format, &bytes), "byte by byte");
    assert_eq!(whole.0.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ids);
    let said = whole.1.as_ref().map(|bad| (bad.line, bad.detail.as_str()));
    assert_eq!(said, error);
}

#[track_caller]
fn lines(document: &str, ids: &[&str], error: Option<(u64, &str)>) {
    check(DocumentFormat::NdJson, document, ids, error);
}

#[track_caller]
fn array(document: &str, ids: &[&str], error: Option<(u64, &str)>) {
    check(DocumentFormat::JsonArray, document, ids, error);
}

#[test]
fn lines_are_items_and_blank_lines_are_not() {
    lines("", &[], None);
    lines(" \r\n\n\t", &[], None);
    lines("{\"id\":1}\n{\"id\":2}\n", &["1", "2"], None);
    lines("{\"id\":1}\r\n\r\n  {\"id\":2} \t", &["1", "2"], None);
    lines("\u{feff}{\"id\":1}", &["1"], None);
    lines(
        "\u{feff}\n\u{feff}{\"id\":1}",
        &[],
        Some((2, "an item must be a JSON object")),
    );
}

#[test]
fn a_bad_line_is_named() {
    lines(
        "{\"id\":1}\n\n[]\n{\"id\":2}",
        &["1"],
        Some((3, "an item must be a JSON object")),
    );
    lines(
        "{\"id\":1}\n{\"id\":2",
        &["1"],
        Some((2, "not JSON: EOF while parsing an object")),
    );
    lines("{\"id\":1} {\"id\":2}", &[], Some((1, "not JSON: trailing characters")));
    lines(
        "{\"name\":\"x\"}",
        &[],
        Some((1, "the member `id`, the item's id, is missing")),
    );
}

#[test]
fn an_array_is_read_whatever_its_space() {
    array("[]", &[], None);
    array(" [\n] \n", &[], None);
    array("\u{feff}[{\"id\":1},{\"id\":\"]\\\"}\"}]", &["1", "]\"}"], None);
    array("[\n{\"id\":1,\n\"a\":[{}]}\n ,\r\n\t{\"id\":2}\n]", &["1", "2"], None);
}

#[test]
fn a_broken_array_says_where() {
    array("", &[], Some((1, "the document is empty, and should be a JSON array")));
    array("\n{\"id\":1}", &[], Some((2, "the document must be a JSON array")));
    array("[", &[], Some((1, "the document ends without `]`")));
    array("[{\"id\":1}\n", &["1"], Some((2, "the document ends without `]`")));
    array("[{\"id\":1},\n", &["1"], Some((2, "the document ends without `]`")));
    array(
        "[{\"id\":1},\n]",
        &["1"],
        Some((2, "an item is missing after the comma")),
    );
    array("[,", &[], Some((1, "an item must be a JSON object")));
    array(
        "[{\"id\":1}\n{\"id\":2}]",
        &["1"],
        Some((2, "`,` or `]` must follow an item")),
    );
    array("[]\n]", &[], Some((2, "nothing may follow the array")));
    array("[{\"id\":1},\n7]", &["1"], Some((2, "an item must be a JSON object")));
    array(
        "[\n{\"id\":1,\n\"a\":",
        &[],
        Some((2, "the document ends inside an item")),
    );
    array("[\n{\"id\":1,\n\"a\":]}", &[], Some((2, "not JSON: expected value")));
    array(
        "\u{feff}",
        &[],
        Some((1, "the document is empty, and should be a JSON array")),
    );
}

#[test]
fn half_a_byte_order_mark_is_no_text() {
    for format in [DocumentFormat::NdJson, DocumentFormat::JsonArray] {
        for document in [&b"\xEF\xBB"[..], b"\xEF[]", b"\xEF\xBB{\"id\":1}"] {
            let (items, error) = read(format, &[document]);
            assert_eq!((items.len(), error.unwrap().detail.as_str()), (0, "not UTF-8"));
        }
    }
}

#[test]
fn an_item_has_a_limit_and_the_space_around_it_has_none() {
    let fits = format!("{{\"id\":\"{}\"}}", "x".repeat(ITEM_BYTES_MAX - 9));
    assert_eq!(fits.len(), ITEM_BYTES_MAX);
    let space = " ".repeat(3 * ITEM_BYTES_MAX);
    lines(
        &format!("{space}{fits}{space}\n{{\"id\":1}}"),
        &["x".repeat(ITEM_BYTES_MAX - 9).as_str(), "1"],
        None,
    );
    array(
        &format!("[{space}{fits}{space}]"),
        &["x".repeat(ITEM_BYTES_MAX - 9).as_str()],
        None,
    );

    let over = fits.replacen('x', "xx", 1);
    lines(&format!("\n{over}"), &[], Some((2, "an item may have 64 bytes")));
    array(&format!("[\n\n{over}]"), &[], Some((3, "an item may have 64 bytes")));
    lines(
        &format!("{{\"id\":1{space}}}"),
        &[],
        Some((1, "an item may have 64 bytes")),
    );
    array(
        &format!("[{{\"id\":1{space}}}]"),
        &[],
        Some((1, "an item may have 64 bytes")),
    );
    assert!(read(DocumentFormat::NdJson, &[over.as_bytes()]).1.unwrap().too_large);
}

#[test]
fn after_a_bad_item_nothing_is_read() {
    let mut reader = DocumentReader::new(DocumentFormat::NdJson, "id", ITEM_BYTES_MAX);
    let mut items = Vec::new();
    let bad = reader.feed(b"{\"id\":1}\n7\n{\"id\":2}\n", &mut items).unwrap_err();
    assert_eq!(reader.feed(b"{\"id\":3}\n", &mut items), Err(bad.clone()));
    assert_eq!(reader.end(&mut items), Err(bad));
    assert_eq!(items.len(), 1);
}

#[test]
fn a_long_item_fed_byte_by_byte_is_scanned_once() {
    let long = 256 * 1024;
    let item = format!("{{\"id\":1,\"a\":\"{}\"}}", "\\n".repeat(long / 2 - 16));
    for (format, document) in [
        (DocumentFormat::NdJson, format!("{item}\n")),
        (DocumentFormat::JsonArray, format!("[{item}]")),
    ] {
        let mut reader = DocumentReader::new(format, "id", long);
        let mut items = Vec::new();
        let started = std::time::Instant::now();
        for byte in document.as_bytes().chunks(1) {
            reader.feed(byte, &mut items).unwrap();
        }
        reader.end(&mut items).unwrap();
        assert_eq!(items[0].json, item);
        // A scan from the start for every byte would look at 34 thousand million of them.
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }
}

/// Items as a document may spell them: strings with brackets, quotes and escapes, nested values, space inside.
fn any_item() -> impl Strategy<Value = String> {
    let text = prop::sample::select(vec![
        "", "a", "é", "]", "}", "{[", r"\\", r#"\""#, r#"\\\""#, r"\u00e9", "寿", ",",
    ]);
    let value = prop_oneof![
        prop::collection::vec(text, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat())),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("[1, [ ],{\"b\":\"]\"}]".to_owned()),
        Just("{ \"id\" :1}".to_owned()),
        Just("null".to_owned()),
    ];
    let space = prop::sample::select(vec!["", " ", "\t ", "\r"]);
    (0..50u32, value, space)
        .prop_map(|(id, value, space)| format!("{{{space}\"id\":{space}{id}{space},\"a\"{space}:{value}{space}}}"))
}

/// Mostly sound documents, and some that any byte may break.
fn any_document() -> impl Strategy<Value = (DocumentFormat, Vec<u8>)> {
    let space = prop::sample::select(vec!["", " ", "\n", "\r\n\n", "\t"]);
    let sound = (
        prop::collection::vec((any_item(), space), 0..6),
        any::<bool>(),
        any::<bool>(),
    );
    let damage = prop::option::of((
        any::<prop::sample::Index>(),
        prop::sample::select(b"{}[]\",\\\n x\xEF".to_vec()),
    ));
    (sound, damage).prop_map(|((items, array, mark), damage)| {
        let format = if array {
            DocumentFormat::JsonArray
        } else {
            DocumentFormat::NdJson
        };
        let mut document = if mark { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
        document.extend_from_slice(if array { b"[" } else { b"" });
        for (at, (item, space)) in items.iter().enumerate() {
            let before = if at == 0 {
                ""
            } else if array {
                ","
            } else {
                "\n"
            };
            document.extend_from_slice(format!("{before}{space}{item}{space}").as_bytes());
        }
        document.extend_from_slice(if array { b"]" } else { b"" });
        if let (Some((at, byte)), false) = (damage, document.is_empty()) {
            let at = at.index(document.len());
            document[at] = byte;
        }
        (format, document)
    })
}

proptest! {
    #[test]
    fn any_split_of_a_document_yields_the_same(
        (format, document) in any_document(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(document.len() + 1)).collect();
        cuts.sort_unstable();
        let mut feeds = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([document.len()]) {
            feeds.push(&document[from..cut]);
            from = cut;
        }
        let whole = read(format, &[&document]);
        prop_assert_eq!(&whole, &read(format, &feeds));
        let bytes: Vec<&[u8]> = document.chunks(1).collect();
        prop_assert_eq!(&whole, &read(format, &bytes));
    }

    #[test]
    fn lines_and_an_array_of_the_same_items_yield_the_same(items in prop::collection::vec(any_item(), 0..8)) {
        let expect: Vec<&str> = items.iter().map(String::as_str).filter(|item| item.len() <= ITEM_BYTES_MAX).collect();
        let lines = read(DocumentFormat::NdJson, &[expect.join("\n").as_bytes()]);
        let array = read(DocumentFormat::JsonArray, &[format!("[{}]", expect.join(",\n")).as_bytes()]);
        prop_assert_eq!(&lines, &array);
        prop_assert_eq!(lines.1, None);
        prop_assert_eq!(lines.0.iter().map(|(_, json)| json.as_str()).collect::<Vec<_>>(), expect);
    }
}
