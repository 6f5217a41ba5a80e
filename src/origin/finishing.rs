//! The last step of every origin's read.

use super::{Items, OriginError, Read, collation::collated, hidden::without_hidden};

/// The same items with keys in the order of languages, and without hidden members.
pub(super) fn finished(items: Items, read: &Read) -> Result<Items, OriginError> {
    let items = collated(items, read)?;
    Ok(without_hidden(items, &read.defined.definition.hidden))
}
