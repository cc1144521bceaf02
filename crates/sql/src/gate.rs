//! What may be run at all, before anything is: PostgreSQL's own EXPLAIN decides, which takes nothing but a statement
//! that reads or writes rows, and has the tables that it would write.

use crate::fault::offset;
use crate::file::{ProjectionFile, Statement};
use crate::tables::{is_own, refused};
use evenfold::{BoxError, Fatal};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// In front of a statement. A COMMIT, a change of the schema or of a setting, and a second statement are errors of
/// syntax behind it.
const EXPLAIN: &str = "EXPLAIN (FORMAT JSON, VERBOSE) ";

/// Refuses statements that do something else than to write the projection's own tables. `batch` must be there, and the
/// tables.
pub(crate) async fn check(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    statements: &[Statement],
) -> Result<(), BoxError> {
    for statement in statements {
        let sql = format!("{EXPLAIN}{}", statement.sql);
        let explained = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *conn).await;
        let plan = match explained {
            // PostgreSQL sends the type json as the text that it is.
            Ok(row) => serde_json::from_str(row.try_get_unchecked::<&str, _>(0)?)?,
            Err(error) if offset(&error) == Some(EXPLAIN.len()) => return Err(no_statement(file, statement)),
            Err(error) => return Err(refused(file, statement, EXPLAIN.len(), error)),
        };
        let mut written = Vec::new();
        collect(&plan, &mut written);
        if written.is_empty() {
            let sentence = "this writes no table: a projection inserts, updates or deletes";
            return Err(Box::new(Fatal(file.flaw(statement.at, sentence).to_string())));
        }
        for Written { operation, schema, table } in written {
            if !is_own(conn, &file.name, schema, table).await? {
                let does = match operation {
                    "Insert" => "insert into",
                    "Delete" => "delete from",
                    "Update" => "update",
                    _ => "write",
                };
                let sentence =
                    format!("this would {does} {schema}.{table}, which is no table of this file's -- create");
                return Err(Box::new(Fatal(file.flaw(statement.at, sentence).to_string())));
            }
        }
    }
    Ok(())
}

/// How many rows of which tables this transaction has written: also what functions and triggers do is counted. What was
/// written before in the session may be counted as well, so that only the difference of two counts means something.
const WRITTEN: &str = "SELECT schemaname::text, relname::text, n_tup_ins + n_tup_upd + n_tup_del
    FROM pg_stat_xact_user_tables
    WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND NOT starts_with(schemaname::text, 'pg_temp')";

/// What a transaction has written so far.
pub(crate) struct Rows(Vec<(String, String, i64)>);

pub(crate) async fn rows(conn: &mut PgConnection) -> Result<Rows, sqlx::Error> {
    sqlx::query_as(WRITTEN).fetch_all(conn).await.map(Rows)
}

/// Refuses what has written other tables than the projection's own. For a body of PL/pgSQL, of which nobody knows
/// before what it will write.
pub(crate) async fn check_written(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    before: &Rows,
) -> Result<(), BoxError> {
    let Rows(now) = rows(conn).await?;
    for row in now.iter().filter(|row| !before.0.contains(row)) {
        let (schema, table, _) = row;
        if !is_own(conn, &file.name, schema, table).await? {
            let sentence = format!(
                "{}: this has written {schema}.{table}, which is no table of its -- create; nothing of that is kept",
                file.called
            );
            return Err(Box::new(Fatal(sentence)));
        }
    }
    Ok(())
}

fn no_statement(file: &ProjectionFile, statement: &Statement) -> BoxError {
    let word = statement.sql.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let sentence = format!(
        "{word} is no INSERT, UPDATE, DELETE or MERGE: a projection writes its tables, and leaves transactions, settings \
         and the schema to evenfold"
    );
    Box::new(Fatal(file.flaw(statement.at, sentence).to_string()))
}

/// A table that a statement would write.
#[derive(Debug, PartialEq, Eq)]
struct Written<'p> {
    operation: &'p str,
    schema: &'p str,
    table: &'p str,
}

/// Looks for what writes, wherever in the plan it is: a WITH can write as well.
fn collect<'p>(plan: &'p Value, into: &mut Vec<Written<'p>>) {
    match plan {
        Value::Array(all) => all.iter().for_each(|one| collect(one, into)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("Node Type") == "ModifyTable" {
                into.push(Written {
                    operation: text("Operation"),
                    schema: text("Schema"),
                    table: text("Relation Name"),
                });
            }
            node.values().for_each(|one| collect(one, into));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_is_written_is_found_in_a_plan() {
        let plan = serde_json::json!([{"Plan": {"Node Type": "ModifyTable", "Operation": "Insert", "Schema": "public",
            "Relation Name": "a", "Plans": [{"Node Type": "CTE Scan", "Plans": [{"Node Type": "ModifyTable",
            "Operation": "Delete", "Schema": "s", "Relation Name": "b"}]}]}}]);
        let mut written = Vec::new();
        collect(&plan, &mut written);
        let all: Vec<_> = written.iter().map(|w| (w.operation, w.schema, w.table)).collect();
        assert_eq!(all, [("Insert", "public", "a"), ("Delete", "s", "b")]);
    }
}
