//! Folding given events, and the rows that come of it: what a test of a projection compares.

use super::finding::Parked;
use super::fold::{Fold, Outcome};
use super::outcome::CheckError;
use super::sample::{Sample, load};
use super::shadow::{Shadow, Shadows, begin};
use crate::file::{Apply, ProjectionFile};
use crate::gate::{self, Table};
use evenfold::projection::RowsWritten;
use evenfold::{RecordedEvent, Schema};
use sqlx::{AssertSqlSafe, PgConnection};

/// What came of the events.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DryRun {
    /// How many of the events the file wants.
    pub events: usize,
    /// Those that can't be applied, each the first of its aggregate. What comes after them is not applied either.
    pub parked: Vec<Parked>,
    /// The tables that the file makes, in the order of their names.
    pub tables: Vec<String>,
    /// Their rows, in the order of their keys.
    pub rows: Vec<TableRow>,
    /// Rows that were expected, and are not there.
    pub missing: Vec<TableRow>,
    /// Rows that are there, and were not expected. Empty where nothing was expected.
    pub extra: Vec<TableRow>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// The table.
    pub table: String,
    /// JSON text: an object of the columns.
    pub row: String,
}

/// Which rows there must be: each with its table, or none of them where the file makes one table only.
#[derive(Debug, Clone)]
pub struct Expected(pub Vec<(Option<String>, String)>);

/// Folds events as one batch, in a transaction that is rolled back. It needs no log.
///
/// # Errors
///
/// Where the file can't be folded at all, or an expected row is of no table that it makes: see [`CheckError`].
///
/// # Cancel safety
///
/// What was done is rolled back.
pub async fn dry_run(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    events: Vec<RecordedEvent>,
    expected: Option<&Expected>,
) -> Result<DryRun, CheckError> {
    let mut tx = begin(conn).await?;
    let outcome = fold(&mut tx, file, events, expected).await;
    tx.rollback().await?;
    outcome
}

async fn fold(
    conn: &mut PgConnection,
    file: &ProjectionFile,
    events: Vec<RecordedEvent>,
    expected: Option<&Expected>,
) -> Result<DryRun, CheckError> {
    let (mut shadows, fold) = (Shadows::begin(conn).await?, Fold::new(file));
    // Of given events nothing is looked up in a log.
    let events = load(conn, &Schema::default(), file, &Sample::Given(events)).await?;
    let shadow = shadows.make(conn, file).await?;
    if let Apply::Statements(statements) = &file.apply {
        gate::check(conn, file, statements).await?;
    }
    let before = RowsWritten::now(conn).await?;
    let parked = match fold.apply(conn, &events.iter().collect::<Vec<_>>()).await? {
        Outcome::Applied(_) => Vec::new(),
        Outcome::Parked(parked) => parked,
        Outcome::Failed(sentence) => return Err(CheckError::Refused(sentence)),
    };
    gate::check_written(conn, file, &before).await?;
    let tables = shadow.tables.iter().map(|table| table.name.clone()).collect();
    let mut run = DryRun { events: events.len(), parked, tables, ..DryRun::default() };
    for table in &shadow.tables {
        run.rows.extend(rows(conn, table).await?);
    }
    if let Some(expected) = expected {
        compare(conn, &shadow, expected, &mut run).await?;
    }
    Ok(run)
}

/// In the order of the primary key, which each table has.
async fn rows(conn: &mut PgConnection, table: &Table) -> Result<Vec<TableRow>, sqlx::Error> {
    let key: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(a.attname) FROM pg_index i
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, nth)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = to_regclass($1) AND i.indisprimary ORDER BY k.nth",
    )
    .bind(table.quoted())
    .fetch_all(&mut *conn)
    .await?;
    let key: Vec<String> = key.into_iter().map(|column| format!("t.{column}")).collect();
    let sql = format!("SELECT row_to_json(t)::text FROM {} AS t ORDER BY {}", table.quoted(), key.join(", "));
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| TableRow { table: table.name.clone(), row }).collect())
}

/// As values of JSON: the order of the columns and the zeros behind a decimal point make no difference.
async fn compare(
    conn: &mut PgConnection,
    shadow: &Shadow,
    expected: &Expected,
    run: &mut DryRun,
) -> Result<(), CheckError> {
    let names = run.tables.join(", ");
    for (table, row) in &expected.0 {
        let sentence = match table {
            Some(table) if !run.tables.contains(table) => {
                format!("{table} is no table that the projection makes: {names}; expected is {row}")
            }
            None if run.tables.len() != 1 => {
                format!("the projection makes several tables, {names}, and nothing names the one that has {row}")
            }
            _ => continue,
        };
        return Err(CheckError::Refused(sentence));
    }
    for table in &shadow.tables {
        let of = |(name, _): &&(Option<String>, String)| name.as_ref().is_none_or(|name| *name == table.name);
        let expected: Vec<&str> = expected.0.iter().filter(of).map(|(_, row)| row.as_str()).collect();
        let is = format!("SELECT row_to_json(t)::jsonb AS r FROM {} AS t", table.quoted());
        let expects = "SELECT unnest($1::text[])::jsonb AS r";
        for (sql, into) in [
            (format!("{expects} EXCEPT ALL {is}"), &mut run.missing),
            (format!("{is} EXCEPT ALL {expects}"), &mut run.extra),
        ] {
            let sql = format!("SELECT r::text FROM ({sql}) AS d ORDER BY d.r");
            let query = sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).bind(&expected);
            let rows: Vec<String> = query.fetch_all(&mut *conn).await?;
            into.extend(rows.into_iter().map(|row| TableRow { table: table.name.clone(), row }));
        }
    }
    Ok(())
}
