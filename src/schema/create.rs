//! Making a schema, and what a migration is refused with.

use crate::database::{Schema, SchemaError};
use sqlx::PgConnection;
use sqlx::migrate::MigrateError;

/// Makes the schema, unless it is there: to make one takes a right that somebody who was given a schema need not have,
/// also with IF NOT EXISTS.
pub(super) async fn ensure_schema(schema: &Schema, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)").bind(schema.name());
    if !there.fetch_one(&mut *tx).await? {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(tx).await?;
    }
    Ok(())
}

pub(super) fn refused(error: MigrateError) -> SchemaError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => SchemaError::Database(error),
        other => SchemaError::Migration(other),
    }
}
