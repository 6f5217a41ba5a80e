//! The values and columns of a statement, described before it runs.

use sqlx::{
    AssertSqlSafe, Column as _, Either, Executor, Row, SqlSafeStr, Statement as _,
    postgres::{PgTypeInfo, PgTypeKind},
};

use crate::origin::{
    OriginError,
    sql::{
        failure::SqlFailure,
        server::{self, Column},
        session::SqlSession,
        statement::{Dialect, Statement, column_of},
    },
};

type Described = server::Described<PostgresKind>;

/// The kinds of columns that are written differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostgresKind {
    Bool,
    Integer,
    Single,
    Real,
    Numeric,
    Text,
    /// `char(n)`: the spaces at its end mean nothing.
    Padded,
    Uuid,
    Json,
    Date,
    /// With or without a time zone; without one it is UTC.
    Moment,
    Bytes,
    /// An array or a composite value: written by `to_json`.
    Structured,
    /// A type with an order of its own, which is not that of its texts: sums of money, spans of time, ranges, addresses.
    Ordered,
    /// Any other: as the server writes it in text.
    Other,
}

/// Types with an order of their own, besides ranges: `cidr`, `macaddr8`, `money`, `macaddr`, `inet`, `interval`, `timetz`,
/// `bit`, `varbit`, `pg_lsn`, and the multiranges.
const ORDERED: [u32; 16] = [
    650, 774, 790, 829, 869, 1186, 1266, 1560, 1562, 3220, 4451, 4532, 4533, 4534, 4535, 4536,
];

impl PostgresKind {
    fn of(type_info: &PgTypeInfo) -> Self {
        match type_info.oid().map(|oid| oid.0) {
            Some(16) => Self::Bool,
            Some(20 | 21 | 23) => Self::Integer,
            Some(700) => Self::Single,
            Some(701) => Self::Real,
            // An `oid` has no sign, so it is no `integer`.
            Some(26 | 1700) => Self::Numeric,
            Some(18 | 19 | 25 | 1043) => Self::Text,
            Some(1042) => Self::Padded,
            Some(2950) => Self::Uuid,
            Some(114 | 3802) => Self::Json,
            Some(1082) => Self::Date,
            Some(1114 | 1184) => Self::Moment,
            Some(17) => Self::Bytes,
            Some(oid) if ORDERED.contains(&oid) => Self::Ordered,
            _ => match type_info.kind() {
                PgTypeKind::Range(_) => Self::Ordered,
                PgTypeKind::Array(_) | PgTypeKind::Composite(_) => Self::Structured,
                // A column is of a domain's own type only where the server does not say so.
                PgTypeKind::Domain(base) => Self::of(base),
                _ => Self::Other,
            },
        }
    }
}

impl PostgresKind {
    /// Whether a value comes as the server holds it: so it costs least, and loses nothing.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Bool | Self::Integer | Self::Single | Self::Real)
    }
}

impl Column<PostgresKind> {
    /// Whether its values sort by themselves as the process sorts them; others are sorted as texts. An enum is one of
    /// these: by itself it sorts in the order of its declaration.
    pub(crate) fn sorts_by_itself(&self) -> Result<bool, OriginError> {
        match self.kind {
            PostgresKind::Bool
            | PostgresKind::Integer
            | PostgresKind::Single
            | PostgresKind::Real
            | PostgresKind::Numeric
            | PostgresKind::Uuid
            | PostgresKind::Date
            | PostgresKind::Moment
            | PostgresKind::Ordered => Ok(true),
            PostgresKind::Text
            | PostgresKind::Padded
            | PostgresKind::Json
            | PostgresKind::Bytes
            | PostgresKind::Other => Ok(false),
            PostgresKind::Structured => Err(OriginError::Misdeclared(format!(
                "nothing can be sorted by the column `{}`: it holds arrays or composite values",
                self.name
            ))),
        }
    }
}

/// Asks the server what a statement's columns and values are; the values whose numbers are in `undetermined` are texts.
pub(super) async fn describe(
    session: &mut SqlSession<sqlx::Postgres>,
    statement: &Statement,
    undetermined: &[usize],
) -> Result<Described, SqlFailure> {
    let sql = statement.with_placeholders("*", |number| match undetermined.contains(&number) {
        true => format!("cast(${number} as text)"),
        false => format!("${number}"),
    });
    let prepared = session
        .connection()?
        .prepare(AssertSqlSafe(sql).into_sql_str())
        .await
        .map_err(SqlFailure::of_postgres)?;
    let columns = prepared.columns().iter().map(|column| Column {
        name: column.name().into(),
        kind: PostgresKind::of(column.type_info()),
    });
    let columns = columns.collect();
    let mut types = Vec::new();
    if let Some(Either::Left(parameters)) = prepared.parameters() {
        for parameter in parameters {
            types.push(name_of(session, parameter).await?);
        }
    }
    Ok(Described {
        columns,
        kept: false,
        ranked: Vec::new(),
        types,
    })
}

