//! Filters: which items of a generation have certain values, and how many have each.
//!
//! A filter is a *column* of a listing's own items: for each position the value that the item there has. A *selection* of values makes *matches*
//! of the columns, a bit a position, and a page of these is cut out of the generation as any page is. Nothing is asked of an origin, and
//! nothing is kept for a combination but bits that can be made again.
//!
//! Columns, and not a list of positions for each value: to count the values of many matches is one walk through a column, and a column
//! is as easily taken over for the chunks that a new generation has not changed.
//!
//! This room knows neither JSON nor HTTP: values come as texts and numbers, questions as names and texts.

mod asking;
mod column;
mod counts;
mod matches;
mod number;

use std::{ops::Deref, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

pub use self::{
    asking::{BadFilter, Filtering},
    column::{Cell, Column, ColumnBuilder, Columns, Valued},
    counts::{Facet, FacetStep, FacetValue},
    matches::Matches,
    number::write_number,
};
use super::field::Field;

/// What the names of filters begin with in a URL: so no filter's name is in the way of another parameter.
pub const PREFIX: &str = "f.";

/// The filters that a definition declares, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    all: Vec<FilterColumn>,
    /// Of all that shapes their columns: other ones have other columns.
    pub hash: u64,
}

impl Filters {
    /// These filters.
    pub fn new(all: Vec<FilterColumn>) -> Self {
        let hash = xxh3_64(format!("{all:?}").as_bytes());
        Self { all, hash }
    }

    /// Where a filter stands among them, by its name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|filter| *filter.name == *name)
    }
}

impl Deref for Filters {
    type Target = [FilterColumn];

    fn deref(&self) -> &[FilterColumn] {
        &self.all
    }
}

/// A filter that a listing declares.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterColumn {
    /// Its name, without [`PREFIX`].
    pub name: Arc<str>,
    /// Where its values stand in the items.
    pub field: Field,
    /// Whether numbers that are texts have a comma for their decimal point.
    pub decimal_comma: bool,
    /// What they are.
    pub kind: FilterKind,
}

/// What the values of a filter are.
#[derive(Clone, Debug, PartialEq)]
pub enum FilterKind {
    /// Texts, of which some are asked for.
    Values {
        /// How many an item may have.
        each: Each,
        /// Whether they are true or false, however the origin spells that.
        is_boolean: bool,
        /// Where the text stands that is shown for the value.
        label: Option<Field>,
        /// Where the number stands by which values are listed.
        rank: Option<Field>,
    },
    /// Numbers, of which ranges are asked for.
    Numbers {
        /// The numbers between which they are counted, in their order.
        steps: Vec<f64>,
    },
}

/// How many values an item has of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Each {
    /// At most one.
    One,
    /// The elements of an array; a text is one.
    List,
    /// The parts of a text with this between them.
    Separated(Box<str>),
}

impl FilterColumn {
    /// Whether ranges are asked for.
    pub fn is_range(&self) -> bool {
        matches!(self.kind, FilterKind::Numbers { .. })
    }

    /// Whether its values are true or false.
    pub fn is_boolean(&self) -> bool {
        matches!(self.kind, FilterKind::Values { is_boolean: true, .. })
    }

    /// All that decides which items it matches, as a text: neither labels nor steps do.
    fn shape(&self) -> String {
        let kind = match &self.kind {
            FilterKind::Values { each, is_boolean, .. } => format!("{each:?} {is_boolean}"),
            FilterKind::Numbers { .. } => "numbers".to_owned(),
        };
        let (field, taken) = (&self.field, self.field.taken);
        format!("{field} {taken:?} {} {kind}", self.decimal_comma)
    }

    /// All that is read of an item for it.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        let (label, rank) = match &self.kind {
            FilterKind::Values { label, rank, .. } => (label.as_ref(), rank.as_ref()),
            FilterKind::Numbers { .. } => (None, None),
        };
        [Some(&self.field), label, rank].into_iter().flatten()
    }

    /// The parameter by which it is asked for: `f.brand`.
    pub fn parameter(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

#[cfg(test)]
mod tests;
