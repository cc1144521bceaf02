//! Comparing the tables in use with their shadows, row by row, both ways.

use super::tables::Shadow;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// Which of the two has a row that the other has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The log makes it, and the read model has it not.
    Log,
    /// The read model has it, and the log does not make it.
    ReadModel,
}

/// A row that is on one side only.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DifferingRow {
    /// Which side has it.
    pub side: Side,
    /// How many times more than the other.
    pub times: i64,
    /// The row, as JSON.
    pub row: String,
}

/// What a comparison of one table has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableOutcome {
    /// Its rows were compared.
    Compared {
        /// How many rows it has.
        rows: i64,
        /// How many rows the log makes that it has not.
        missing: i64,
        /// How many rows it has that the log does not make.
        extra: i64,
        /// The first of both.
        differing: Vec<DifferingRow>,
    },
    /// There is no such table.
    NotThere,
    /// It has other columns than `create` makes.
    OtherColumns {
        /// Those that it has not.
        missing: Vec<String>,
        /// Those that `create` does not make.
        extra: Vec<String>,
    },
}

/// A table of a projection, and what its comparison has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTable {
    /// Its name, without a schema.
    pub name: String,
    /// What was found.
    pub outcome: TableOutcome,
}

impl VerifiedTable {
    /// Whether the table is what the log makes of it.
    #[must_use]
    pub fn agrees(&self) -> bool {
        matches!(self.outcome, TableOutcome::Compared { missing: 0, extra: 0, .. })
    }
}

/// A table in use.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) name: String,
    /// With its schema, as SQL has it; none if it is not there.
    pub(super) quoted: Option<String>,
}

/// The table of this name as the transaction's snapshot has it, and whether it is still that table, with that file.
const RESOLVE: &str = "
    SELECT format('%I.%I', n.nspname, c.relname),
        c.oid = to_regclass(format('%I.%I', n.nspname, c.relname)) AND c.relfilenode = coalesce(pg_relation_filenode(c.oid), 0)
    FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, place)
    JOIN pg_namespace n ON n.nspname = s.name
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $1 AND c.relkind IN ('r', 'p')
    ORDER BY place LIMIT 1";

/// The table of this name that the `search_path` leads to: its schema, and its name with it, as SQL has them.
pub(super) async fn resolve(conn: &mut PgConnection, name: &str) -> Result<Option<(String, String)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT quote_ident(n.nspname), format('%I.%I', n.nspname, c.relname)
         FROM unnest(current_schemas(false)) WITH ORDINALITY AS s (name, place)
         JOIN pg_namespace n ON n.nspname = s.name
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $1 AND c.relkind IN ('r', 'p')
         ORDER BY place LIMIT 1",
    )
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// Finds the tables in use by the `search_path`, and keeps them from being replaced until the transaction ends. None
/// if one was replaced or emptied since the transaction's snapshot: what it has now is in no row of that.
pub(super) async fn in_use(conn: &mut PgConnection, names: &[String]) -> Result<Option<Vec<InUse>>, sqlx::Error> {
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let resolve = sqlx::query_as(RESOLVE).bind(name);
        let resolved: Option<(String, Option<bool>)> = resolve.fetch_optional(&mut *conn).await?;
        let quoted = match resolved {
            None => None,
            Some((quoted, _)) => {
                let lock = format!("LOCK TABLE {quoted} IN ACCESS SHARE MODE");
                match sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *conn).await {
                    Err(error) if is_gone(&error) => return Ok(None),
                    done => done?,
                };
                // Looked at again, now that it stays.
                let now = sqlx::query_as(RESOLVE).bind(name).fetch_optional(&mut *conn).await?;
                if !matches!(now, Some((_, Some(true))) if now == Some((quoted.clone(), Some(true)))) {
                    return Ok(None);
                }
                Some(quoted)
            }
        };
        all.push(InUse { name: name.clone(), quoted });
    }
    Ok(Some(all))
}

/// Whether there is no such table any more: `undefined_table`.
fn is_gone(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("42P01"))
}

/// Columns as SQL has them, in their order.
pub(super) async fn columns(conn: &mut PgConnection, quoted: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute
         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(quoted)
    .fetch_all(conn)
    .await
}

/// Compares one table with its shadow: at most `limit` rows are listed. By their texts as JSON, because not every type
/// can be compared; both ways at once, since a row counts for one side and against the other.
pub(super) async fn compare(
    conn: &mut PgConnection,
    shadow: &Shadow,
    table: InUse,
    limit: u32,
) -> Result<VerifiedTable, sqlx::Error> {
    let InUse { name, quoted } = table;
    let Some(quoted) = quoted else { return Ok(VerifiedTable { name, outcome: TableOutcome::NotThere }) };
    let of_shadow: String = sqlx::query_scalar("SELECT $1 || '.' || quote_ident($2)")
        .bind(&shadow.quoted)
        .bind(&name)
        .fetch_one(&mut *conn)
        .await?;
    let (made, there) = (columns(conn, &of_shadow).await?, columns(conn, &quoted).await?);
    let without = |all: &[String], others: &[String]| -> Vec<String> {
        all.iter().filter(|one| !others.contains(one)).cloned().collect()
    };
    let (missing, extra) = (without(&made, &there), without(&there, &made));
    if !missing.is_empty() || !extra.is_empty() {
        return Ok(VerifiedTable { name, outcome: TableOutcome::OtherColumns { missing, extra } });
    }
    let columns = made.join(", ");
    // A name that no column has: a column would be meant before its table.
    let statement = format!(
        "WITH sides AS (
             SELECT row_to_json(evenfold_row)::text AS line, 1 AS side FROM (SELECT {columns} FROM {of_shadow}) AS evenfold_row
             UNION ALL
             SELECT row_to_json(evenfold_row)::text, -1 FROM (SELECT {columns} FROM {quoted}) AS evenfold_row
         ), differing AS MATERIALIZED (
             SELECT line, sum(side) AS times FROM sides GROUP BY line HAVING sum(side) <> 0
         )
         (SELECT NULL AS line, coalesce(sum(times) FILTER (WHERE times > 0), 0)::bigint,
              coalesce(-sum(times) FILTER (WHERE times < 0), 0)::bigint FROM differing)
         UNION ALL
         (SELECT line, times::bigint, 0 FROM differing ORDER BY line COLLATE \"C\" LIMIT $1)"
    );
    let rows =
        sqlx::query(AssertSqlSafe(statement)).persistent(false).bind(i64::from(limit)).fetch_all(&mut *conn).await?;
    let (mut missing, mut extra, mut differing) = (0, 0, Vec::new());
    for row in rows {
        let (line, times): (Option<String>, i64) = (row.try_get(0)?, row.try_get(1)?);
        match line {
            None => (missing, extra) = (times, row.try_get(2)?),
            Some(row) => {
                let side = if times > 0 { Side::Log } else { Side::ReadModel };
                differing.push(DifferingRow { side, times: times.abs(), row });
            }
        }
    }
    let rows = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {quoted}"))).fetch_one(conn).await?;
    Ok(VerifiedTable { name, outcome: TableOutcome::Compared { rows, missing, extra, differing } })
}
