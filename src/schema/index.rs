//! The indexes by partition, which a large number of partitions may want.

use crate::class::MAX_PARTITIONS;
use crate::database::Schema;
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// Keeps two from building at a time: each would wait for the other's snapshot, and one of the two indexes would fail.
/// Not waited for, because whoever waits has a snapshot as well.
const LOCK: &str = "(hashtext('evenfold index'), 'evenfold.events'::regclass::oid::int)";

/// An index of the log by partition: with it a worker reads its own events only, instead of filtering all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashIndex {
    /// For which number of partitions.
    pub total: u32,
    /// Whether it can be used.
    pub state: IndexState,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its name, quoted for SQL.
    name: String,
}

/// Whether an index can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    /// It is used.
    Ready,
    /// Somebody builds it.
    Building,
    /// It was not finished: it is kept up by every append, and never read.
    Failed,
}

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The number is not one of partitions, or is 1, which the log has an index for.
    #[error(
        "the number of partitions must be from 2 to {MAX_PARTITIONS}, and {0} is not: one partition reads the whole log"
    )]
    Total(u32),
    /// Somebody else is at it.
    #[error("an index of this log is being built or dropped by somebody else: wait until that is done, and try again")]
    Busy,
    /// The database's.
    #[error("{}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// The indexes that there are, by their numbers of partitions.
///
/// # Cancel safety
///
/// Reads only.
pub async fn indexes(schema: &Schema, conn: &mut PgConnection) -> Result<Vec<HashIndex>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(include_str!("indexes.sql"))).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let state = match (row.try_get(2)?, row.try_get(3)?) {
                (true, _) => IndexState::Ready,
                (false, true) => IndexState::Building,
                (false, false) => IndexState::Failed,
            };
            Ok(HashIndex {
                total: u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default(),
                state,
                bytes: row.try_get::<i64, _>(4)?.unsigned_abs(),
                name: row.try_get(1)?,
            })
        })
        .collect()
}

/// Builds the index for a number of partitions, without stopping who appends or reads; in place of one that was not
/// finished. Gives false if it was there. It waits for the transactions that are open when it begins, of everybody in
/// the database, and the connection must not be inside one.
///
/// # Errors
///
/// See [`IndexError`]. An index that was not finished is replaced by the next call.
///
/// # Cancel safety
///
/// PostgreSQL goes on building; close the connection.
pub async fn create_index(schema: &Schema, conn: &mut PgConnection, total: u32) -> Result<bool, IndexError> {
    lock(schema, conn, total).await?;
    let created = create(schema, conn, total).await;
    unlock(schema, conn).await?;
    Ok(created?)
}

/// Drops the index for a number of partitions, without stopping who appends or reads. Gives false if there was none.
///
/// # Errors
///
/// See [`IndexError`].
///
/// # Cancel safety
///
/// PostgreSQL goes on dropping; close the connection.
pub async fn drop_index(schema: &Schema, conn: &mut PgConnection, total: u32) -> Result<bool, IndexError> {
    lock(schema, conn, total).await?;
    let dropped = async {
        let found = find(schema, conn, total).await?;
        if let Some(index) = &found {
            drop_named(conn, &index.name).await?;
        }
        Ok::<_, sqlx::Error>(found.is_some())
    }
    .await;
    unlock(schema, conn).await?;
    Ok(dropped?)
}

async fn create(schema: &Schema, conn: &mut PgConnection, total: u32) -> Result<bool, sqlx::Error> {
    match find(schema, conn, total).await? {
        Some(index) if index.state == IndexState::Ready => return Ok(false),
        Some(index) => drop_named(conn, &index.name).await?,
        None => {}
    }
    // The expression of `Slice` in `src/log/window.rs`, which a worker's statement has with the same number.
    let statement = format!(
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS events_hash_{total}_idx ON evenfold.events ((hash % {total}), position)"
    );
    sqlx::raw_sql(schema.sql(statement)).execute(conn).await?;
    Ok(true)
}

async fn drop_named(conn: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX CONCURRENTLY {name}"))).execute(conn).await?;
    Ok(())
}

async fn find(schema: &Schema, conn: &mut PgConnection, total: u32) -> Result<Option<HashIndex>, sqlx::Error> {
    Ok(indexes(schema, conn).await?.into_iter().find(|index| index.total == total))
}

async fn lock(schema: &Schema, conn: &mut PgConnection, total: u32) -> Result<(), IndexError> {
    if !(2..=MAX_PARTITIONS).contains(&total) {
        return Err(IndexError::Total(total));
    }
    let statement = format!("SELECT pg_try_advisory_lock{LOCK}");
    if sqlx::query_scalar(schema.sql(statement)).fetch_one(conn).await? { Ok(()) } else { Err(IndexError::Busy) }
}

async fn unlock(schema: &Schema, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql(format!("SELECT pg_advisory_unlock{LOCK}"))).execute(conn).await?;
    Ok(())
}
