//! The order of bytes is the order of items.

use std::cmp::Ordering;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    listing::{Item, ItemId},
    origin::{number, ordering::order_by, testing::by},
};

fn item(id: (SortValue, &str), keys: &[SortValue]) -> OriginItem {
    OriginItem {
        item: Item {
            id: ItemId::parse(id.1).unwrap(),
            json: Bytes::new(),
        },
        id: id.0,
        keys: keys.into(),
    }
}

fn text(text: &str) -> SortValue {
    SortValue::Text(text.into())
}

fn decimal(digits: &str) -> SortValue {
    SortValue::Decimal(digits.into())
}

fn key(keys: &SortKeys, item: &OriginItem) -> Vec<u8> {
    keys.write(item, &mut Vec::new()).unwrap().to_vec()
}

fn columns() -> [Field; 2] {
    ["x".into(), "y".into()]
}

/// The order of two items in a stream, by sorting them both ways.
fn order_of(left: &OriginItem, right: &OriginItem, sort: &[SortColumn]) -> Ordering {
    let is_before =
        |left: &OriginItem, right: &OriginItem| order_by(&[left.clone(), right.clone()], &columns(), sort) == [0, 1];
    match (is_before(left, right), is_before(right, left)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, _) => Ordering::Greater,
    }
}

const SORTS: [&[&str]; 7] = [
    &[],
    &["x"],
    &["x desc"],
    &["x", "y"],
    &["y desc", "x"],
    &["x desc", "y desc"],
    &["y", "x desc", "y"],
];

#[track_caller]
fn check(left: &OriginItem, right: &OriginItem) {
    for sort in SORTS {
        let sort = by(sort);
        let keys = SortKeys::of_columns(&columns(), &sort);
        assert_eq!(
            key(&keys, left).cmp(&key(&keys, right)),
            order_of(left, right, &sort),
            "{left:?} {right:?} {sort:?}"
        );
    }
}

/// Values at which a form of the keys ends and another begins, and their neighbours.
fn edges() -> Vec<SortValue> {
    use SortValue::{Integer, Null, Real};
    let mut values = vec![Null, Real(f64::NAN), Real(f64::INFINITY), Real(f64::NEG_INFINITY)];
    for bits in [0, 7, 8, 15, 16, 24, 31, 32, 52, 53, 54, 62, 63] {
        let power = 1_u64 << bits;
        for near in [power - 1, power, power.saturating_add(1)] {
            let sign = |sign: &str, fraction: &str| decimal(&format!("{sign}{near}{fraction}"));
            values.extend([
                sign("", ".0"),
                sign("-", ".00"),
                sign("", ".05"),
                sign("-", ".05"),
                sign("", ".5"),
            ]);
            if let Ok(number) = i64::try_from(near) {
                values.extend([Integer(number), Integer(-number)]);
            }
        }
        values.extend([1.0, -1.0, 1.25, -0.75].map(|part| Real(part * power as f64)));
    }
    values.extend(
        [
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551616.0001",
            "-18446744073709551616",
            "99999999999999999999999999999999999999",
            "-100000000000000000000000000000000000000",
            "0.000000000000000000000000000001",
            ".5",
            "0007.50",
        ]
        .map(decimal),
    );
    values.extend([1e300, -1e300, 5e-324, f64::MAX, 0.1, 12.99, -0.0, 1e22, 1e23].map(Real));
    values.extend([i64::MIN, i64::MAX].map(Integer));
    values.extend(
        [
            "", "\0", "\0\0", "a", "a\0", "a\0b", "a\u{1}", "aa", "b", "\u{FFFD}", "😀",
        ]
        .map(text),
    );
    values
}

#[test]
fn values_at_the_edges_keep_their_order() {
    let id = || (SortValue::Integer(1), "1");
    let items: Vec<_> = edges()
        .into_iter()
        .map(|value| item(id(), &[value, SortValue::Integer(3)]))
        .collect();
    for left in &items {
        for right in &items {
            check(left, right);
        }
    }
}

#[test]
fn an_id_decides_last_and_its_spelling_after_it() {
    let number = |spelling: &'static str| {
        item(
            (number::of_text(spelling).unwrap(), spelling),
            &[SortValue::Null, SortValue::Null],
        )
    };
    let spelt = [
        "-10",
        "-7",
        "-07",
        "-1",
        "-001",
        "0",
        "-0",
        "00",
        "1",
        "01",
        "7",
        "+7",
        "007",
        "8",
        "255",
        "256",
        "0256",
        "9223372036854775807",
        "9223372036854775808",
        "+9223372036854775808",
        "18446744073709551616",
        "18446744073709551616.5",
    ]
    .map(number);
    let texts = ["-", "7", "70", "a", "a\0", "aa"].map(|id| item((text(id), id), &[SortValue::Null, SortValue::Null]));
    let items: Vec<_> = spelt.into_iter().chain(texts).collect();
    for left in &items {
        for right in &items {
            check(left, right);
        }
    }
}

