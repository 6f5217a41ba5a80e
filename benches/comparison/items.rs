//! The items of all listings: products with a description that fills them up, each unlike the others.

/// 24 of these, with what stands around them, are about 14 KB.
pub const ITEM_BYTES: usize = 555;

const WORDS: [&str; 24] = [
    "brown", "bread", "of", "rye", "and", "wheat", "baked", "slowly", "in", "a", "stone", "oven", "with", "sea",
    "salt", "crisp", "crust", "soft", "inside", "keeps", "for", "days", "organic", "seeds",
];

/// The JSON of a product.
pub fn item(number: u64) -> String {
    priced(number, 100 + number % 700)
}

/// The same at another price.
pub fn priced(number: u64, price: u64) -> String {
    let mut json = format!(r#"{{"id":{number},"name":"Loaf {number}","price":{price},"description":""#);
    let mut chance = number;
    while json.len() < ITEM_BYTES - 2 {
        chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        json.push_str(WORDS[(chance >> 33) as usize % WORDS.len()]);
        json.push(' ');
    }
    json.truncate(ITEM_BYTES - 2);
    json.push_str("\"}");
    json
}

/// The first so many, an item a line.
pub fn lines(count: u64) -> impl Iterator<Item = String> {
    (1..=count).map(|number| item(number) + "\n")
}
