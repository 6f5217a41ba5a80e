use super::*;

fn sizes() -> Sizes {
    Sizes {
        default: NonZeroU32::new(24).unwrap(),
        max: NonZeroU32::new(250).unwrap(),
    }
}

fn declared() -> DeclaredParameters {
    DeclaredParameters {
        names: vec!["currency".into(), "brand".into()],
        filters: vec!["colour".into(), "size".into()],
    }
}

#[track_caller]
fn place(raw: &str, expect: (u64, u32)) {
    let declared = declared();
    let query = PageQuery::read(raw, &declared, sizes());
    assert_eq!(query.errors, [], "{raw}");
    let expect = Place::Offset {
        offset: expect.0,
        limit: NonZeroU32::new(expect.1).unwrap(),
        pinned: None,
    };
    assert_eq!(query.place, expect, "{raw}");
}

#[track_caller]
fn bad(raw: &str, expect: &[&str]) {
    let declared = declared();
    let query = PageQuery::read(raw, &declared, sizes());
    let named: Vec<&str> = query.errors.iter().map(|error| &*error.parameter).collect();
    assert_eq!(named, expect, "{raw}: {:?}", query.errors);
}

#[test]
fn a_place_is_told_by_page_or_by_offset() {
    place("", (0, 24));
    place("page=2", (24, 24));
    place("page=3&size=10", (20, 10));
    place("size=10", (0, 10));
    place("offset=7", (7, 24));
    place("limit=250", (0, 250));
    place("offset=0&limit=1", (0, 1));
    place("p%61ge=2", (24, 24));
}

#[test]
fn what_is_unknown_is_ignored_however_it_is_spelled() {
    place("utm_source=x&fbclid=%zz&%ff=1&&=&page=2&Page=9", (24, 24));
}

#[test]
fn numbers_have_one_spelling() {
    for number in [
        "01", "+1", "%2B1", "-1", "1.0", "1e3", " 1", "", "0x1", "१", "%zz", "%ff",
    ] {
        bad(&format!("page={number}"), &["page"]);
        bad(&format!("limit={number}"), &["limit"]);
    }
    bad("page", &["page"]);
    bad("page=0", &["page"]);
    bad("size=0", &["size"]);
}

#[test]
fn too_large_is_refused_never_clamped() {
    bad("size=251", &["size"]);
    bad("limit=251", &["limit"]);
    bad(&format!("page={}", "9".repeat(40)), &["page"]);
    bad(&format!("offset={}", "9".repeat(40)), &["offset"]);
    bad(&format!("page={}&size=2", u64::MAX), &["page"]);
    bad(&format!("page={PLACE_MAX}&size=2"), &["page"]);
    place(&format!("offset={PLACE_MAX}"), (PLACE_MAX, 24));
    bad(&format!("offset={}", PLACE_MAX + 1), &["offset"]);
}

#[test]
fn every_error_is_told_at_once() {
    bad(
        "page=01&size=0&order=up&generation=x&sort=&currency=",
        &["sort", "currency", "order", "page", "size", "generation"],
    );
}

#[test]
fn a_known_parameter_stands_once() {
    bad("page=1&page=2&page=3", &["page"]);
    bad("brand=A&brand=A", &["brand"]);
    bad("sort=a&s%6Frt=b", &["sort"]);
}

#[test]
fn one_way_to_say_the_place() {
    bad("page=1&limit=10", &["page"]);
    bad("offset=0&size=10", &["size"]);
    bad("cursor=x&page=1&order=desc", &["page", "order"]);
    bad("cursor=", &["cursor"]);
}

#[test]
fn what_is_asked_is_decoded_once() {
    let declared = declared();
    let query = PageQuery::read("sort=price&order=desc&brand=A+B%2BC%2526&x=y", &declared, sizes());
    let asked = query.asked();
    assert_eq!(asked.sort, Some("price"));
    assert_eq!(asked.order, Order::Desc);
    assert_eq!(asked.choices, [("brand", "A B+C%26")]);
}

#[test]
fn filters_may_repeat_and_nothing_else_may() {
    let declared = declared();
    let raw = "f.colour=red&f.size=S%26M&f.colour=b+l&f.unknown=1&facets=colour,size&size=10&f%2ecolour=z";
    let query = PageQuery::read(raw, &declared, sizes());
    assert_eq!(query.errors, []);
    let asked = query.asked();
    let filters = [
        ("colour", "red"),
        ("size", "S&M"),
        ("colour", "b l"),
        ("unknown", "1"),
        ("colour", "z"),
    ];
    assert_eq!(
        (&asked.filters[..], &asked.facets[..]),
        (&filters[..], &["colour", "size"][..])
    );
    bad("f.colour=", &["f.colour"]);
    bad("f.colour=%zz", &["f.colour"]);
    bad("facets=colour&facets=size", &["facets"]);
    bad("facets=colour,", &["facets"]);
    // Without its prefix it would be ignored, and everything be shown; what is another parameter stays that.
    bad("colour=red&size=10", &["colour"]);
}

#[test]
fn a_cursor_brings_its_order() {
    let key = crate::listing::ListingKey::parse("a/price.desc").unwrap();
    let cursor = Cursor {
        generation: "5-00000001".parse().unwrap(),
        offset: 0,
        limit: sizes().default,
        order: Order::Desc,
        total: 9,
        chunk_len: sizes().default,
        filters: 0,
    };
    let raw = format!("sort=price&cursor={}", cursor.encode(&key));
    let query = PageQuery::read(&raw, &DeclaredParameters::default(), sizes());
    assert_eq!(query.errors, []);
    assert_eq!(query.asked().order, Order::Desc);
    assert!(matches!(&query.place, Place::Cursor(text) if *text == cursor.encode(&key)));
}
