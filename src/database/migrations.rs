//! Which migrations were run, compared with those that this library has.

use super::unfit::SchemaError;
use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use std::collections::HashMap;
use std::fmt::Write;

/// The migrations in `migrations/`, in sqlx's format: `sqlx migrate run` does the same as
/// [`schema::migrate`](crate::schema::migrate).
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What evenfold's migrations make, to tell others' tables under these names before anything is made.
const RELATIONS: [&str; 9] = [
    "events",
    "log_origin",
    "projections",
    "checkpoints",
    "parked_events",
    "heartbeats",
    "counters",
    "topologies",
    "leases",
];

/// Compares what was migrated with what this library has.
pub(crate) async fn migrations(conn: &mut PgConnection) -> Result<(), SchemaError> {
    // Names are looked up as of now, not as of one snapshot. The migrator's own table last: whoever finds another migrator's
    // tables, which has just committed, finds that one too.
    let (theirs, table): (Vec<String>, bool) = sqlx::query_as(
        "SELECT ARRAY(SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NOT NULL),
             to_regclass('_sqlx_migrations') IS NOT NULL",
    )
    .bind(RELATIONS.as_slice())
    .fetch_one(&mut *conn)
    .await?;
    if !table {
        return Err(if theirs.is_empty() { SchemaError::NotMigrated } else { SchemaError::Foreign(theirs) });
    }
    let applied = sqlx::query_scalar(
        "SELECT string_agg(version || '=' || encode(checksum, 'hex'), ',') FROM _sqlx_migrations WHERE success",
    )
    .fetch_one(conn)
    .await?;
    compare(applied, !theirs.is_empty()).map_err(|error| match error {
        SchemaError::Foreign(_) => SchemaError::Foreign(theirs),
        other => other,
    })
}

/// The same with what is recorded: `version=checksum,…`.
pub(super) fn compare(applied: Option<String>, has_tables: bool) -> Result<(), SchemaError> {
    let foreign = || SchemaError::Foreign(Vec::new());
    let text = applied.unwrap_or_default();
    let mut applied = text
        .split(',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| entry.split_once('=').and_then(|(version, checksum)| Some((version.parse().ok()?, checksum))))
        .collect::<Option<HashMap<i64, &str>>>()
        .ok_or_else(foreign)?;
    let mut missing = 0;
    for ours in MIGRATOR.iter() {
        match applied.remove(&ours.version) {
            Some(checksum) if checksum != hex(&ours.checksum) => return Err(foreign()),
            Some(_) => {}
            None => missing += 1,
        }
    }
    let all = MIGRATOR.iter().count();
    match (applied.is_empty(), missing) {
        (true, 0) => Ok(()),
        (true, n) if n == all && !has_tables => Err(SchemaError::NotMigrated),
        (true, n) if n < all => Err(SchemaError::Old { missing }),
        (false, 0) => Err(SchemaError::Newer),
        _ => Err(foreign()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
