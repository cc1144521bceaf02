//! The tables of a projection: they are made by its file, and marked as its own.

use crate::fault::{Fault, message, offset};
use crate::file::{ProjectionFile, Statement};
use evenfold::projection::{TablesBefore, mark_tables, owner_in_comment, table_owner};
use evenfold::{BoxError, Fatal};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, PgConnection};

/// What is wrong with a table that was made, if anything is.
const MADE: &str = "
    SELECT c.relnamespace = current_schema()::regnamespace,
        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
        EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.condeferred),
        (SELECT min(a.attname::text) FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = c.oid AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'))
    FROM pg_class c WHERE c.oid = $1::regclass";

/// A table as it was made.
type Made = (bool, bool, bool, Option<String>);

/// A relation of that name is there already.
const DUPLICATE: &str = "42P07";

/// Makes them.
pub(crate) async fn create(conn: &mut PgConnection, file: &ProjectionFile) -> Result<(), BoxError> {
    let before = TablesBefore::now(&mut *conn).await?;
    sqlx::raw_sql("SAVEPOINT evenfold_create").execute(&mut *conn).await?;
    for statement in &file.create {
        let query = sqlx::query(AssertSqlSafe(statement.sql.clone())).persistent(false);
        if let Err(error) = query.execute(&mut *conn).await {
            if error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == DUPLICATE) {
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT evenfold_create").execute(&mut *conn).await?;
                if let Some(sentence) = taken(conn, statement).await? {
                    return Err(Box::new(Fatal(file.flaw(statement.at, sentence).to_string())));
                }
            }
            return Err(refused(file, statement, 0, error));
        }
    }
    sqlx::raw_sql("RELEASE SAVEPOINT evenfold_create").execute(&mut *conn).await?;
    let made = before.made_since(&mut *conn).await?;
    if made.is_empty() {
        let sentence = format!("{}: no table is made: begin with -- create and a CREATE TABLE", file.called);
        return Err(Box::new(Fatal(sentence)));
    }
    for table in &made {
        let (in_place, has_key, is_deferred, numbered): Made =
            sqlx::query_as(MADE).bind(table).fetch_one(&mut *conn).await?;
        let why = if !in_place {
            "is not in the first schema of the search_path: leave the schema out of its name"
        } else if !has_key {
            "has no primary key: its rows can't be compared or replaced one by one"
        } else if is_deferred {
            "has a deferred constraint: it would fail when no event can be blamed any more; check it at once"
        } else if numbered.is_some() {
            "has numbers that the database hands out: a rebuild would hand out others; position and event_id stay"
        } else {
            continue;
        };
        return Err(Box::new(Fatal(format!("{}: the table {table} {why}", file.called))));
    }
    // Here, since the statements are checked before the projection is begun.
    mark_tables(conn, &file.name, &made).await?;
    Ok(())
}

/// The projection that has made a table, if one has.
pub(crate) async fn owner(conn: &mut PgConnection, schema: &str, table: &str) -> Result<Option<String>, sqlx::Error> {
    let quoted: String = sqlx::query_scalar("SELECT format('%I.%I', $1::text, $2::text)")
        .bind(schema)
        .bind(table)
        .fetch_one(&mut *conn)
        .await?;
    table_owner(conn, &quoted).await
}

/// What is there already under a name that a statement of `-- create` has. The statement has failed, and was undone.
async fn taken(conn: &mut PgConnection, statement: &Statement) -> Result<Option<String>, sqlx::Error> {
    let sql = "SELECT c.relname::text, obj_description(c.oid, 'pg_class') FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1";
    let tables: Vec<(String, Option<String>)> = sqlx::query_as(sql).fetch_all(conn).await?;
    let is_named = |name: &String| statement.sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == name);
    let owned = |(name, comment): (String, Option<String>)| {
        let owner = comment.as_deref().and_then(owner_in_comment)?;
        let sentence = format!("the table {name} belongs to the projection {owner}: choose another name for it");
        is_named(&name).then_some(sentence)
    };
    Ok(tables.into_iter().find_map(owned))
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
