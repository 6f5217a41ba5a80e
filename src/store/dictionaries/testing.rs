//! Chunks as shops have them, and a dictionary for them: for tests.

use std::sync::Arc;

use super::{Dictionaries, Dictionary, DictionaryScope, Packing};
use crate::{
    listing::{Item, ItemId},
    store::layout::packed::PlainChunk,
};

const WORDS: [&str; 24] = [
    "organic",
    "rye",
    "bread",
    "whole",
    "milk",
    "red",
    "sneaker",
    "classic",
    "small",
    "ceramic",
    "mug",
    "blue",
    "linen",
    "shirt",
    "oak",
    "table",
    "travel",
    "kettle",
    "wool",
    "socks",
    "dark",
    "chocolate",
    "garden",
    "chair",
];
const BRANDS: [&str; 5] = ["Northwind", "Kestrel & Sons", "Øresund", "Private label", "Acme"];

/// A chunk of 12 products of one shop; the next call gives others.
pub(crate) fn products(random: &mut fastrand::Rng) -> Vec<Item> {
    (0..12).map(|_| product(random)).collect()
}

fn product(random: &mut fastrand::Rng) -> Item {
    let id = random.u32(10_000..9_999_999);
    let mut word = || WORDS[random.usize(..WORDS.len())];
    let name = format!("{} {} {}", word(), word(), word());
    let slug = name.replace(' ', "-");
    let brand = BRANDS[random.usize(..BRANDS.len())];
    let (price, rating) = (random.u32(99..50_000), random.u32(10..51));
    let sale = if random.bool() {
        format!(r#","list_price_cents":{}"#, price + price / 4)
    } else {
        String::new()
    };
    let json = format!(
        r#"{{"id":{id},"name":"{name}","brand":"{brand}","price_cents":{price}{sale},"currency":"EUR","rating":{}.{},"in_stock":{},"url":"/p/{id}-{slug}","image":"https://images.shop.example/products/{:016x}/large.webp"}}"#,
        rating / 10,
        rating % 10,
        random.u8(..10) > 0,
        random.u64(..),
    );
    Item {
        id: ItemId::from_integer(id.into()),
        json: json.into(),
    }
}

/// A chunk of 12 products of a shop with other fields.
pub(crate) fn other_products(random: &mut fastrand::Rng) -> Vec<Item> {
    let mut item = || {
        let sku = format!("SKU-{:06}", random.u32(..999_999));
        let (size, colour) = (random.u8(34..48), WORDS[random.usize(..WORDS.len())]);
        let json = format!(
            r#"{{"sku":"{sku}","titel":{{"de":"Halbschuh {colour}","fr":"Chaussure basse {colour}"}},"groessen":[{size},{}],"preis":{{"betrag":"{}.{:02}","waehrung":"CHF"}},"lagerbestand":{},"hersteller_nummer":"{:08x}"}}"#,
            size + 1,
            random.u16(20..400),
            random.u8(..100),
            random.u8(..90),
            random.u32(..),
        );
        Item {
            id: ItemId::parse(&sku).unwrap(),
            json: json.into(),
        }
    };
    (0..12).map(|_| item()).collect()
}

/// A chunk that packs badly with any dictionary.
pub(crate) fn noise(random: &mut fastrand::Rng) -> Vec<Item> {
    vec![Item {
        id: ItemId::from_integer(random.u32(..).into()),
        json: (0..300).map(|_| random.u8(..)).collect(),
    }]
}

/// The plain form of items.
pub(crate) fn plain(items: &[Item]) -> PlainChunk {
    PlainChunk::of(items).unwrap()
}

/// Packs a chunk for a scope, as a writer does, and trains where it is time to. Says how many bytes it came to, and which dictionary is
/// new.
pub(crate) fn write(
    dictionaries: &Dictionaries,
    scope: DictionaryScope,
    items: &[Item],
) -> (usize, Option<Arc<Dictionary>>) {
    let (plain, dictionary) = (plain(items), dictionaries.for_writing(scope));
    let packed = plain.pack(dictionary.as_deref());
    let packing = Packing {
        plain: plain.bytes(),
        packed_len: packed.len(),
        dictionary: dictionary.map(|dictionary| dictionary.hash()),
    };
    let training = dictionaries.record(scope, &packing);
    (packed.len(), training.and_then(|training| training.run()))
}

/// A dictionary for [`products`].
pub(crate) fn trained() -> Arc<Dictionary> {
    let (dictionaries, mut random) = (Dictionaries::new(), fastrand::Rng::with_seed(1));
    let mut write = || write(&dictionaries, DictionaryScope(1), &products(&mut random)).1;
    (0..125).find_map(|_| write()).expect("125 chunks give a dictionary")
}
