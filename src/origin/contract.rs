//! The trait of all origins, and what they give: items with their sort values, or an error.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::listing::{
    DataVersion, Definition, Field, Item, ItemId, ListingName, NextChange,
    definition::{Defined, SortColumn},
    key::Choices,
};

/// The most bytes of JSON that an item from an origin may have.
pub const ITEM_BYTES_MAX: usize = 256 * 1024;

/// The most names that an origin may give at once.
pub const NAMES_MAX: usize = 1_000_000;

/// The most bytes that these may have together: as many names as there may be, at their longest, each with a line feed.
pub const NAMES_BYTES_MAX: usize = NAMES_MAX * (ListingName::BYTES_MAX + 1);

/// The most items whose rows are read at once.
pub const ROWS_MAX: usize = 500;

/// The subject of a read: one family, in one order.
#[derive(Clone, Debug)]
pub struct Read {
    /// The name's definition and the values of its parameters.
    pub defined: Defined,
    /// Variants, in the order of declaration, defaults filled in.
    pub choices: Choices,
    /// In which order the items must come.
    pub order: ReadOrder,
    /// Only the rows of these items, at most [`ROWS_MAX`] of them: for origins that [read rows](Origin::reads_rows). `None`: all items.
    pub only: Option<Arc<[ItemId]>>,
}

/// The order of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOrder {
    /// Any; each item carries the values of these columns, for sorting in the process.
    Any {
        /// Distinct columns.
        columns: Vec<Field>,
    },
    /// Sorted by these columns, nulls last, then by the id. Items carry the values of these columns.
    By(Vec<SortColumn>),
}

/// A value to sort by. Numbers come before texts, as in SQLite; texts compare bytewise.
#[derive(Clone, Debug, PartialEq)]
pub enum SortValue {
    /// Missing: last, whichever way the column is sorted.
    Null,
    /// An integer.
    Integer(i64),
    /// A finite number.
    Real(f64),
    /// A decimal number that is no `Integer`: its digits, without an exponent, compared exactly.
    Decimal(Box<str>),
    /// A text, or bytes.
    Text(Box<str>),
    /// A place among the values of this read, where only the server knows their order; 0 where the server has sorted. Of another
    /// read the same number is another place.
    Rank(i64),
}

/// An item as an origin yields it.
#[derive(Clone, Debug)]
pub struct OriginItem {
    /// Id and JSON.
    pub item: Item,
    /// The id's value: numbers compare as numbers, texts as texts.
    pub id: SortValue,
    /// The values of the read's columns, in the order that its [`ReadOrder`] names them.
    pub keys: Box<[SortValue]>,
}

/// The items of one read, in batches: some at a time, which may be none. Dropping it ends the read.
pub type Items = BoxStream<'static, Result<Vec<OriginItem>, OriginError>>;

/// The outcome of a read that is only wanted if something has changed.
pub enum Reading {
    /// The data is of the version that was known: so are the items.
    Unchanged,
    /// The items.
    Items {
        /// In the order that was asked for.
        items: Items,
        /// Of which version they are; `None` where the origin cannot tell.
        version: Option<DataVersion>,
    },
}

/// Where items come from.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Reads the items of a family, streamed through a bounded buffer.
    async fn read(&self, read: Read) -> Result<Items, OriginError>;

    /// Reads the items of a family unless they are of a known version.
    ///
    /// Without a word of the origin's own, its [`version`](Origin::version) is asked for first.
    async fn read_unless(&self, read: Read, known: Option<&DataVersion>) -> Result<Reading, OriginError> {
        // Before the items: a change in between must not go unnoticed.
        let version = self.version(&read.defined, &read.choices).await?;
        if version.is_some() && version.as_ref() == known {
            return Ok(Reading::Unchanged);
        }
        let items = self.read(read).await?;
        Ok(Reading::Items { items, version })
    }

    /// Whether it can read the rows of [some items](Read::only) of a definition alone.
    fn reads_rows(&self, _definition: &Definition) -> bool {
        false
    }

    /// The names that items belong to by a query of the definition, as rows of the item's id and the pattern's parameters in its order: for
    /// origins that read rows. At most [`ROWS_MAX`] items.
    async fn names_of(
        &self,
        _query: &str,
        _id: &Field,
        _fields: &[Field],
        _ids: &[ItemId],
    ) -> Result<Vec<Vec<String>>, OriginError> {
        Err(OriginError::Misdeclared("this origin has no `names_of`".to_owned()))
    }

    /// The version of a family's items, found out without reading them; `None` where the origin cannot tell.
    async fn version(&self, _defined: &Defined, _choices: &Choices) -> Result<Option<DataVersion>, OriginError> {
        Ok(None)
    }

    /// When something of a family begins or ends next, by a query of the definition: for origins that can be asked.
    async fn next_changes(&self, _defined: &Defined, _choices: &Choices) -> Result<Vec<NextChange>, OriginError> {
        Err(OriginError::Misdeclared(
            "this origin has no `next_change_query`".to_owned(),
        ))
    }

    /// Whether items of the same version are the same for certain, and not only as somebody says.
    fn versions_are_certain(&self) -> bool {
        false
    }

    /// The names that exist, as rows of values of the pattern's parameters in its order. `fields` are theirs, see
    /// [`Definition::field_of`](crate::listing::Definition::field_of).
    async fn names(&self, query: &str, fields: &[Field]) -> Result<Vec<Vec<String>>, OriginError>;

    /// Where the origin tells by itself that its items changed: since when they are as they are now, each time. `None`
    /// where it does not; then time alone tells when its listings are due.
    fn changes(&self) -> Option<BoxStream<'static, Instant>> {
        None
    }
}

/// Why an origin did not answer.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It could not be reached, or broke off. Try later.
    #[error("the origin is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of names is not there, or cannot be read. Someone has to mend it.
    #[error("the names file `{path}` cannot be read")]
    NamesFile {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It took longer than its time-out. Try later.
    #[error("the origin did not answer in time")]
    TimedOut,
    /// An item that cannot be kept. Someone has to mend the data.
    #[error("item {position}: {reason}")]
    BadItem {
        /// 1-based, in the order of reading.
        position: u64,
        /// The error.
        reason: String,
    },
    /// The data cannot be read as it is. Someone has to mend it.
    #[error("the origin's data is damaged: {0}")]
    Damaged(String),
    /// The items changed while they were read, piece by piece: some may be missing. Try again.
    #[error("the origin's items shifted while they were read: {0}")]
    Shifted(String),
    /// The definition asks for what the origin does not have. Someone has to mend the configuration.
    #[error("the definition does not fit the origin: {0}")]
    Misdeclared(String),
}
