//! Statements: a query of the configuration, wrapped so that a sort orders it.
//!
//! ```sql
//! select * from (
//! QUERY
//! ) as items
//! order by items."price_cents" collate binary desc nulls last, items."id" collate binary
//! ```
//! Nobody parses the query. Columns are named through `items`, or SQLite would take the name of a missing column for a string.

use std::{ops::Range, sync::Arc};

use super::placeholders::{CutQuery, Lexis, QueryPiece};
use crate::{
    listing::{
        Field, ItemId,
        definition::{Defined, Definition, VariantProperty},
        key::Choices,
    },
    origin::{OriginError, Read, ReadOrder},
};

/// How a database spells what is the same in all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The dialect of its queries.
    pub lexis: Lexis,
    /// Stands at both ends of an identifier, and doubled inside it.
    pub identifier_quote: char,
    /// The placeholder of the n-th value, 1-based.
    pub placeholder: fn(usize) -> String,
    /// An expression sorted as [`ordering`](crate::origin::ordering) sorts: numbers before texts, texts by their bytes.
    /// Where columns have types, only those that do not sort so by themselves are written thus.
    pub sorted: fn(&str) -> String,
    /// Whether it knows `nulls last`. An index serves such an order, but not the form for the others.
    pub knows_nulls_last: bool,
    /// Whether values are compared by how they are stored, and not by the column's type.
    pub compares_by_storage: bool,
}

impl Dialect {
    /// How PostgreSQL spells things.
    pub(super) const POSTGRES: Self = Self {
        lexis: Lexis::POSTGRES,
        identifier_quote: '"',
        placeholder: |number| format!("${number}"),
        sorted: |expression| format!("cast({expression} as text) collate \"C\""),
        knows_nulls_last: true,
        compares_by_storage: false,
    };
    /// How MySQL spells things. Texts of every collation are compared as bytes: `utf8mb4_bin` would take no notice of spaces
    /// at the end.
    pub(super) const MYSQL: Self = Self {
        lexis: Lexis::MYSQL,
        identifier_quote: '`',
        placeholder: |_| "?".to_owned(),
        sorted: |expression| format!("cast(convert({expression} using utf8mb4) as binary)"),
        knows_nulls_last: false,
        compares_by_storage: false,
    };
    /// How SQLite spells things. `cast` keeps a column's collation, so even a cast needs its own.
    pub(super) const SQLITE: Self = Self {
        lexis: Lexis::SQLITE,
        identifier_quote: '"',
        placeholder: |number| format!("?{number}"),
        sorted: |expression| format!("{expression} collate binary"),
        knows_nulls_last: true,
        compares_by_storage: true,
    };
}

/// How every statement begins.
const SELECT_ALL: &str = "select *";

/// SQL with its values, all of them texts or null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub sql: String,
    /// In the order of their placeholders.
    pub values: Vec<Option<Arc<str>>>,
    /// Where in the SQL each placeholder stands.
    places: Vec<Range<usize>>,
    /// Where in the SQL the configuration's query stands.
    query: Range<usize>,
}

impl Statement {
    /// The read of a family, in no order yet.
    pub(super) fn of_family(dialect: &Dialect, read: &Read) -> Result<Self, OriginError> {
        let definition = &read.defined.definition;
        let query = definition.query.as_deref().ok_or_else(|| {
            let pattern = definition.pattern.as_str();
            OriginError::Misdeclared(format!("the listings `{pattern}` need a `query`"))
        })?;
        let value_of = |name: &str| value_for_items(&read.defined, &read.choices, name);
        let mut statement = Self::wrapping(dialect, "query", query, value_of)?;
        if let Some(ids) = &read.only {
            statement.only(dialect, definition.id.as_str(), ids);
        }
        Ok(statement)
    }

    /// The names that items belong to: their ids, and the columns of the pattern's parameters.
    pub(super) fn of_names_of(
        dialect: &Dialect,
        query: &str,
        id: &str,
        columns: &[Field],
        ids: &[ItemId],
    ) -> Result<Self, OriginError> {
        let mut statement = Self::wrapping(dialect, "names_of", query, |_| None)?;
        statement.only(dialect, id, ids);
        let columns = std::iter::once(id).chain(columns.iter().map(Field::as_str));
        let columns: Vec<String> = columns.map(|column| column_of(dialect, column)).collect();
        Ok(statement.nested(&columns.join(", ")))
    }

