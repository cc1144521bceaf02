//! What the database can do at best, to compare with.

use evenfold::counter::AmountPointer;
use evenfold::schema::Schema;
use futures_util::TryStreamExt;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

/// The columns that a worker reads, in its order. As binary, which costs the server no formatting, and to nowhere: no
/// reader of the log can be sent the same in less time.
const DRAIN: &str = "COPY (SELECT position, version, hash, aggregate_type, aggregate_id, event_type, payload
    FROM evenfold.events ORDER BY position) TO STDOUT (FORMAT binary)";

/// Reads the whole log, and does nothing with it.
pub async fn drain(own: &Schema, conn: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let started = Instant::now();
    let mut rows = conn.copy_out_raw(own.sql(DRAIN).as_str()).await?;
    while rows.try_next().await?.is_some() {}
    Ok(started.elapsed())
}

/// Folds the whole log by one statement, into a table like that of the counters, which is emptied before.
pub async fn fold(own: &Schema, conn: &mut PgConnection, pointer: &AmountPointer) -> Result<Duration, sqlx::Error> {
    sqlx::raw_sql(own.sql(
        "CREATE TABLE IF NOT EXISTS evenfold.folded (LIKE evenfold.counters INCLUDING ALL) WITH (fillfactor = 70);
         TRUNCATE evenfold.folded",
    ))
    .execute(&mut *conn)
    .await?;
    let started = Instant::now();
    sqlx::query(own.sql(
        "INSERT INTO evenfold.folded (aggregate_type, aggregate_id, events, value, version, last_position)
         SELECT aggregate_type, aggregate_id, count(*), sum(coalesce((payload #>> $1)::bigint, 1)), max(version),
             max(position)
         FROM evenfold.events GROUP BY aggregate_type, aggregate_id",
    ))
    .bind(pointer.parts())
    .execute(conn)
    .await?;
    Ok(started.elapsed())
}
