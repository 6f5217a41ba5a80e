//! The content of a generation as one number: two generations of one definition with the same number have the same pages.

use xxhash_rust::xxh3::Xxh3;

use super::item::Item;

/// The content of a generation being read: ids and JSON in their order.
///
/// 128 bits, so that chance does not make two contents alike; nobody gains by making it so, for items come from the shop.
#[derive(Clone, Default)]
pub struct ContentHasher(Xxh3);

impl ContentHasher {
    /// Takes the next item.
    pub fn push(&mut self, item: &Item) {
        // Lengths keep neighbouring texts apart.
        self.0.update(&(item.id.as_str().len() as u64).to_le_bytes());
        self.0.update(item.id.as_str().as_bytes());
        self.0.update(&(item.json.len() as u64).to_le_bytes());
        self.0.update(&item.json);
    }

    /// The content so far.
    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::ItemId;

    fn content(items: &[(i64, &'static str)]) -> u128 {
        let mut hasher = ContentHasher::default();
        for (id, json) in items {
            hasher.push(&Item {
                id: ItemId::from_integer(*id),
                json: (*json).into(),
            });
        }
        hasher.finish()
    }

    #[test]
    fn order_ids_and_bytes_count() {
        let content_of_two = content(&[(1, "{}"), (2, "{}")]);
        assert_eq!(content_of_two, content(&[(1, "{}"), (2, "{}")]));
        for other in [
            content(&[(2, "{}"), (1, "{}")]),
            content(&[(1, "{}"), (3, "{}")]),
            content(&[(1, "{}"), (2, "{ }")]),
            content(&[(1, "{}")]),
            content(&[]),
        ] {
            assert_ne!(content_of_two, other);
        }
    }
}
