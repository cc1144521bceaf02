//! Putting what a second projection has folded in the place of what the first one has: as far as checkpoints, parked
//! events and the definition go. The rows of the read model are the caller's, in the same transaction.

use super::definition::classes;
use super::operator::replace_all;
use super::readers::replace_reader;
use super::store::start_over;
use super::topology::total_partitions;
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use sqlx::PgConnection;

/// Whether the projection has checkpoints that stand for every hash, exactly once.
pub(crate) async fn is_whole(schema: &Schema, conn: &mut PgConnection, projection: &str) -> Result<bool, sqlx::Error> {
    let classes = classes(schema, conn, projection).await?;
    Ok(is_exact_cover(class(0, 1)?, &classes))
}

fn class(key: u32, total: u32) -> Result<Class, sqlx::Error> {
    Class::partition(key, total).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// What operators have dropped of one projection stays dropped for the other.
///
/// # Cancel safety
///
/// One statement.
pub(crate) async fn copy_dropped(
    schema: &Schema,
    conn: &mut PgConnection,
    from: &str,
    to: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        schema.sql("INSERT INTO evenfold.parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at)
         SELECT $2, position, aggregate_type, aggregate_id, version, hash, reason, dropped_at
         FROM evenfold.parked_events WHERE projection = $1 AND dropped_at IS NOT NULL
         ON CONFLICT (projection, position) DO NOTHING"),
    )
    .bind(from)
    .bind(to)
    .execute(conn)
    .await
    .map(drop)
}

/// Locks the projection's checkpoints until the transaction ends: nobody applies anything meanwhile. Gives its
/// definition; none if it is not begun.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(crate) async fn lock_all(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
) -> Result<Option<String>, sqlx::Error> {
    // The projection as well, so that no change of partitions puts other rows in their place.
    let definition =
        sqlx::query_scalar(schema.sql("SELECT definition FROM evenfold.projections WHERE name = $1 FOR NO KEY UPDATE"))
            .bind(projection)
            .fetch_optional(&mut *tx)
            .await?;
    sqlx::query(
        schema.sql("SELECT FROM evenfold.checkpoints WHERE projection = $1 ORDER BY modulus, residue FOR UPDATE"),
    )
    .bind(projection)
    .execute(tx)
    .await?;
    Ok(definition)
}

/// The classes that the projection is to have: those that it has, or, where rows were removed or added by hand, the
/// present partitions.
async fn restored(schema: &Schema, tx: &mut PgConnection, projection: &str) -> Result<Vec<Class>, sqlx::Error> {
    let present = classes(schema, &mut *tx, projection).await?;
    if is_exact_cover(class(0, 1)?, &present) {
        return Ok(present);
    }
    let total = total_partitions(schema, tx, projection).await?.unwrap_or(1);
    (0..total).map(|key| class(key, total)).collect()
}

/// Makes the definition of `source`, what of it is parked and how far it is, in one class, those of the projection, and
/// forgets `source`. The projection must be [locked](lock_all), and `source` must have caught up since.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(crate) async fn take_place_of(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    source: &str,
    definition: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(schema.sql("DELETE FROM evenfold.parked_events WHERE projection = $1"))
        .bind(projection)
        .execute(&mut *tx)
        .await?;
    sqlx::query(schema.sql("UPDATE evenfold.parked_events SET projection = $1 WHERE projection = $2"))
        .bind(projection)
        .bind(source)
        .execute(&mut *tx)
        .await?;
    let classes = restored(schema, &mut *tx, projection).await?;
    replace_all(schema, &mut *tx, projection, source, &classes).await?;
    // With the fresh revisions: workers with another definition read their rows again, compare, and end.
    sqlx::query(schema.sql("UPDATE evenfold.projections SET definition = $2 WHERE name = $1 AND definition <> $2"))
        .bind(projection)
        .bind(definition)
        .execute(&mut *tx)
        .await?;
    replace_reader(schema, &mut *tx, projection, source).await?;
    start_over(schema, tx, source).await.map(drop)
}
