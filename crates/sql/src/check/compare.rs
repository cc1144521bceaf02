//! Comparing the tables of one fold with those of another.

use super::finding::Difference;
use super::outcome::TableRows;
use super::shadow::Shadow;
use crate::gate::Table;
use sqlx::{AssertSqlSafe, PgConnection};

/// So many rows that differ are shown of each side.
const SHOWN: usize = 3;

/// Rows as texts: whatever their types are, they can be compared and shown.
fn rows(table: &Table) -> String {
    format!("SELECT row_to_json(t)::text AS r FROM {} AS t", table.quoted())
}

/// The tables in which two folds differ.
pub(crate) async fn difference(
    conn: &mut PgConnection,
    one: &Shadow,
    other: &Shadow,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut differences = Vec::new();
    for (one, other) in one.tables.iter().zip(&other.tables) {
        let (first, shown_first) = only_in(conn, one, other).await?;
        let (second, shown_second) = only_in(conn, other, one).await?;
        if first + second > 0 {
            let table = one.name.clone();
            differences.push(Difference { table, first, second, shown_first, shown_second });
        }
    }
    Ok(differences)
}

/// How many rows only the first of two tables has, and some of them.
async fn only_in(conn: &mut PgConnection, one: &Table, other: &Table) -> Result<(i64, Vec<String>), sqlx::Error> {
    let sql = format!(
        "SELECT count(*), coalesce((array_agg(r ORDER BY r COLLATE \"C\"))[1:{SHOWN}], '{{}}')
         FROM ({} EXCEPT ALL {}) AS d",
        rows(one),
        rows(other)
    );
    sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_one(conn).await
}

/// The rows of a fold, by which one in another transaction can be compared with it: a hash of each.
pub(crate) async fn hashes(conn: &mut PgConnection, shadow: &Shadow) -> Result<Vec<Vec<i64>>, sqlx::Error> {
    let mut all = Vec::with_capacity(shadow.tables.len());
    for table in &shadow.tables {
        let sql = format!("SELECT coalesce(array_agg(hashtextextended(r, 0)), '{{}}') FROM ({}) AS t", rows(table));
        all.push(sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *conn).await?);
    }
    Ok(all)
}

/// The tables in which a fold differs from one of another transaction, of which only the hashes are there.
pub(crate) async fn difference_from(
    conn: &mut PgConnection,
    hashes: &[Vec<i64>],
    shadow: &Shadow,
) -> Result<Vec<Difference>, sqlx::Error> {
    let mut differences = Vec::new();
    for (table, hashes) in shadow.tables.iter().zip(hashes) {
        let sql = format!(
            "WITH now AS MATERIALIZED (SELECT r, hashtextextended(r, 0) AS h FROM ({}) AS t),
                  before AS MATERIALIZED (SELECT unnest($1::bigint[]) AS h),
                  new AS MATERIALIZED (SELECT h FROM now EXCEPT ALL SELECT h FROM before)
             SELECT (SELECT count(*) FROM (SELECT h FROM before EXCEPT ALL SELECT h FROM now) AS gone),
                    (SELECT count(*) FROM new),
                    coalesce((SELECT (array_agg(r ORDER BY r COLLATE \"C\"))[1:{SHOWN}] FROM now
                              WHERE h IN (SELECT h FROM new)), '{{}}')",
            rows(table)
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).persistent(false).bind(hashes);
        let (first, second, shown_second): (i64, i64, Vec<String>) = query.fetch_one(&mut *conn).await?;
        if first + second > 0 {
            let (table, shown_first) = (table.name.clone(), Vec::new());
            differences.push(Difference { table, first, second, shown_first, shown_second });
        }
    }
    Ok(differences)
}

/// How many rows there are, one of them, and the columns that are NULL in all.
pub(crate) async fn look_at(conn: &mut PgConnection, shadow: &Shadow) -> Result<Vec<TableRows>, sqlx::Error> {
    let mut all = Vec::with_capacity(shadow.tables.len());
    for table in &shadow.tables {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND NOT attnotnull ORDER BY attnum",
        )
        .bind(table.quoted())
        .fetch_all(&mut *conn)
        .await?;
        let counts: Vec<String> =
            columns.iter().map(|name| format!(", count(\"{}\")", name.replace('"', "\"\""))).collect();
        let counts = counts.concat();
        let sql = format!(
            "SELECT count(*), (SELECT min(r COLLATE \"C\") FROM ({}) AS t), ARRAY[0{counts}]::bigint[] FROM {}",
            rows(table),
            table.quoted()
        );
        let (rows, example, counts): (i64, Option<String>, Vec<i64>) =
            sqlx::query_as(AssertSqlSafe(sql)).persistent(false).fetch_one(&mut *conn).await?;
        let is_null = |(name, count): (String, &i64)| (rows > 0 && *count == 0).then_some(name);
        let always_null = columns.into_iter().zip(&counts[1..]).filter_map(is_null).collect();
        all.push(TableRows { table: table.name.clone(), rows, example, always_null });
    }
    Ok(all)
}
