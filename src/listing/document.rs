//! Documents of items, read piece by piece: NDJSON (an item a line) or one JSON array.
//!
//! The reader splits, and leaves the grammar of each item to a JSON parser that sees it whole. It looks at each byte
//! once, however the document is cut into feeds, and holds at most the bytes of one item. It could have parsed as it
//! goes instead; then an item's bytes, which must stay as given, would have to be kept beside what was parsed.

mod splitter;

use self::splitter::Take;
pub use self::splitter::{BadItem, DocumentFormat, DocumentSplitter};
use super::{field::Field, item::Item, item_json::parse_item};

/// Reads a document's items as its bytes come in; holds at most one item's bytes.
///
/// An item's bytes are kept as given, without the space around it. An id that stands twice: the last one counts.
/// After a bad item the rest of the document is not read: each further call gives the same error.
pub struct DocumentReader {
    splitter: DocumentSplitter,
    id_field: Field,
    failed: Option<BadItem>,
}

impl DocumentReader {
    /// A reader at the start of a document. The id of an item is its member `id_field`, a name or a JSON pointer.
    pub fn new(format: DocumentFormat, id_field: &str, item_bytes_max: usize) -> Self {
        Self {
            splitter: DocumentSplitter::new(format, item_bytes_max),
            id_field: Field::new(id_field),
            failed: None,
        }
    }

    /// Takes the next bytes and appends the items they complete, those before a bad one included.
    pub fn feed(&mut self, bytes: &[u8], items: &mut Vec<Item>) -> Result<(), BadItem> {
        self.read(items, |splitter, take| splitter.feed(bytes, take))
    }

    /// The document ends here; the last line needs no line feed.
    pub fn end(&mut self, items: &mut Vec<Item>) -> Result<(), BadItem> {
        self.read(items, |splitter, take| splitter.end(take))
    }

    fn read(
        &mut self,
        items: &mut Vec<Item>,
        read: impl FnOnce(&mut DocumentSplitter, &mut Take<'_, BadItem>) -> Result<(), BadItem>,
    ) -> Result<(), BadItem> {
        if let Some(bad) = &self.failed {
            return Err(bad.clone());
        }
        let id_field = &self.id_field;
        read(&mut self.splitter, &mut |line, json| {
            let item = parse_item(json, id_field).map_err(|error| BadItem::at(line, error))?;
            items.push(item);
            Ok(())
        })
        .inspect_err(|bad| self.failed = Some(bad.clone()))
    }
}

#[cfg(test)]
mod tests;