/// How a type is written, schema and all; none for a text.
async fn name_of(
    session: &mut SqlSession<sqlx::Postgres>,
    type_info: &PgTypeInfo,
) -> Result<Option<String>, SqlFailure> {
    let Some(oid) = type_info.oid().map(|oid| oid.0) else {
        return Ok(None);
    };
    let known = match oid {
        18 | 19 | 25 | 1042 | 1043 | 705 => return Ok(None),
        16 => "boolean",
        20 => "bigint",
        21 => "smallint",
        23 => "integer",
        1700 => "numeric",
        2950 => "uuid",
        _ => "",
    };
    if !known.is_empty() {
        return Ok(Some(known.to_owned()));
    }
    let row = sqlx::raw_sql(AssertSqlSafe(format!("select format_type({oid}, null)")))
        .fetch_one(session.connection()?)
        .await
        .map_err(SqlFailure::of_postgres)?;
    let name = row.try_get_raw(0).map_err(SqlFailure::of_postgres)?;
    let name = name.as_str().map_err(OriginError::Unavailable)?;
    Ok(Some(name.to_owned()))
}

impl Described {
    /// A statement whose rows are items. A value that is no number is a text, as the server writes it; arrays and composite values
    /// are JSON.
    pub(crate) fn select_items(&self, statement: &Statement) -> String {
        let columns = self.columns.iter().map(|column| {
            let (of, name) = (
                column_of(&Dialect::POSTGRES, &column.name),
                column.name.replace('"', "\"\""),
            );
            let text = match column.kind {
                PostgresKind::Text => of,
                kind if kind.is_binary() => of,
                PostgresKind::Structured => format!("cast(to_json({of}) as text)"),
                // Some types have a form of their own when they are cast: an address gets the length of its network.
                PostgresKind::Ordered | PostgresKind::Other => {
                    format!("case when {of} is not null then format('%s', {of}) end")
                }
                _ => format!("cast({of} as text)"),
            };
            format!("{text} as \"{name}\"")
        });
        let ranks = self.ranked.iter().map(|(at, _)| {
            let of = column_of(&Dialect::POSTGRES, &self.columns[*at].name);
            format!("case when {of} is not null then dense_rank() over (order by {of}) end")
        });
        let columns: Vec<_> = columns.chain(ranks).collect();
        statement.with_placeholders(&columns.join(", "), |number| self.converted(number))
    }

    /// A statement whose values are texts, as a filter compares them. Its columns may have one name.
    pub(crate) fn select_texts(&self, statement: &Statement) -> String {
        let numbers = 1..=self.columns.len();
        let texts: Vec<_> = numbers
            .clone()
            .map(|at| format!("cast(items.\"{at}\" as text)"))
            .collect();
        let names: Vec<_> = numbers.map(|at| format!("\"{at}\"")).collect();
        let select = statement.with_placeholders(&texts.join(", "), |number| self.converted(number));
        // It ends in `as items`: nothing narrows or orders it.
        format!("{select}({})", names.join(", "))
    }

    /// Whether any value is anything but a text.
    pub(crate) fn converts(&self) -> bool {
        self.types.iter().any(Option::is_some)
    }

    /// A statement that does nothing but convert the values.
    pub(crate) fn conversions(&self) -> String {
        let converted: Vec<String> = (1..=self.types.len()).map(|number| self.converted(number)).collect();
        format!("select {}", converted.join(", "))
    }

    fn converted(&self, number: usize) -> String {
        match self.types.get(number - 1).and_then(Option::as_deref) {
            Some(name) => format!("cast(cast(${number} as text) as {name})"),
            None => format!("cast(${number} as text)"),
        }
    }
}

/// Which value the server could not find a type for: its message says so, whatever its language.
pub(super) fn parameter_in(error: &OriginError) -> Option<usize> {
    let OriginError::Misdeclared(message) = error else {
        return None;
    };
    let (_, rest) = message.split_once('$')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}
