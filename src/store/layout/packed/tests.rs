//! Chunks, packed and unpacked again.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    body::ITEMS_MAX,
    frame::{PLAIN_BYTES_MAX, dictionary_of, unpack_bytes},
    seal::SEAL_BYTES,
    *,
};
use crate::{
    listing::{Chunk, Item, ItemId},
    store::dictionaries::{
        Dictionary, DictionaryHash,
        testing::{noise, products, trained},
    },
};

fn item(id: &str, json: &str) -> Item {
    Item {
        id: ItemId::parse(id).unwrap(),
        json: json.to_owned().into(),
    }
}

/// Packs items, and sees that the same come out of it.
#[track_caller]
fn check(items: &[Item], dictionary: Option<&Arc<Dictionary>>) -> Vec<u8> {
    let plain = PlainChunk::of(items).unwrap();
    let packed = plain.pack(dictionary.map(|dictionary| &**dictionary));
    assert!(packed.len() <= 1 + plain.bytes().len());
    assert!(is_packed(&packed));
    let find = |hash: DictionaryHash| dictionary.filter(|kept| kept.hash() == hash).cloned();
    assert_eq!(unpack_items(&packed, find).unwrap(), items);
    let chunk = Chunk::join(items.iter().map(|item| &item.json));
    assert_eq!(unpack_chunk(&packed, find).unwrap(), chunk);
    packed
}

#[test]
fn a_chunk_that_packs_is_a_frame_that_names_its_dictionary_and_its_length() {
    let dictionary = trained();
    let items = products(&mut fastrand::Rng::with_seed(5));
    let plain_len = PlainChunk::of(&items).unwrap().bytes().len();
    for (dictionary, hash) in [(None, 0), (Some(&dictionary), dictionary.hash().number())] {
        let packed = check(&items, dictionary);
        assert_eq!(packed[0], 1);
        assert_eq!(packed[1..9], hash.to_le_bytes());
        assert_eq!(dictionary_of(&packed), dictionary.map(|dictionary| dictionary.hash()));
        assert_eq!(dictionary_of(&packed[..8]), None);
        assert_eq!(packed[9..13], u32::try_from(plain_len).unwrap().to_le_bytes());
        // The frame's magic number; then its header, whose third bit would be a check sum.
        assert_eq!(packed[13..17], [0x28, 0xB5, 0x2F, 0xFD]);
        assert_eq!(packed[17] & 0b100, 0);
    }
}

#[test]
fn a_chunk_that_does_not_pack_stays_as_it_is() {
    let packed = check(&[item("a", "1"), item("äb", "{}")], Some(&trained()));
    assert_eq!(packed, b"\x00\x02\x01\x01\x03\x02a\xC3\xA4b1{}");
    for dictionary in [None, Some(&trained())] {
        assert_eq!(check(&noise(&mut fastrand::Rng::with_seed(1)), dictionary)[0], 0);
    }
}

#[test]
fn order_and_repeated_ids_are_kept() {
    check(&[item("b", "1"), item("a", ""), item("b", "2"), item("b", "2")], None);
    check(&[item(&"i".repeat(256), &"j".repeat(70_000))], Some(&trained()));
}

#[test]
fn a_chunk_of_no_or_too_many_items_is_none_and_a_large_one_stays_as_it_is() {
    assert!(PlainChunk::of(&[]).is_none());
    let many = vec![item("a", "1"); ITEMS_MAX + 1];
    assert!(PlainChunk::of(&many).is_none());
    check(&many[1..], None);

    // Four bytes of numbers, four of the JSON's length counted, and the id.
    let largest = PLAIN_BYTES_MAX - 7;
    for (length, format) in [(largest, 1), (largest + 1, 0)] {
        let packed = check(&[item("a", &"j".repeat(length))], Some(&trained()));
        assert_eq!(packed[0], format, "{length}");
    }
}

#[test]
fn no_json_value_is_taken_for_a_packed_chunk() {
    for json in [
        "{}", "[]", "\"\"", "0", "-1", "true", "false", "null", " 1", "\n1", "\t1", "\r1", "",
    ] {
        assert!(!is_packed(json.as_bytes()), "{json}");
    }
}

#[test]
fn a_seal_holds_at_its_place_only() {
    let sealed = seal(b"value".to_vec(), "a/price z");
    assert_eq!(sealed.len(), 5 + SEAL_BYTES);
    assert_eq!(unseal(&sealed, "a/price z"), Ok(&b"value"[..]));
    assert_eq!(unseal(&seal(vec![], "a"), "a"), Ok(&b""[..]));
    let other = Err("a sealed value whose check sum is another");
    assert_eq!(unseal(&sealed, "b/price z"), other);
    assert_eq!(unseal(&sealed, "a/price y"), other);
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(unseal(&changed, "a/price z"), other);
        assert!(unseal(&sealed[..at], "a/price z").is_err());
    }
}

fn any_items() -> impl Strategy<Value = Vec<Item>> {
    let id = prop_oneof!["[a-z0-9]{1,12}", "\\PC{1,40}"];
    let json = prop_oneof![
        "\\{\"name\":\"[a-z ]{0,40}\",\"price\":[0-9]{1,5}\\}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    let item = (id, json).prop_map(|(id, json)| Item {
        id: ItemId::parse(&id).unwrap(),
        json: json.into(),
    });
    prop::collection::vec(item, 1..40)
}

proptest! {
    #[test]
    fn unpacking_gives_back_what_was_packed(items in any_items()) {
        static DICTIONARY: std::sync::LazyLock<Arc<Dictionary>> = std::sync::LazyLock::new(trained);
        check(&items, None);
        check(&items, Some(&DICTIONARY));
    }

    #[test]
    fn any_bytes_pack(bytes in prop::collection::vec(any::<u8>(), 0..500), place: String) {
        let sealed = seal(super::frame::pack(&bytes, None), &place);
        let unpacked = unpack_bytes(unseal(&sealed, &place).unwrap(), |_| None, |plain| Ok(plain.to_vec()));
        prop_assert_eq!(unpacked, Ok(bytes));
    }
}
