//! Leases: which of several identical replicas has which partition.
//!
//! A lease is a courtesy: it keeps replicas out of each other's way. That no two of them write is guaranteed by the
//! revisions of the checkpoints, so a lease that runs out under a slow replica costs time, never an event.

use crate::class::{Class, ClassError};
use crate::database::Schema;
use crate::invariant::broken;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// Claims a partition that nobody has, or whose lease has run out: the lowest one. None if all are taken.
///
/// # Cancel safety
///
/// A dropped claim has happened or not; the lease runs out by itself.
pub async fn claim(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    total: u32,
    owner: Uuid,
    term: Duration,
) -> Result<Option<Class>, sqlx::Error> {
    let key: Option<i64> = sqlx::query_scalar(schema.sql(
        "INSERT INTO evenfold.leases (projection, total, partition_key, owner, expires_at)
         SELECT $1, $2, key, $3, clock_timestamp() + $4 * interval '1 second'
         FROM generate_series(0, $2 - 1) AS key
         WHERE NOT EXISTS (SELECT FROM evenfold.leases WHERE projection = $1 AND total = $2 AND partition_key = key
                               AND expires_at > clock_timestamp())
         ORDER BY key LIMIT 1
         ON CONFLICT (projection, total, partition_key) DO UPDATE
             SET owner = excluded.owner, expires_at = excluded.expires_at
             WHERE leases.expires_at <= clock_timestamp()
         RETURNING partition_key",
    ))
    .bind(projection)
    .bind(i64::from(total))
    .bind(owner)
    .bind(term.as_secs_f64())
    .fetch_optional(conn)
    .await?;
    let class = |key: i64| {
        let key = u32::try_from(key).map_err(|_| broken(&format!("the partition key {key} of a lease has 32 bits")))?;
        Class::partition(key, total)
            .map_err(|error: ClassError| broken(&format!("a lease is of no partition: {error}")))
    };
    key.map(class).transpose()
}

/// Extends a lease; false if it has run out and somebody else has it.
///
/// # Cancel safety
///
/// One statement.
pub async fn renew(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    partition: Class,
    owner: Uuid,
    term: Duration,
) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query(schema.sql(
        "UPDATE evenfold.leases SET expires_at = clock_timestamp() + $5 * interval '1 second'
         WHERE projection = $1 AND total = $2 AND partition_key = $3 AND owner = $4",
    ))
    .bind(projection)
    .bind(i64::from(partition.modulus()))
    .bind(i64::from(partition.residue()))
    .bind(owner)
    .bind(term.as_secs_f64())
    .execute(conn)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Gives a lease back, so that a replica that stands by need not wait for it to run out.
///
/// # Cancel safety
///
/// One statement; without it the lease runs out.
pub async fn release(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    partition: Class,
    owner: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        schema.sql(
            "DELETE FROM evenfold.leases WHERE projection = $1 AND total = $2 AND partition_key = $3 AND owner = $4",
        ),
    )
    .bind(projection)
    .bind(i64::from(partition.modulus()))
    .bind(i64::from(partition.residue()))
    .bind(owner)
    .execute(conn)
    .await?;
    Ok(())
}
