use super::*;
use crate::{
    http::pages::sample::{meta, selection},
    listing::Policy,
};

const LIMIT: NonZeroU32 = NonZeroU32::new(24).unwrap();

fn envelope(selection: &Selection, meta: &PageMeta) -> Envelope {
    Envelope::write(selection, meta, LIMIT, &Dialects::new(&[]))
}

fn prefix(key: &str, meta: &PageMeta) -> String {
    String::from_utf8(envelope(&selection(key), meta).prefix.to_vec()).unwrap()
}

#[test]
fn fields_stand_in_the_contracts_order() {
    let meta = meta(1434, 24, 2);
    let links = PageLinks::of(&selection("a%22b/price"), &meta);
    assert_eq!(
        prefix("a%22b/price", &meta),
        format!(
            concat!(
                r#"{{"listing":"a\"b","sort":"price","order":"asc","generation":"1795291200123456-9f1c02ab","#,
                r#""total":1434,"offset":24,"limit":2,"count":2,"page":13,"pages":717,"#,
                r#""links":{{"self":"{}","first":"{}","prev":"{}","next":"{}","last":"{}"}},"items":["#
            ),
            links.this,
            links.first,
            links.prev.unwrap(),
            links.next.unwrap(),
            links.last.unwrap(),
        )
    );
}

#[test]
fn what_is_absent_is_null() {
    let document = |meta: &PageMeta| -> serde_json::Value {
        serde_json::from_str(&format!("{}]}}", prefix("a/price", meta))).unwrap()
    };
    let empty = document(&meta(0, 0, 24));
    assert_eq!(
        (&empty["pages"], &empty["page"], &empty["count"]),
        (&0.into(), &1.into(), &0.into())
    );
    for absent in ["prev", "next", "last"] {
        assert_eq!(empty["links"][absent], serde_json::Value::Null);
    }
    let between = document(&meta(100, 7, 24));
    assert_eq!(
        (&between["page"], &between["pages"]),
        (&serde_json::Value::Null, &5.into())
    );
}

#[test]
fn the_largest_offset_is_a_page_past_the_end() {
    let text = prefix("a/price", &meta(3, u64::MAX, 1));
    assert!(
        text.contains(r#""count":0,"page":18446744073709551616,"pages":3,"#),
        "{text}"
    );
}

#[test]
fn the_date_is_sent_once_its_second_is_over() {
    let envelope = envelope(&selection("a/price"), &meta(30, 0, 24));
    let at = |millis: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    assert_eq!(envelope.last_modified_by(|| at(1_795_291_200_999)), None);
    let (second, text) = envelope.last_modified_by(|| at(1_795_291_201_000)).unwrap();
    assert_eq!(
        (*second, text.to_str().unwrap()),
        (at(1_795_291_200_000), "Sat, 21 Nov 2026 20:00:00 GMT")
    );
}

#[test]
fn the_tag_names_generation_and_window() {
    let mut selection = selection("a/price?currency=EUR");
    let expect = r#"W/"1.1795291200123456-9f1c02ab.price.asc.24.24""#;
    assert_eq!(envelope(&selection, &meta(1434, 24, 24)).etag_text(), expect);
    selection.links = Links::Plain;
    assert_ne!(envelope(&selection, &meta(1434, 24, 24)).etag_text(), expect);
}

#[test]
fn a_page_is_tagged_by_its_listing_and_as_configured() {
    let mut selection = selection("a%20b%2Cc/price?currency=EUR");
    assert_eq!(
        envelope(&selection, &meta(30, 0, 24)).tags.iter().next().unwrap().1,
        "a%20b%2Cc"
    );
    selection.policy = Arc::new(Policy {
        surrogate_keys: "shop bread".into(),
        ..Policy::default()
    });
    assert_eq!(
        envelope(&selection, &meta(30, 0, 24)).tags.iter().next().unwrap().1,
        "a%20b%2Cc shop bread"
    );
}

#[test]
fn links_stand_in_the_header_too() {
    let mut selection = selection("a/price");
    selection.links = Links::Plain;
    assert_eq!(
        envelope(&selection, &meta(30, 0, 24)).link.unwrap(),
        "</v1/listings/a?sort=price&offset=0&limit=24>; rel=\"first\", \
         </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"next\", \
         </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"last\""
    );
}

#[test]
fn the_links_of_a_long_name_are_next_alone() {
    let selection = selection(&format!("{}/price", "%20".repeat(256)));
    let link = |offset: u64| envelope(&selection, &meta(100, offset, 24)).link;
    let next = link(24).unwrap();
    let next = next.to_str().unwrap();
    assert!(next.len() < LINK_BYTES_MAX, "{}", next.len());
    assert_eq!(next.matches("rel=").count(), 1);
    assert!(next.ends_with("rel=\"next\""), "{next}");
    assert_eq!(link(96), None, "the last page");
}

#[test]
fn whatever_an_answer_shows_of_a_page_tells_its_envelope_apart() {
    let envelopes = Envelopes::new(LIMIT, Dialects::new(&[]));
    let (selection, meta) = (selection("a/price?currency=EUR"), meta(100, 24, 24));
    let first = envelopes.of(&selection, &meta);
    assert!(Arc::ptr_eq(&first, &envelopes.of(&selection.clone(), &meta.clone())));

    let choices: [fn(&mut Selection); 5] = [
        |selection| {
            selection.policy = Arc::new(Policy {
                surrogate_keys: "shop".into(),
                ..Policy::default()
            })
        },
        |selection| selection.canonical_choices = vec![("currency".into(), "EUR".into())],
        |selection| selection.sort_is_default = false,
        |selection| selection.links = Links::Plain,
        |selection| selection.key = ListingKey::parse("b/price?currency=EUR").unwrap(),
    ];
    for choose in choices {
        let mut other = selection.clone();
        choose(&mut other);
        assert!(!Arc::ptr_eq(&first, &envelopes.of(&other, &meta)), "{other:?}");
    }
    let changes: [fn(&mut PageMeta); 7] = [
        |meta| meta.generation.nonce += 1,
        |meta| meta.total += 1,
        |meta| meta.chunk_len = NonZeroU32::MIN,
        |meta| meta.offset += 1,
        |meta| meta.limit = NonZeroU32::MIN,
        |meta| meta.order = Order::Desc,
        |meta| meta.pinned = true,
    ];
    for change in changes {
        let mut other = meta.clone();
        change(&mut other);
        assert!(!Arc::ptr_eq(&first, &envelopes.of(&selection, &other)), "{other:?}");
    }
}
