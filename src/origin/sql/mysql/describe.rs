//! The columns of a statement, described before it runs, and compared with its first row.

use sqlx::{
    AssertSqlSafe, Column as _, Connection, Executor, Row, SqlSafeStr, Statement as _,
    mysql::{MySqlColumn, MySqlRow, MySqlStatement},
};

use super::values::MysqlKind;
use crate::origin::sql::{
    failure::SqlFailure,
    server::{self, Column},
    session::SqlSession,
    statement::Statement,
};

type Described = server::Described<MysqlKind>;

/// Asks the server, or the connection, where it keeps the statement.
pub(super) async fn describe(
    session: &mut SqlSession<sqlx::MySql>,
    statement: &Statement,
    is_mariadb: bool,
) -> Result<Described, SqlFailure> {
    let (prepared, kept) = prepare(session, &statement.sql).await?;
    let mut described = Described {
        columns: columns_of(prepared.columns()),
        kept,
        ranked: Vec::new(),
        types: Vec::new(),
    };
    if is_mariadb
        && described
            .columns
            .iter()
            .any(|column| column.kind == MysqlKind::BinaryText)
    {
        find_json(session, statement, &mut described).await?;
    }
    Ok(described)
}

/// The row's own columns decide. They differ if a table has changed since the statement was described.
pub(super) fn compare_with(row: &MySqlRow, described: &mut Described) -> Result<(), SqlFailure> {
    let found = columns_of(row.columns());
    let names = |columns: &[Column<MysqlKind>]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    if names(&found) != names(&described.columns) {
        return Err(SqlFailure::outdated());
    }
    for (column, found) in described.columns.iter_mut().zip(found) {
        match (column.kind, found.kind) {
            (MysqlKind::Json, MysqlKind::BinaryText) => {}
            (MysqlKind::Unknown, kind) => column.kind = kind,
            (described, found) if described == found => {}
            _ if described.kept => return Err(SqlFailure::outdated()),
            (_, kind) => column.kind = kind,
        }
    }
    Ok(())
}

fn columns_of(columns: &[MySqlColumn]) -> Vec<Column<MysqlKind>> {
    let columns = columns.iter().map(|column| Column {
        name: column.name().into(),
        kind: MysqlKind::of(column.type_info()),
    });
    columns.collect()
}

/// A prepared statement, and whether it was kept from an earlier read.
async fn prepare(session: &mut SqlSession<sqlx::MySql>, sql: &str) -> Result<(MySqlStatement, bool), SqlFailure> {
    let connection = session.connection()?;
    let before = connection.cached_statements_size();
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    let prepared = connection.prepare(sql).await.map_err(SqlFailure::of_mysql)?;
    Ok((prepared, connection.cached_statements_size() == before))
}

/// To MariaDB a column declared `JSON` is a long text with a constraint. Of which table it is, only the query by itself
/// tells: of a subquery's columns the server says that they are the subquery's.
async fn find_json(
    session: &mut SqlSession<sqlx::MySql>,
    statement: &Statement,
    described: &mut Described,
) -> Result<(), SqlFailure> {
    let (prepared, kept) = prepare(session, statement.query()).await?;
    described.kept |= kept;
    for column in described
        .columns
        .iter_mut()
        .filter(|column| column.kind == MysqlKind::BinaryText)
    {
        let by_name = |found: &&MySqlColumn| found.name() == &*column.name;
        let Some(found) = prepared.columns().iter().find(by_name) else {
            return Err(SqlFailure::outdated());
        };
        if must_be_json(session, found).await? {
            column.kind = MysqlKind::Json;
        }
    }
    Ok(())
}

async fn must_be_json(session: &mut SqlSession<sqlx::MySql>, column: &MySqlColumn) -> Result<bool, SqlFailure> {
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
    .map_err(SqlFailure::of_mysql)?;
    Ok(constraints > 0)
}
