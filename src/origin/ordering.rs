//! The order of items sorted in the process: the same as a database gives for [`ReadOrder::By`](super::ReadOrder::By).
//!
//! One read of a name serves all its sorts only if sorting here and sorting there cannot be told apart; a test
//! compares the two. Other columns do not count: items equal in all columns and in the id keep the origin's order.

use std::cmp::Ordering;

use super::{OriginItem, SortValue, decimal};
use crate::listing::{Field, definition::SortColumn};

/// The positions of items (at most 2³² of them), sorted by columns, then by the id, then by position. Of ids that are the same number the shorter
/// text comes first.
///
/// `columns` names the values in each item's keys. Nulls come last, also in descending columns. A column that is not
/// among them decides nothing: the caller asked the origin for all keys that the sorts need.
pub fn order_by(items: &[OriginItem], columns: &[Field], by: &[SortColumn]) -> Vec<u32> {
    let by: Vec<(usize, bool)> = by
        .iter()
        .filter_map(|sort| {
            let key = columns.iter().position(|column| *column == sort.column)?;
            Some((key, sort.descending))
        })
        .collect();
    let mut sorted: Vec<(&OriginItem, u32)> = items.iter().zip(0..).collect();
    sorted.sort_by(|(left, _), (right, _)| compare_items(left, right, &by));
    sorted.into_iter().map(|(_, position)| position).collect()
}

/// The items themselves, sorted likewise.
pub fn in_order(items: Vec<OriginItem>, columns: &[Field], by: &[SortColumn]) -> impl Iterator<Item = OriginItem> {
    let order = order_by(&items, columns, by);
    let mut items: Vec<Option<OriginItem>> = items.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(move |position| items.get_mut(position as usize)?.take())
}

fn compare_items(left: &OriginItem, right: &OriginItem, by: &[(usize, bool)]) -> Ordering {
    for (key, descending) in by {
        let [left, right] = [left, right].map(|item| item.keys.get(*key).unwrap_or(&SortValue::Null));
        let ordering = compare_keys(left, right, *descending);
        if ordering.is_ne() {
            return ordering;
        }
    }
    compare(&left.id, &right.id).then_with(|| compare_spellings(left.item.id.as_str(), right.item.id.as_str()))
}