    /// Only the rows of some items. The number of placeholders is a power of two: a server keeps few plans.
    fn only(&mut self, dialect: &Dialect, id: &str, ids: &[ItemId]) {
        self.sql.push_str(&format!("\nwhere {} in (", column_of(dialect, id)));
        let padding = ids
            .last()
            .into_iter()
            .cycle()
            .take(ids.len().next_power_of_two() - ids.len());
        for (at, id) in ids.iter().chain(padding).enumerate() {
            if at > 0 {
                self.sql.push_str(", ");
            }
            self.bind(dialect, Some(id.as_str().into()));
            // SQLite compares a text with no integer, unless a column says that it is one; an expression says nothing.
            if dialect.compares_by_storage
                && id
                    .as_str()
                    .parse::<i64>()
                    .is_ok_and(|number| number.to_string() == id.as_str())
            {
                self.sql.push_str(", cast(");
                self.bind(dialect, Some(id.as_str().into()));
                self.sql.push_str(" as integer)");
            }
        }
        self.sql.push(')');
    }

    /// Some columns of this statement, as a query of its own.
    fn nested(mut self, columns: &str) -> Self {
        let select = format!("{SELECT_ALL} from (\nselect distinct {columns}");
        let moved = |place: usize| place + select.len() - SELECT_ALL.len();
        self.sql.replace_range(..SELECT_ALL.len(), &select);
        for place in &mut self.places {
            *place = moved(place.start)..moved(place.end);
        }
        self.query = moved(self.query.start)..moved(self.query.end);
        self.sql.push_str("\n) as items");
        self
    }

    /// The query that tells whether the items of a family may have changed, where there is one.
    pub(super) fn of_version(
        dialect: &Dialect,
        defined: &Defined,
        choices: &Choices,
    ) -> Result<Option<Self>, OriginError> {
        let Some(query) = defined.definition.version_query.as_deref() else {
            return Ok(None);
        };
        let value_of = |name: &str| value_for_items(defined, choices, name);
        Self::wrapping(dialect, "version_query", query, value_of).map(Some)
    }

    /// The query that tells when something of a family begins or ends next, where there is one.
    pub(super) fn of_next_change(
        dialect: &Dialect,
        defined: &Defined,
        choices: &Choices,
    ) -> Result<Option<Self>, OriginError> {
        let Some(query) = defined.definition.next_change_query.as_deref() else {
            return Ok(None);
        };
        let value_of = |name: &str| value_for_items(defined, choices, name);
        Self::wrapping(dialect, "next_change_query", query, value_of).map(Some)
    }

    /// Adds the order that is asked for. `by_itself` says whether a column's values sort by themselves as they must.
    pub(super) fn order(
        &mut self,
        dialect: &Dialect,
        read: &Read,
        by_itself: impl Fn(&str) -> Result<bool, OriginError>,
    ) -> Result<(), OriginError> {
        let ReadOrder::By(by) = &read.order else { return Ok(()) };
        let sorted = |column: &str| {
            let expression = column_of(dialect, column);
            Ok::<_, OriginError>(match by_itself(column)? {
                true => expression,
                false => (dialect.sorted)(&expression),
            })
        };
        self.sql.push_str("\norder by ");
        for sort in by {
            let column = column_of(dialect, sort.column.as_str());
            let descending = if sort.descending { " desc" } else { "" };
            let sorted = sorted(sort.column.as_str())?;
            self.sql.push_str(&match dialect.knows_nulls_last {
                true => format!("{sorted}{descending} nulls last, "),
                false => format!("{column} is null, {sorted}{descending}, "),
            });
        }
        self.sql.push_str(&sorted(read.defined.definition.id.as_str())?);
        Ok(())
    }

    /// The configuration's query alone.
    pub(super) fn query(&self) -> &str {
        &self.sql[self.query.clone()]
    }