#[test]
fn usual_items_have_short_keys() {
    #[track_caller]
    fn check(value: SortValue, id: (SortValue, &str), sort: &str, expect: &[u8]) {
        let keys = SortKeys::of_order(&by(&[sort]));
        assert_eq!(key(&keys, &item(id, &[value])), expect);
    }
    let id = || (SortValue::Integer(48_713), "48713");
    check(SortValue::Integer(299), id(), "x", &[0x22, 1, 43, 0, 0x22, 0xBE, 0x49]);
    check(SortValue::Real(2.5), id(), "x", &[0x21, 2, 51, 0, 0x22, 0xBE, 0x49]);
    check(SortValue::Integer(0), id(), "x", &[0x20, 0, 0x22, 0xBE, 0x49]);
    check(
        SortValue::Integer(299),
        id(),
        "x desc",
        &[0xDD, 0xFE, 0xD4, 0xFF, 0x22, 0xBE, 0x49],
    );
    check(SortValue::Null, id(), "x desc", &[0xF8, 0x22, 0xBE, 0x49]);
    check(
        text("é"),
        (text("A1"), "A1"),
        "x",
        &[0x30, 0xC3, 0xA9, 0, 0x30, b'A', b'1'],
    );
}

#[test]
fn what_has_no_place_of_its_own_has_no_key() {
    let id = || (SortValue::Integer(1), "1");
    let mut to = vec![7];
    let keys = SortKeys::of_order(&by(&["x"]));
    for none in [
        item(id(), &[SortValue::Rank(1)]),
        item(id(), &[]),
        item((SortValue::Rank(1), "10.0.0.1"), &[SortValue::Integer(1)]),
    ] {
        assert_eq!(keys.write(&none, &mut to), None);
    }
    let one = item(id(), &[SortValue::Integer(1)]);
    assert_eq!(
        SortKeys::of_columns(&["y".into()], &by(&["x"])).write(&one, &mut to),
        None
    );
    assert_eq!(to, [7], "half a key was left behind");
    assert_eq!(keys.write(&one, &mut to).map(<[u8]>::len), Some(5));
}

#[test]
fn a_batch_has_a_key_for_each_item_that_can_have_one() {
    let keys = SortKeys::of_order(&by(&["x"]));
    let id = |id: i64| item((SortValue::Integer(id), &id.to_string()), &[SortValue::Integer(id)]);
    let mut rankless = id(2);
    rankless.keys = [SortValue::Rank(0)].into();
    let mut batch_keys = BatchKeys::default();
    for batch in [vec![rankless, id(1), id(3)], vec![id(4)], vec![]] {
        batch_keys.replace(&keys, &batch);
        let expect: Vec<_> = batch
            .iter()
            .map(|item| (item.item.clone(), keys.write(item, &mut Vec::new()).map(<[u8]>::to_vec)))
            .collect();
        let joined = batch_keys.join(batch);
        let joined: Vec<_> = joined
            .map(|keyed| (keyed.item, keyed.key.map(<[u8]>::to_vec)))
            .collect();
        assert_eq!(joined, expect);
    }
}

fn any_number() -> impl Strategy<Value = SortValue> {
    prop_oneof![
        any::<i64>().prop_map(SortValue::Integer),
        (-300..300i64).prop_map(SortValue::Integer),
        any::<f64>().prop_map(SortValue::Real),
        (-3000..3000i32).prop_map(|cents| SortValue::Real(f64::from(cents) / 100.0)),
        "-?[0-9]{1,24}(\\.[0-9]{0,5})?".prop_map(|digits| decimal(&digits)),
        prop::sample::select(edges()),
    ]
}

fn any_value() -> impl Strategy<Value = SortValue> {
    prop_oneof![
        1 => Just(SortValue::Null),
        5 => any_number(),
        3 => "[\\x00-\\x02a-cé]{0,4}".prop_map(|any| text(&any)),
    ]
}

fn any_item() -> impl Strategy<Value = OriginItem> {
    let id = prop_oneof![
        (-300..300i64).prop_map(|id| (SortValue::Integer(id), id.to_string())),
        any::<i64>().prop_map(|id| (SortValue::Integer(id), id.to_string())),
        "0{0,2}[0-9]{1,20}".prop_map(|spelling| (number::of_text(&spelling).unwrap(), spelling)),
        "[a-c0-9]{1,3}".prop_map(|id| (text(&id), id)),
    ];
    (id, any_value(), any_value()).prop_map(|((value, spelling), x, y)| item((value, &spelling), &[x, y]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn comparing_keys_is_comparing_items(left in any_item(), right in any_item()) {
        check(&left, &right);
        // With something in common, the later values decide.
        let mut alike = right.clone();
        alike.keys[0] = left.keys[0].clone();
        check(&left, &alike);
        alike.keys[1] = left.keys[1].clone();
        check(&left, &alike);
    }
}
