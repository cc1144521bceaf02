//! Whether a projection is what it was begun as: its definition, and the checkpoints that stand for all of it.

use super::error::RegisterError;
use super::store::class_of;
use super::wanted::log_in;
use crate::class::{Class, is_exact_cover};
use crate::database::Schema;
use sqlx::PgConnection;

/// Refuses to fold, or to check, a projection otherwise than its workers do, and one with missing checkpoints. One that
/// is not begun is whatever it will be.
///
/// # Errors
///
/// [`RegisterError::OtherDefinition`], [`RegisterError::Incomplete`] or the database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn check_begun(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    definition: &str,
) -> Result<(), RegisterError> {
    let whole = Class::partition(0, 1)?;
    if definition_of(schema, &mut *conn, projection).await?.is_some() {
        check_definition(schema, &mut *conn, projection, definition).await?;
        check_cover(schema, conn, projection, whole).await?;
    }
    Ok(())
}

/// What the projection was begun with; none if it is not begun.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn definition_of(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(schema.sql("SELECT definition FROM evenfold.projections WHERE name = $1"))
        .bind(projection)
        .fetch_optional(conn)
        .await
}

/// The projections that were begun, in the order of their names; rebuilds that are under way are among them.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn projections(schema: &Schema, conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(schema.sql("SELECT name FROM evenfold.projections ORDER BY name")).fetch_all(conn).await
}

/// Which log a projection folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoldedLog {
    /// evenfold's own.
    Own,
    /// One that others write: what it is called, and its table.
    Other(String),
}

/// Which log a projection was begun with; none if it is not begun.
///
/// # Errors
///
/// The database's.
///
/// # Cancel safety
///
/// Reads only.
pub async fn log_of(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<Option<FoldedLog>, sqlx::Error> {
    // The checkpoints know for certain whether it is evenfold's own: settings may look like the name of a log.
    let begun: Option<(String, bool)> = sqlx::query_as(schema.sql(
        "SELECT definition, EXISTS (SELECT FROM evenfold.checkpoints WHERE projection = $1 AND missing IS NULL)
         FROM evenfold.projections WHERE name = $1",
    ))
    .bind(projection)
    .fetch_optional(conn)
    .await?;
    let log = |(definition, is_own): (String, bool)| match log_in(&definition) {
        Some(log) if !is_own => FoldedLog::Other(log.to_owned()),
        _ => FoldedLog::Own,
    };
    Ok(begun.map(log))
}

/// Refuses a projection that was begun with another definition. A rebuild changes the definition in the transaction
/// that gives the checkpoints fresh revisions. So whoever is about to fold asks *after* he has read or locked the
/// checkpoints: a change before that is seen, and after one that comes later, what he has read can't be committed.
pub(crate) async fn check_definition(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    definition: &str,
) -> Result<(), RegisterError> {
    match definition_of(schema, conn, projection).await? {
        Some(stored) if stored != definition => Err(RegisterError::other(projection, stored, definition)),
        _ => Ok(()),
    }
}

/// Refuses a projection of which the checkpoints do not stand for every hash of the partition exactly once.
pub(crate) async fn check_cover(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
    partition: Class,
) -> Result<(), RegisterError> {
    let mut cells = Vec::new();
    for class in classes(schema, conn, projection).await? {
        if class.is_inside(partition) {
            cells.push(class);
        } else if class.overlaps(partition) {
            cells.extend(class.cells(partition.modulus())?.filter(|cell| cell.is_inside(partition)));
        }
    }
    if is_exact_cover(partition, &cells) {
        return Ok(());
    }
    Err(RegisterError::Incomplete { projection: projection.to_owned(), partition })
}

/// The classes that the projection has checkpoints of, as one snapshot shows them.
pub(crate) async fn classes(
    schema: &Schema,
    conn: &mut PgConnection,
    projection: &str,
) -> Result<Vec<Class>, sqlx::Error> {
    sqlx::query(
        schema.sql("SELECT modulus, residue FROM evenfold.checkpoints WHERE projection = $1 ORDER BY modulus, residue"),
    )
    .bind(projection)
    .fetch_all(conn)
    .await?
    .iter()
    .map(|row| class_of(row, 0))
    .collect()
}
