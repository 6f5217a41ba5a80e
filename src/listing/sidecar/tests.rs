//! Columns, encoded and decoded again.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::listing::{ChunkIndex, ItemId};

type Rows = Vec<(String, Vec<u8>)>;

fn segments(chunk_len: u32) -> Segments {
    Segments::new(NonZeroU32::new(chunk_len).unwrap())
}

/// All segments, taken after each chunk, and the end.
fn encode(chunk_len: u32, rows: &[(String, Option<Vec<u8>>)]) -> (Vec<Segment>, EndOfColumns) {
    let mut encoder = ColumnEncoder::new(segments(chunk_len));
    let mut taken = Vec::new();
    for (position, (id, key)) in rows.iter().enumerate() {
        encoder.push(&ItemId::parse(id).unwrap(), key.as_deref());
        if (position + 1).is_multiple_of(chunk_len as usize) {
            let full = encoder.take_full();
            assert!(full.len() <= 2, "more than a segment of each column was kept");
            taken.extend(full);
        }
    }
    let mut end = encoder.finish();
    taken.append(&mut end.segments);
    (taken, end)
}

fn with_keys(rows: &Rows) -> Vec<(String, Option<Vec<u8>>)> {
    rows.iter().map(|(id, key)| (id.clone(), Some(key.clone()))).collect()
}

#[track_caller]
fn check(chunk_len: u32, rows: &Rows) {
    let (encoded, end) = encode(chunk_len, &with_keys(rows));
    assert_eq!(end.keys, Ok(()));
    assert_eq!(end.in_vain, []);
    let cut = segments(chunk_len);
    let total = rows.len() as u64;
    let mut expected_fields = Vec::new();
    for first in cut.firsts(total) {
        let positions = cut.positions(first, total);
        let of_column = |column: Column| {
            let mut found = encoded
                .iter()
                .filter(|segment| (segment.column, segment.first) == (column, first));
            let segment = found.next().unwrap();
            assert!(found.next().is_none());
            &segment.bytes
        };
        let items = positions.end - positions.start;
        let rows = &rows[positions.start as usize..positions.end as usize];
        let ids: Vec<IdHash> = rows.iter().map(|(id, _)| IdHash::of(id)).collect();
        assert_eq!(decode_ids(of_column(Column::Ids), items), Ok(ids));
        let keys = decode_keys(of_column(Column::Keys), items).unwrap();
        assert!(keys.iter().eq(rows.iter().map(|(_, key)| &key[..])));
        expected_fields.extend([Column::Ids.field(first), Column::Keys.field(first)]);
    }
    let fields: Vec<String> = encoded.iter().map(Segment::field).collect();
    assert_eq!(fields, expected_fields);
}

fn rows(keys: impl IntoIterator<Item = Vec<u8>>) -> Rows {
    keys.into_iter()
        .enumerate()
        .map(|(at, key)| (format!("p{at}"), key))
        .collect()
}

#[test]
fn segments_hold_what_was_pushed() {
    check(12, &Rows::new());
    check(12, &rows([vec![]]));
    for total in [191, 192, 193, 400] {
        check(12, &rows((0..total).map(|at: u32| (at / 3).to_be_bytes().to_vec())));
    }
    check(1000, &rows((0..2001).map(|at: u32| vec![7; at as usize / 256])));
    check(1, &rows([vec![1; KEY_BYTES_MAX], vec![1; KEY_BYTES_MAX], vec![2]]));
}

/// Keys of 200 items, 12 a chunk, one of them replaced.
#[track_caller]
fn check_without_keys(position: u64, key: Option<Vec<u8>>, none: NoKeys, in_vain: &[u64]) {
    let keys = (0..200u32).map(|at| at.to_be_bytes().to_vec());
    let mut rows = with_keys(&rows(keys));
    rows[position as usize].1 = key;
    let (encoded, end) = encode(12, &rows);
    assert_eq!(end.keys, Err(none));
    let in_vain: Vec<ChunkIndex> = in_vain.iter().map(|first| ChunkIndex(*first)).collect();
    assert_eq!(end.in_vain, in_vain);
    // The ids are whole even so, and of the keys there is nothing that is not told of.
    let of = |column: Column| encoded.iter().filter(move |segment| segment.column == column);
    assert_eq!(
        of(Column::Ids).map(|segment| segment.bytes.len()).sum::<usize>(),
        4 * 200
    );
    assert!(of(Column::Keys).map(|segment| segment.first).eq(in_vain));
}