/// The order of texts that are the same number, as `7` and `007` may be: the usual spelling is the shortest, and comes first.
fn compare_spellings(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// The order of two values of a column.
fn compare_keys(left: &SortValue, right: &SortValue, descending: bool) -> Ordering {
    let ordering = compare(left, right);
    let nulls = matches!(left, SortValue::Null) || matches!(right, SortValue::Null);
    if descending && !nulls {
        ordering.reverse()
    } else {
        ordering
    }
}

/// Numbers by their exact values, then texts by their bytes, then nulls.
pub fn compare(left: &SortValue, right: &SortValue) -> Ordering {
    use SortValue::{Decimal, Integer, Null, Rank, Real, Text};
    match (left, right) {
        (Decimal(left), Decimal(right)) => decimal::compare(left, right),
        (Decimal(left), right @ (Integer(_) | Real(_))) => compare_decimal(left, right),
        (left @ (Integer(_) | Real(_)), Decimal(right)) => compare_decimal(right, left).reverse(),
        (Integer(left), Integer(right)) => left.cmp(right),
        (Real(left), Real(right)) => compare_reals(*left, *right),
        (Integer(left), Real(right)) => compare_integer(*left, *right),
        (Real(left), Integer(right)) => compare_integer(*right, *left).reverse(),
        (Text(left), Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Null, Null) => Ordering::Equal,
        (Null, _) | (Text(_), Integer(_) | Real(_) | Decimal(_)) => Ordering::Greater,
        (_, Null) | (Integer(_) | Real(_) | Decimal(_), Text(_)) => Ordering::Less,
        // A column has ranks or none.
        (Rank(left), Rank(right)) => left.cmp(right),
        (Rank(_), _) => Ordering::Less,
        (_, Rank(_)) => Ordering::Greater,
    }
}

/// Decimal digits against another number, which is taken for its own digits.
fn compare_decimal(digits: &str, number: &SortValue) -> Ordering {
    match number {
        SortValue::Integer(integer) => decimal::compare(digits, &integer.to_string()),
        SortValue::Real(real) if real.is_finite() => decimal::compare(digits, &decimal::digits_of(*real)),
        SortValue::Real(real) if *real == f64::NEG_INFINITY => Ordering::Greater,
        _ => Ordering::Less,
    }
}

/// Both zeros are equal. NaN should not come here; it is greater than any number, so that the order stays total.
fn compare_reals(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right)
        .unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

/// An integer against a real, without rounding the integer: 2⁵³ + 1 is more than 2⁵³ as a real.
fn compare_integer(integer: i64, real: f64) -> Ordering {
    /// 2⁶³, the first real above all integers.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if real.is_nan() || real >= BEYOND {
        return Ordering::Less;
    }
    if real < -BEYOND {
        return Ordering::Greater;
    }
    // In range, so the cast is exact; the fraction that it cuts off decides only between equal integers.
    let whole = real.trunc() as i64;
    integer.cmp(&whole).then_with(|| compare_reals(0.0, real.fract()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{Item, ItemId};
    use bytes::Bytes;

    fn text(text: &str) -> SortValue {
        SortValue::Text(text.into())
    }

    /// Values in their order, those of one group equal.
    #[track_caller]
    fn check(groups: &[&[SortValue]]) {
        let ranked: Vec<(usize, &SortValue)> = groups
            .iter()
            .enumerate()
            .flat_map(|(rank, group)| group.iter().map(move |value| (rank, value)))
            .collect();
        for (left_rank, left) in &ranked {
            for (right_rank, right) in &ranked {
                assert_eq!(compare(left, right), left_rank.cmp(right_rank), "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn numbers_come_before_texts_and_nulls_last() {
        use SortValue::{Integer, Null, Real};
        check(&[
            &[Real(f64::NEG_INFINITY)],
            &[Real(-1e300)],
            &[Integer(i64::MIN), Real(-9_223_372_036_854_775_808.0)],
            &[Integer(i64::MIN + 1)],
            &[Real(-2.5)],
            &[Integer(-2), Real(-2.0)],
            &[Real(-1.5)],
            &[Integer(0), Real(0.0), Real(-0.0)],
            &[SortValue::Decimal("0.4999999999999999999".into())],
            &[Real(0.5), SortValue::Decimal("0.50".into())],
            &[Integer(1), Real(1.0)],
            &[Integer(9_007_199_254_740_992), Real(9_007_199_254_740_992.0)],
            &[Integer(9_007_199_254_740_993)],
            &[Integer(9_007_199_254_740_994), Real(9_007_199_254_740_994.0)],
            // 2⁶²: all its digits count, beside decimals too.
            &[
                Integer(4_611_686_018_427_387_904),
                Real(4_611_686_018_427_387_904.0),
                SortValue::Decimal("4611686018427387904.0".into()),
            ],
            &[Integer(4_611_686_018_427_387_905)],
            &[Integer(i64::MAX)],
            &[SortValue::Decimal("9223372036854775807.5".into())],
            &[Real(9_223_372_036_854_775_808.0)],
            &[Real(f64::INFINITY)],
            &[Real(f64::NAN)],
            &[text("")],
            &[text("10")],
            &[text("9")],
            &[text("B")],
            &[text("a")],
            &[text("\u{FFFD}")],
            &[text("😀")],
            &[Null],
        ]);
    }

    fn item(id: i64, keys: [SortValue; 2]) -> OriginItem {
        OriginItem {
            item: Item {
                id: ItemId::from_integer(id),
                json: Bytes::new(),
            },
            id: SortValue::Integer(id),
            keys: keys.into(),
        }
    }

    fn by(column: &str, descending: bool) -> SortColumn {
        SortColumn {
            column: column.into(),
            descending,
        }
    }

    #[test]
    fn items_are_sorted_by_columns_then_by_id_then_by_position() {
        use SortValue::{Integer, Null};
        let items = [
            item(10, [Integer(1), text("b")]),
            item(9, [Integer(1), text("a")]),
            item(2, [Null, text("a")]),
            item(1, [Null, Null]),
            item(8, [Integer(2), Null]),
            item(9, [Integer(1), text("a")]),
        ];
        let columns: [Field; 2] = ["x".into(), "y".into()];
        let order = |sort: &[SortColumn]| order_by(&items, &columns, sort);

        assert_eq!(order(&[]), [3, 2, 4, 1, 5, 0]);
        assert_eq!(order(&[by("x", false)]), [1, 5, 0, 4, 3, 2]);
        assert_eq!(order(&[by("x", true)]), [4, 1, 5, 0, 3, 2]);
        assert_eq!(order(&[by("y", true), by("x", false)]), [0, 1, 5, 2, 4, 3]);
        assert_eq!(order(&[by("x", true), by("y", true)]), [4, 0, 1, 5, 2, 3]);
    }

    #[test]
    fn of_ids_that_are_one_number_the_shorter_comes_first() {
        let spelt = ["007", "07", "8", "7", "+7"].map(|spelling| OriginItem {
            item: Item {
                id: ItemId::parse(spelling).unwrap(),
                json: Bytes::new(),
            },
            id: SortValue::Integer(if spelling == "8" { 8 } else { 7 }),
            keys: Box::default(),
        });
        assert_eq!(order_by(&spelt, &[], &[]), [3, 4, 1, 0, 2]);
    }
}
