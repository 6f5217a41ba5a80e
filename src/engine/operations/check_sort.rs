//! A defined name and a sort of it, checked as they are for a reader.

use crate::{
    engine::{
        declared::{Declaration, names::Existence},
        error::EngineError,
        reading::selection::unknown_sort,
        refreshing::frozen::Frozen,
    },
    listing::{ListingName, SortName, Timestamp, definition::Defined},
};

/// # Errors
/// [`EngineError::NotFound`] for a name that is not enumerated, unless it is frozen; [`EngineError::Invalid`] for a sort that is not
/// declared.
pub(super) async fn check_sort(
    declaration: &Declaration,
    frozen: &Frozen,
    now: Timestamp,
    (defined, name): (&Defined, &ListingName),
    sort: Option<&SortName>,
) -> Result<(), EngineError> {
    let declared = declaration.take();
    let existence = declared.names.existence(defined, name).await;
    if existence == Existence::Outside && frozen.until(name, now).is_none() {
        return Err(EngineError::NotFound);
    }
    match defined.definition.sort(sort.map(SortName::as_str)) {
        Some(_) => Ok(()),
        None => Err(EngineError::Invalid(vec![unknown_sort(&defined.definition)])),
    }
}