#[test]
fn a_missing_a_long_and_a_smaller_key_end_the_column() {
    let smaller = Some(vec![0; 4]);
    check_without_keys(0, None, NoKeys::Missing { position: 0 }, &[]);
    check_without_keys(199, None, NoKeys::Missing { position: 199 }, &[0]);
    check_without_keys(5, smaller.clone(), NoKeys::NotInOrder { position: 5 }, &[]);
    // The first key of a segment is compared with the last one of the segment before.
    check_without_keys(192, smaller, NoKeys::NotInOrder { position: 192 }, &[0]);
    let long = Some(vec![1; KEY_BYTES_MAX + 1]);
    check_without_keys(199, long, NoKeys::TooLong { position: 199 }, &[0]);
}

#[test]
fn keys_that_were_not_taken_before_the_column_ended_are_not_handed_out() {
    let mut encoder = ColumnEncoder::new(segments(1000));
    for position in 0..1500u32 {
        let key = position.to_be_bytes();
        encoder.push(&ItemId::from_integer(1), (position < 1200).then_some(&key));
    }
    let end = encoder.finish();
    let columns: Vec<Column> = end.segments.iter().map(|segment| segment.column).collect();
    assert_eq!(columns, [Column::Ids, Column::Ids]);
    assert_eq!(end.keys, Err(NoKeys::Missing { position: 1200 }));
}

#[test]
fn a_key_finds_its_place() {
    let sorted = rows([vec![1], vec![3], vec![3], vec![3, 0], vec![5]]);
    let (encoded, _) = encode(12, &with_keys(&sorted));
    let keys = decode_keys(&encoded[1].bytes, 5).unwrap();
    for (key, places) in [
        (&[0][..], 0..0),
        (&[1], 0..1),
        (&[2], 1..1),
        (&[3], 1..3),
        (&[3, 0], 3..4),
        (&[6], 5..5),
    ] {
        assert_eq!(keys.places_of(key), places, "{key:?}");
    }
    assert_eq!((keys.len(), keys.is_empty(), keys.get(5)), (5, false, None));
}

#[test]
fn segments_of_others_are_refused() {
    #[track_caller]
    fn check(segment: &[u8], items: u64, reason: &'static str) {
        assert_eq!(decode_keys(segment, items), Err(Unreadable(reason)), "{segment:?}");
    }
    check(&[], 0, "keys of an unknown format");
    check(&[2], 0, "keys of an unknown format");
    check(&[1], 1, "keys that end too soon");
    check(&[1], u64::MAX, "keys that end too soon");
    check(&[1, 0], 1, "keys that end too soon");
    check(&[1, 0, 0x80], 1, "keys that end too soon");
    check(&[1, 0, 0xFF, 0xFF, 0], 1, "keys that end too soon");
    check(&[1, 0, 2, 7], 1, "keys of other lengths");
    check(&[1, 0, 1, 7, 7], 1, "keys of other lengths");
    check(&[1, 1, 0], 1, "a key that is too long");
    check(&[1, 0, 1, 1, 0, 7], 0, "keys of other lengths");
    // Of the key before only its own bytes can be shared.
    check(&[1, 0, 2, 0, 1, 2, 0, 7, 7, 8], 3, "a key that is too long");
    check(&[1, 0, 1, 0, 1, 8, 7], 2, "keys that are not in order");
    let mut long = vec![1, 0, 0x81, 0x10];
    long.extend([7; KEY_BYTES_MAX + 1]);
    check(&long, 1, "a key that is too long");
    assert!(decode_ids(&[0; 7], 2).is_err());
    assert!(decode_ids(&[0; 8], 1).is_err());
    assert!(decode_ids(&[0; 9], 2).is_err());
}

fn any_rows() -> impl Strategy<Value = Rows> {
    let key = prop_oneof![
        prop::collection::vec(0..3u8, 0..6),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    prop::collection::vec(key, 0..60).prop_map(|mut keys| {
        keys.sort();
        rows(keys)
    })
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(rows in any_rows(), chunk_len in 1..1001u32) {
        check(chunk_len, &rows);
    }

    #[test]
    fn hostile_bytes_make_no_more_than_their_items(
        mut segment in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..200),
        items in 0..20u64,
    ) {
        if let Some(format) = segment.first_mut() {
            *format = 1;
        }
        if let Ok(keys) = decode_keys(&segment, items) {
            prop_assert_eq!(keys.len() as u64, items);
            prop_assert!(keys.iter().all(|key| key.len() <= KEY_BYTES_MAX));
        }
    }
}
