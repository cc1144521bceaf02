//! What may be run at all, before anything is: PostgreSQL's own EXPLAIN decides, which takes nothing but a statement
//! that reads or writes rows, and has the tables that it would write.

use crate::fault::offset;
use crate::file::{ProjectionFile, Statement};
use crate::tables::{owner, refused};
use evenfold::projection::RowsWritten;
use evenfold::{BoxError, Fatal};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::BTreeSet;
use std::fmt;

/// In front of a statement. A COMMIT, a change of the schema or of a setting, and a second statement are errors of
/// syntax behind it.
const EXPLAIN: &str = "EXPLAIN (FORMAT JSON, VERBOSE) ";

/// A table, by its schema and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) schema: String,
    pub(crate) name: String,
}

/// What statements do with tables, by their plans.
#[derive(Debug, Default)]
pub(crate) struct Explained {
    /// Tables that they only read, and that the projection does not own: when they are folded anew, these have other
    /// rows.
    pub(crate) read: BTreeSet<Table>,
}

/// Refuses statements that do something else than to write the projection's own tables. `batch` must be there, and the
/// tables.
pub(crate) async fn check(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    statements: &[Statement],
) -> Result<Explained, BoxError> {
    let (mut explained, of_batch) = (Explained::default(), of_batch(conn).await?);
    for statement in statements {
        let plan = explain(conn, file, statement).await?;
        let (mut written, mut read) = (Vec::new(), Vec::new());
        collect(&plan, &mut written, &mut read);
        if written.is_empty() {
            let sentence = "this writes no table: a projection inserts, updates or deletes";
            return Err(Box::new(Fatal(file.flaw(statement.at, sentence).to_string())));
        }
        for Written { operation, table } in written {
            let owner = owner(conn, &table.schema, &table.name).await?;
            if owner.as_ref() != Some(&file.name) {
                let does = match operation {
                    "Insert" => "insert into",
                    "Delete" => "delete from",
                    "Update" => "update",
                    _ => "write",
                };
                let sentence = format!("this would {does} {table}, {}", not_own(owner.as_deref()));
                return Err(Box::new(Fatal(file.flaw(statement.at, sentence).to_string())));
            }
        }
        for table in read {
            let is_own = owner(conn, &table.schema, &table.name).await?.as_ref() == Some(&file.name);
            if !is_own && !of_batch.contains(&table) {
                explained.read.insert(table);
            }
        }
    }
    Ok(explained)
}

/// The plan of a statement, or why it is none that can be run.
async fn explain(conn: &mut PgConnection, file: &ProjectionFile, statement: &Statement) -> Result<Value, BoxError> {
    let sql = format!("{EXPLAIN}{}", statement.sql);
    let planned = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *conn).await;
    match planned {
        // PostgreSQL sends the type json as the text that it is.
        Ok(row) => Ok(serde_json::from_str(row.try_get_unchecked::<&str, _>(0)?)?),
        Err(error) if offset(&error) == Some(EXPLAIN.len()) => Err(no_statement(file, statement)),
        Err(error) => Err(refused(file, statement, EXPLAIN.len(), error)),
    }
}

/// What `batch` is read from: that is not read by the statements.
async fn of_batch(conn: &mut PgConnection) -> Result<Vec<Table>, BoxError> {
    let sql = "EXPLAIN (FORMAT JSON, VERBOSE) TABLE pg_temp.batch";
    let explained = sqlx::query(sql).persistent(false).fetch_one(conn).await?;
    let plan = serde_json::from_str(explained.try_get_unchecked::<&str, _>(0)?)?;
    let mut read = Vec::new();
    collect(&plan, &mut Vec::new(), &mut read);
    Ok(read)
}

/// Whose a table is instead.
fn not_own(owner: Option<&str>) -> String {
    match owner {
        Some(other) => format!("which belongs to the projection {other}"),
        None => "which is no table of this file's -- create".to_owned(),
    }
}

impl Explained {
    /// What is to be known about what is read.
    pub(crate) fn warning(&self) -> Option<String> {
        let read: Vec<String> = self.read.iter().map(ToString::to_string).collect();
        let sentence = |read: &str| {
            format!("it also reads {read}, whose rows are others when the log is folded again: a rebuild may differ")
        };
        (!read.is_empty()).then(|| sentence(&read.join(", ")))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Refuses what has written other tables than the projection's own. For a body of PL/pgSQL, of which nobody knows
/// before what it will write.
pub(crate) async fn check_written(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    before: &RowsWritten,
) -> Result<(), BoxError> {
    for (schema, table) in before.since(conn).await? {
        let owner = owner(conn, &schema, &table).await?;
        if owner.as_ref() != Some(&file.name) {
            let sentence = format!(
                "{}: this has written {schema}.{table}, {}; nothing of that is kept",
                file.called,
                not_own(owner.as_deref())
            );
            return Err(Box::new(Fatal(sentence)));
        }
    }
    Ok(())
}

/// How often which tables of others were read in this transaction: also what functions read, and a body of PL/pgSQL.
const SCANNED: &str = "SELECT schemaname::text, relname::text, seq_scan + coalesce(idx_scan, 0)
    FROM pg_stat_xact_user_tables
    WHERE seq_scan + coalesce(idx_scan, 0) > 0 AND NOT starts_with(schemaname::text, 'pg_temp')";

/// What a transaction has read so far.
pub(crate) struct Scans(Vec<(String, String, i64)>);

pub(crate) async fn scans(conn: &mut PgConnection) -> Result<Scans, sqlx::Error> {
    sqlx::query_as(SCANNED).fetch_all(conn).await.map(Scans)
}

/// The tables that were read since, without the projection's own.
pub(crate) async fn read_since(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    before: &Scans,
) -> Result<Vec<Table>, sqlx::Error> {
    let Scans(now) = scans(conn).await?;
    let mut read = Vec::new();
    for (schema, name, _) in now.into_iter().filter(|row| !before.0.contains(row)) {
        if owner(conn, &schema, &name).await?.as_ref() != Some(&file.name) {
            read.push(Table { schema, name });
        }
    }
    Ok(read)
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
    table: Table,
}

/// Looks for what writes and for what reads, wherever in the plan it is: a WITH can write as well.
fn collect<'p>(plan: &'p Value, written: &mut Vec<Written<'p>>, read: &mut Vec<Table>) {
    match plan {
        Value::Array(all) => all.iter().for_each(|one| collect(one, written, read)),
        Value::Object(node) => {
            let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
            let table = Table { schema: text("Schema").to_owned(), name: text("Relation Name").to_owned() };
            if text("Node Type") == "ModifyTable" {
                written.push(Written { operation: text("Operation"), table });
            } else if !table.name.is_empty() {
                read.push(table);
            }
            node.values().for_each(|one| collect(one, written, read));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_is_written_or_read_is_found_in_a_plan() {
        let plan = serde_json::json!([{"Plan": {"Node Type": "ModifyTable", "Operation": "Insert", "Schema": "public",
            "Relation Name": "a", "Plans": [{"Node Type": "CTE Scan", "Plans": [{"Node Type": "ModifyTable",
            "Operation": "Delete", "Schema": "s", "Relation Name": "b",
            "Plans": [{"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "c"}]}]}]}}]);
        let (mut written, mut read) = (Vec::new(), Vec::new());
        collect(&plan, &mut written, &mut read);
        let all: Vec<_> = written.iter().map(|w| (w.operation, w.table.to_string())).collect();
        assert_eq!(all, [("Insert", "public.a".to_owned()), ("Delete", "s.b".to_owned())]);
        assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), ["s.c"]);
    }
}
