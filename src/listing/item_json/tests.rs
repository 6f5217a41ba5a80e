use super::*;

#[track_caller]
fn check(json: &str, id: Result<&str, InvalidItem>) {
    let parsed = parse_item(json.as_bytes(), &Field::new("id"));
    if let Ok(item) = &parsed {
        assert_eq!(item.json, json);
    }
    assert_eq!(parsed.map(|item| item.id.as_str().to_owned()), id.map(str::to_owned));
}

fn not_json(said: &str) -> InvalidItem {
    InvalidItem::NotJson(said.to_owned())
}

#[test]
fn an_id_is_a_string_or_an_integer() {
    check(r#"{"id":7}"#, Ok("7"));
    check(r#"{ "a" : [1, {"id":2}] , "id" : -7 }"#, Ok("-7"));
    check(r#"{"id":18446744073709551615}"#, Ok("18446744073709551615"));
    check(r#"{"id":"a\"\u0062"}"#, Ok("a\"b"));
    check(r#"{"\u0069d":"x"}"#, Ok("x"));
    for bad in [
        "1.0",
        "1e3",
        "-0",
        "18446744073709551616",
        "null",
        "true",
        "[1]",
        r#"{"id":1}"#,
        r#""""#,
        &format!("\"{}\"", "x".repeat(257)),
    ] {
        check(&format!(r#"{{"id":{bad}}}"#), Err(InvalidItem::BadId("id".into())));
    }
    check(r#"{"name":"x"}"#, Err(InvalidItem::NoId("id".into())));
}

#[test]
fn of_two_ids_the_last_counts() {
    check(r#"{"id":1,"id":"b"}"#, Ok("b"));
    check(r#"{"id":1,"id":null}"#, Err(InvalidItem::BadId("id".into())));
}

#[test]
fn an_id_may_stand_at_a_json_pointer() {
    let id = |json: &str| {
        let parsed = parse_item(json.as_bytes(), &Field::new("/node/ids/1"));
        parsed.map(|item| item.id.as_str().to_owned())
    };
    assert_eq!(id(r#"{"x":[],"node":{"ids":[1,"b",{"c":2}]}}"#).as_deref(), Ok("b"));
    assert_eq!(id(r#"{"node":{"ids":{"1":7}}}"#).as_deref(), Ok("7"));
    assert_eq!(id(r#"{"node":{"ids":[1,2]},"node":{"ids":[3,4]}}"#).as_deref(), Ok("4"));
    for none in [
        r#"{"id":1}"#,
        r#"{"node":{"ids":[1]}}"#,
        r#"{"node":"x"}"#,
        r#"{"node":{"ids":[1,2]},"node":null}"#,
    ] {
        assert_eq!(id(none), Err(InvalidItem::NoId("/node/ids/1".into())), "{none}");
    }
    assert_eq!(
        id(r#"{"node":{"ids":[1,{}]}}"#),
        Err(InvalidItem::BadId("/node/ids/1".into()))
    );
}

#[test]
fn only_one_object_is_an_item() {
    for other in ["1", "[]", r#""x""#, "null", "nonsense"] {
        check(other, Err(InvalidItem::NotAnObject));
    }
    check(r#"{"id":1} {"id":2}"#, Err(not_json("trailing characters")));
    check(r#"{"id":1"#, Err(not_json("EOF while parsing an object")));
    check(r#"{"id":1,}"#, Err(not_json("trailing comma")));
    check(r#"{"id":01}"#, Err(not_json("invalid number")));
    assert_eq!(
        parse_item(b"{\"id\":\"\xff\"}", &"id".into()),
        Err(InvalidItem::NotUtf8)
    );
}

#[test]
fn half_a_character_is_refused_wherever_it_stands() {
    for whole in [r"\ud83d\ude00", r"\\ud83d", r"\\\ud83d\uDE00", r"\u00e9\ufffd"] {
        check(&format!(r#"{{"id":1,"x":"{whole}"}}"#), Ok("1"));
        check(&format!(r#"{{"id":1,"{whole}":0}}"#), Ok("1"));
        assert!(matches!(without_half_characters(whole), Cow::Borrowed(_)));
    }
    for (half, replaced) in [
        (r"a\ud83d", r"a\ufffd"),
        (r"\ude00\ud83d", r"\ufffd\ufffd"),
        (r"\uD83D\uD83d\ude00x", r"\ufffd\uD83d\ude00x"),
        (r"\\\ud83d\\ude00", r"\\\ufffd\\ude00"),
    ] {
        check(&format!(r#"{{"id":1,"x":"{half}"}}"#), Err(InvalidItem::HalfCharacter));
        check(&format!(r#"{{"id":1,"{half}":0}}"#), Err(InvalidItem::HalfCharacter));
        check(&format!(r#"{{"id":"{half}"}}"#), Err(InvalidItem::HalfCharacter));
        assert_eq!(without_half_characters(half), replaced);
    }
    for cut in [r#"{"id":1,"x":"\u"#, r#"{"id":1,"x":"\ud8"#, r#"{"id":1,"x":"\"#] {
        assert!(parse_item(cut.as_bytes(), &"id".into()).is_err());
    }
}

#[test]
fn nesting_has_a_limit() {
    let nested = |levels: usize| format!(r#"{{"id":1,"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    check(&nested(ITEM_NESTING_MAX), Ok("1"));
    check(&nested(ITEM_NESTING_MAX + 1), Err(InvalidItem::NestedTooDeep));
    check(&nested(100_000), Err(InvalidItem::NestedTooDeep));
    check(&format!(r#"{{"id":1,"a":"{}"}}"#, "[".repeat(1000)), Ok("1"));
    check(&format!(r#"{{"id":1,"a":[{}1]}}"#, "[],".repeat(1000)), Ok("1"));
    check(
        &format!(r#"{{"id":1,"a":{}"#, "[".repeat(100_000)),
        Err(not_json("EOF while parsing a list")),
    );
}
