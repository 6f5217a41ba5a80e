//! What a statement's columns hold, asked before it runs.

use sqlx::{AssertSqlSafe, Column as _, Executor, SqlSafeStr, Statement as _, mysql::MySqlColumn};

use super::{Described, failure, values::Kind};
use crate::origin::sql::{failure::Failure, server::Column, session::Session, statement::Statement};

/// Asks the server.
pub(super) async fn describe(
    session: &mut Session<sqlx::MySql>,
    statement: &Statement,
    is_mariadb: bool,
) -> Result<Described, Failure> {
    let prepared = session
        .connection()?
        .prepare(AssertSqlSafe(statement.sql.clone()).into_sql_str())
        .await
        .map_err(failure)?;
    let mut columns: Vec<Column<Kind>> = prepared
        .columns()
        .iter()
        .map(|column| Column {
            name: column.name().into(),
            kind: Kind::of(column.type_info()),
        })
        .collect();
    if is_mariadb && columns.iter().any(|column| column.kind == Kind::BinaryText) {
        find_json(session, statement, &mut columns).await?;
    }
    Ok(Described {
        columns,
        types: Vec::new(),
    })
}

/// To MariaDB a column declared `JSON` is a long text with a constraint. Of which table it is, only the query by itself
/// tells: of a subquery's columns the server says that they are the subquery's.
async fn find_json(
    session: &mut Session<sqlx::MySql>,
    statement: &Statement,
    columns: &mut [Column<Kind>],
) -> Result<(), Failure> {
    let prepared = session
        .connection()?
        .prepare(AssertSqlSafe(statement.query().to_owned()).into_sql_str())
        .await
        .map_err(failure)?;
    for (column, described) in columns.iter_mut().zip(prepared.columns()) {
        if column.kind == Kind::BinaryText && must_be_json(session, described).await? {
            column.kind = Kind::Json;
        }
    }
    Ok(())
}

async fn must_be_json(session: &mut Session<sqlx::MySql>, column: &MySqlColumn) -> Result<bool, Failure> {
    let origin = column.origin();
    let Some(origin) = origin.table_column() else {
        return Ok(false);
    };
    let (schema, table) = origin.table.split_once('.').unwrap_or(("", &origin.table));
    let constraints: i64 = sqlx::query_scalar(
        "select count(*) from information_schema.check_constraints
         where constraint_schema = ? and table_name = ? and constraint_name = ? and check_clause like 'json\\_valid(%'",
    )
    .bind(schema.to_owned())
    .bind(table.to_owned())
    .bind(origin.name.to_string())
    .fetch_one(session.connection()?)
    .await
    .map_err(failure)?;
    Ok(constraints > 0)
}