    /// The same with other columns in the place of `*`, and its placeholders written anew, by their number.
    pub(super) fn with_placeholders(&self, columns: &str, write: impl Fn(usize) -> String) -> String {
        let mut sql = format!("select {columns}");
        let mut from = SELECT_ALL.len();
        for (number, place) in self.places.iter().enumerate() {
            sql.push_str(&self.sql[from..place.start]);
            sql.push_str(&write(number + 1));
            from = place.end;
        }
        sql.push_str(&self.sql[from..]);
        sql
    }

    /// A query that enumerates names: it takes no values.
    pub(super) fn of_names(dialect: &Dialect, query: &str) -> Result<Self, OriginError> {
        Self::wrapping(dialect, "names", query, |_| None)
    }

    /// `value_of` gives the value of a name, null for one that was not chosen, and nothing for one that does not exist.
    fn wrapping(
        dialect: &Dialect,
        key: &str,
        query: &str,
        value_of: impl Fn(&str) -> Option<Option<Arc<str>>>,
    ) -> Result<Self, OriginError> {
        let query = CutQuery::parse(dialect.lexis, query)
            .map_err(|error| OriginError::Misdeclared(format!("`{key}`: {error}")))?;
        let mut statement = Self {
            sql: format!("{SELECT_ALL} from (\n"),
            values: Vec::new(),
            places: Vec::new(),
            query: 0..0,
        };
        let start = statement.sql.len();
        for piece in query.pieces {
            match piece {
                QueryPiece::Sql(sql) => statement.sql.push_str(sql),
                QueryPiece::Value(name) => {
                    let value = value_of(name).ok_or_else(|| {
                        OriginError::Misdeclared(format!("`{key}`: `:{name}` stands for no value that is known there"))
                    })?;
                    statement.bind(dialect, value);
                }
                // From the configuration alone: no client can say what is pasted here.
                QueryPiece::Identifier(name) => match value_of(name) {
                    Some(Some(identifier)) if VariantProperty::is_identifier(&identifier) => {
                        statement.sql.push_str(&identifier)
                    }
                    Some(Some(other)) => {
                        return Err(OriginError::Misdeclared(format!(
                            "`{key}`: `{{{name}}}` is `{other}`, and an identifier has A-Z, a-z, 0-9, `_` and `.` only"
                        )));
                    }
                    _ => {
                        return Err(OriginError::Misdeclared(format!(
                            "`{key}`: `{{{name}}}` is no property of a variant"
                        )));
                    }
                },
            }
        }
        statement.query = start..statement.sql.len();
        // On a line of its own: the query may end in a comment.
        statement.sql.push_str("\n) as items");
        Ok(statement)
    }

    fn bind(&mut self, dialect: &Dialect, value: Option<Arc<str>>) {
        self.values.push(value);
        let start = self.sql.len();
        self.sql.push_str(&(dialect.placeholder)(self.values.len()));
        self.places.push(start..self.sql.len());
    }
}

pub(super) fn column_of(dialect: &Dialect, column: &str) -> String {
    let quote = dialect.identifier_quote;
    let doubled = column.replace(quote, &format!("{quote}{quote}"));
    format!("items.{quote}{doubled}{quote}")
}

fn parameter_of(defined: &Defined, name: &str) -> Option<Arc<str>> {
    let (_, value) = defined.parameters.iter().find(|(parameter, _)| **parameter == *name)?;
    Some(value.clone())
}

/// Parameters of the name, then variants with their properties; one that was not chosen is null.
fn value_for_items(defined: &Defined, choices: &Choices, name: &str) -> Option<Option<Arc<str>>> {
    let Definition { variants, .. } = &*defined.definition;
    if let Some(value) = parameter_of(defined, name) {
        return Some(Some(value));
    }
    if let Some((_, value)) = choices.iter().find(|(parameter, _)| **parameter == *name) {
        return Some(Some(value.clone()));
    }
    if name.contains('.') {
        let properties = defined.definition.properties(choices);
        let property = properties.into_iter().find(|(full, _)| **full == *name);
        return property.map(|(_, value)| Some(value));
    }
    let mut declared = variants.iter();
    declared.any(|variant| *variant.parameter == *name).then_some(None)
}
