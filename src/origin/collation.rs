//! Texts in the order of a language: the Unicode Collation Algorithm (UTS #10) with the tailorings of CLDR.
//!
//! A collated value becomes the text whose bytes are its sort key. So whatever compares values by their bytes compares these in the language's order,
//! the same through every origin, and no collation of a database takes part. Texts that the language does not tell apart have one key: the next column
//! decides, and at last the id.

use futures_util::TryStreamExt;
use icu_collator::{CollatorBorrowed, options::CollatorOptions};
use icu_locale_core::Locale;

use super::{Items, OriginError, OriginItem, Read, ReadOrder, SortValue};

/// The same items, with the keys of collated columns in their languages' order.
pub(super) fn collated(items: Items, read: &Read) -> Result<Items, OriginError> {
    let collators = Collators::of(read)?;
    if collators.0.is_empty() {
        return Ok(items);
    }
    let in_language = move |mut batch: Vec<OriginItem>| {
        batch.iter_mut().for_each(|item| collators.apply(&mut item.keys));
        batch
    };
    Ok(Box::pin(items.map_ok(in_language)))
}

/// Where in an item's keys a collated column stands, and how it is compared.
struct Collators(Vec<(usize, CollatorBorrowed<'static>)>);

impl Collators {
    fn of(read: &Read) -> Result<Self, OriginError> {
        let ReadOrder::Any { columns } = &read.order else {
            return Ok(Self(Vec::new()));
        };
        let mut collators = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let Some(collate) = &column.collate else { continue };
            let locale = read.defined.definition.locale_of(collate, &read.choices);
            let collator = locale.as_deref().and_then(collator);
            let collator = collator.ok_or_else(|| {
                OriginError::Misdeclared(format!("`collate` of `{column}`: `{collate}` is no locale"))
            })?;
            collators.push((at, collator));
        }
        Ok(Self(collators))
    }

    fn apply(&self, keys: &mut [SortValue]) {
        for (at, collator) in &self.0 {
            if let Some(SortValue::Text(text)) = keys.get_mut(*at) {
                *text = key(collator, text);
            }
        }
    }
}

fn collator(locale: &str) -> Option<CollatorBorrowed<'static>> {
    let locale = Locale::try_from_str(locale).ok()?;
    CollatorBorrowed::try_new(locale.into(), CollatorOptions::default()).ok()
}

/// The sort key as a text: a byte of it is the character of that number, and UTF-8 keeps their order.
fn key(collator: &CollatorBorrowed<'_>, text: &str) -> Box<str> {
    let mut bytes = Vec::with_capacity(2 * text.len() + 8);
    // Writing to memory cannot fail.
    let Ok(()) = collator.write_sort_key_to(text, &mut bytes);
    bytes.into_iter().map(char::from).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(locale: &str, sorted: &[&str]) {
        let collator = collator(locale).unwrap();
        let keys: Vec<_> = sorted.iter().map(|text| key(&collator, text)).collect();
        assert!(keys.is_sorted(), "{locale}: {sorted:?}");
    }

    #[test]
    fn names_stand_in_the_order_of_their_language() {
        check("de", &["Apfel", "Äpfel", "Banane", "Öl", "Ost", "Zebra"]);
        check("de-u-co-phonebk", &["Ad", "Äpfel", "Af", "Banane"]);
        check("sv", &["Apfel", "Banane", "Ost", "Zebra", "Ål", "Äpfel", "Öl"]);
        check("tr", &["Cam", "Çanakkale", "Dere", "Isparta", "Izgara", "İzmir"]);
        check("und", &["", "1", "a", "A", "b"]);
    }

    #[test]
    fn a_key_compares_as_the_collator_does() {
        let collator = collator("sv").unwrap();
        let words = [
            "ö", "z", "Å", "a", "é", "e", "wasa", "Vasa", "", "\u{0}", "日本", "-", "ÿ",
        ];
        for left in words {
            for right in words {
                let by_key = key(&collator, left).cmp(&key(&collator, right));
                assert_eq!(by_key, collator.compare(left, right), "{left} {right}");
            }
        }
    }
}
