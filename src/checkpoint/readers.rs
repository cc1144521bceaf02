//! Which projections may still have what was erased, as far as that changes with their read models.

use crate::database::Schema;
use sqlx::PgConnection;

/// The read model of the projection has nothing any more of what was erased: it was emptied, or is another one's.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(super) async fn forget_reader(schema: &Schema, tx: &mut PgConnection, projection: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        schema.sql(
            "UPDATE evenfold.erasures SET read_models = array_remove(read_models, $1) WHERE $1 = ANY (read_models)",
        ),
    )
    .bind(projection)
    .execute(tx)
    .await
    .map(drop)
}

/// The read model of the projection is that of `source` from now on: it may have what that one took.
///
/// # Cancel safety
///
/// Part of the caller's transaction.
pub(super) async fn replace_reader(
    schema: &Schema,
    tx: &mut PgConnection,
    projection: &str,
    source: &str,
) -> Result<(), sqlx::Error> {
    forget_reader(schema, &mut *tx, projection).await?;
    sqlx::query(schema.sql(
        "UPDATE evenfold.erasures SET read_models = array_replace(read_models, $2, $1) WHERE $2 = ANY (read_models)",
    ))
    .bind(projection)
    .bind(source)
    .execute(tx)
    .await
    .map(drop)
}
