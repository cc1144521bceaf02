//! What the session is set to while the statements of a projection run.

use sqlx::{AssertSqlSafe, PgConnection, Row};

/// A worker's session plans for the log alone: a join of a batch with itself would not end. These are PostgreSQL's
/// defaults, but for the walk of a whole table, which stays as unattractive as the worker has it: a read model that was
/// never analyzed looks small.
const SETTINGS: [(&str, &str); 6] = [
    ("enable_sort", "on"),
    ("enable_hashjoin", "on"),
    ("enable_mergejoin", "on"),
    ("seq_page_cost", "1"),
    ("random_page_cost", "4"),
    ("plan_cache_mode", "auto"),
];

/// What it was set to before.
pub(crate) struct Before(Vec<String>);

/// Begins the part of the transaction that can be undone.
pub(crate) async fn begin(conn: &mut PgConnection) -> Result<Before, sqlx::Error> {
    let read = SETTINGS.map(|(name, _)| format!("current_setting('{name}')")).join(", ");
    let set = SETTINGS.map(|(name, value)| format!("set_config('{name}', '{value}', true)")).join(", ");
    // The columns are evaluated in their order.
    let sql = format!("SELECT {read}, {set}");
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut *conn).await?;
    let before = (0..SETTINGS.len()).map(|index| row.try_get(index)).collect::<Result<_, _>>()?;
    sqlx::raw_sql("SAVEPOINT evenfold_sql").execute(conn).await?;
    Ok(Before(before))
}

/// Undoes what was done since [`begin`], whose settings stay.
pub(crate) async fn undo(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK TO SAVEPOINT evenfold_sql").execute(conn).await.map(drop)
}

/// Ends it, and sets everything back.
pub(crate) async fn end(conn: &mut PgConnection, Before(before): Before) -> Result<(), sqlx::Error> {
    let set = SETTINGS.iter().zip(before).map(|((name, _), value)| format!("set_config('{name}', '{value}', true)"));
    let sql = format!("RELEASE SAVEPOINT evenfold_sql; SELECT {}", set.collect::<Vec<_>>().join(", "));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}
