//! The tables of a projection: they are made by its file, and marked as its own.

use crate::fault::{Fault, message, offset};
use crate::file::{ProjectionFile, Statement};
use evenfold::{BoxError, Fatal};
use sqlx::{AssertSqlSafe, PgConnection};

/// Which tables there are, and which of them are this transaction's own: nobody else has them locked.
const THERE: &str = "SELECT oid::bigint FROM pg_class WHERE relkind IN ('r', 'p')";
const MADE: &str = "
    SELECT c.oid::regclass::text, c.relnamespace = current_schema()::regnamespace,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
        EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.condeferred),
        (SELECT min(a.attname::text) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = c.oid AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')),
        obj_description(c.oid, 'pg_class')
    FROM pg_class c
    WHERE c.relkind IN ('r', 'p') AND NOT c.oid::bigint = ANY ($1) AND NOT c.relispartition
      AND EXISTS (SELECT FROM pg_locks l WHERE l.relation = c.oid AND l.pid = pg_backend_pid()
                  AND l.mode = 'AccessExclusiveLock' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    ORDER BY 1";

/// A table as it was made.
type Made = (String, bool, bool, bool, Option<String>, Option<String>);

/// The last line of a table's comment: this is how a later worker knows whose it is.
fn mark(projection: &str) -> String {
    format!("Read model of the projection {projection} of evenfold")
}

/// Makes them.
pub(crate) async fn create(conn: &mut PgConnection, file: &ProjectionFile) -> Result<(), BoxError> {
    let there: Vec<i64> = sqlx::query_scalar(THERE).fetch_all(&mut *conn).await?;
    for statement in &file.create {
        let query = sqlx::query(AssertSqlSafe(statement.sql.clone())).persistent(false);
        if let Err(error) = query.execute(&mut *conn).await {
            return Err(refused(file, statement, 0, error));
        }
    }
    let made: Vec<Made> = sqlx::query_as(MADE).bind(&there).fetch_all(&mut *conn).await?;
    if made.is_empty() {
        let sentence = format!("{}: no table is made: begin with -- create and a CREATE TABLE", file.called);
        return Err(Box::new(Fatal(sentence)));
    }
    for (table, in_place, has_key, is_deferred, numbered, comment) in made {
        let why = if !in_place {
            "is not in the first schema of the search_path: leave the schema out of its name"
        } else if !has_key {
            "has no primary key: its rows can't be compared or replaced one by one"
        } else if is_deferred {
            "has a deferred constraint: it would fail when no event can be blamed any more; check it at once"
        } else if numbered.is_some() {
            "has numbers that the database hands out: a rebuild would hand out others; position and event_id stay"
        } else {
            let comment = comment.map_or_else(String::new, |comment| format!("{comment}\n"));
            let text = format!("{comment}{}", mark(&file.name)).replace('\'', "''");
            sqlx::raw_sql(AssertSqlSafe(format!("COMMENT ON TABLE {table} IS '{text}'"))).execute(&mut *conn).await?;
            continue;
        };
        return Err(Box::new(Fatal(format!("{}: the table {table} {why}", file.called))));
    }
    Ok(())
}

/// Whether a table is one that the projection has made.
pub(crate) async fn is_own(
    conn: &mut PgConnection,
    projection: &str,
    schema: &str,
    table: &str,
) -> Result<bool, sqlx::Error> {
    let comment: Option<String> =
        sqlx::query_scalar("SELECT obj_description(to_regclass(format('%I.%I', $1::text, $2::text)), 'pg_class')")
            .bind(schema)
            .bind(table)
            .fetch_one(conn)
            .await?;
    Ok(comment.is_some_and(|comment| comment.lines().next_back() == Some(mark(projection).as_str())))
}

/// What a statement's error means to a worker: it ends with a sentence and the place, unless the error passes.
/// `before` is how many characters were sent in front of the statement.
pub(crate) fn refused(file: &ProjectionFile, statement: &Statement, before: usize, error: sqlx::Error) -> BoxError {
    if Fault::of(&error) == Fault::Nobody {
        return Box::new(error);
    }
    let characters = offset(&error).and_then(|offset| offset.checked_sub(before)).unwrap_or(0);
    let bytes = statement.sql.char_indices().nth(characters).map_or(statement.sql.len(), |(at, _)| at);
    Box::new(Fatal(file.flaw(statement.at + bytes, message(&error)).to_string()))
}
