//! Which migrations were run, compared with those that this library has.

use super::schema::Schema;
use super::unfit::SchemaError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

/// The files in `migrations/`, in sqlx's format, by version and description.
macro_rules! file {
    ($version:literal, $description:literal) => {
        ($version, $description, include_str!(concat!("../../migrations/", $version, "_", $description, ".sql")))
    };
}

const FILES: [(i64, &str, &str); 11] = [
    file!(20_261_128_000_001, "functions"),
    file!(20_261_128_000_002, "append"),
    file!(20_261_128_000_003, "log"),
    file!(20_261_128_000_004, "projections"),
    file!(20_261_128_000_005, "counters"),
    file!(20_261_128_000_006, "sources"),
    file!(20_261_128_000_007, "erasures"),
    file!(20_261_128_000_008, "operations"),
    file!(20_261_128_000_009, "batches"),
    file!(20_261_128_000_010, "row"),
    file!(20_261_128_000_011, "ids"),
];

/// How many of them, from the first, make functions in the place of those that are there.
pub(crate) const FUNCTIONS: usize = 2;

/// The checksums of the files, by version, as they are compared on each connection.
static CHECKSUMS: LazyLock<Vec<(i64, String)>> = LazyLock::new(|| {
    migrator(&Schema::default()).iter().map(|migration| (migration.version, hex(&migration.checksum))).collect()
});

/// The table that says which migrations were run.
const TABLE: &str = "evenfold._sqlx_migrations";

/// What evenfold's migrations make, to recognise others' tables under these names before anything is made.
const RELATIONS: [&str; 12] = [
    "events",
    "log_origin",
    "projections",
    "checkpoints",
    "parked_events",
    "heartbeats",
    "counters",
    "counters_rebuild",
    "topologies",
    "leases",
    "erasures",
    "operations",
];

/// The same of functions, which are made in the place of those that are there.
const FUNCTION_NAMES: [&str; 11] = [
    "hash",
    "refuse",
    "place",
    "append",
    "append_arrays",
    "check_json",
    "check_event_ids",
    "check_events",
    "erase",
    "commit_counters",
    "new_event_id",
];

/// The migrations in `migrations/`, for this schema. For the schema `evenfold`, `sqlx migrate run` does the same as
/// [`schema::migrate`](crate::schema::migrate): `sqlx.toml` has the schema and the name of the table.
#[must_use]
pub fn migrator(schema: &Schema) -> Migrator {
    let migrations = FILES.iter().map(|&(version, description, text)| {
        // The checksum is that of the file, whatever the schema is called.
        let of = |sql: Cow<'static, str>| {
            let sql = AssertSqlSafe(sql).into_sql_str();
            Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
        };
        Migration { checksum: of(Cow::Borrowed(text)).checksum, ..of(schema.text(text)) }
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(schema.text(TABLE));
    migrator
}

/// Compares what was migrated with what this library has.
pub(crate) async fn migrations(schema: &Schema, conn: &mut PgConnection) -> Result<(), SchemaError> {
    // Names are looked up as of now, not as of one snapshot. The migrator's own table last: whoever finds another
    // migrator's tables, which has just committed, finds that one too.
    let (theirs, table): (Vec<String>, bool) = sqlx::query_as(schema.sql(
        "SELECT ARRAY(SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass('evenfold.' || name) IS NOT NULL) ||
             ARRAY(SELECT DISTINCT p.proname || '()' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                   WHERE n.nspname = $2 AND p.proname = ANY ($3)),
             to_regclass('evenfold._sqlx_migrations') IS NOT NULL",
    ))
    .bind(RELATIONS.as_slice())
    .bind(schema.name())
    .bind(FUNCTION_NAMES.as_slice())
    .fetch_one(&mut *conn)
    .await?;
    if !table {
        let none = theirs.is_empty();
        return Err(if none { SchemaError::NotMigrated(schema.clone()) } else { foreign(schema, theirs) });
    }
    let applied = sqlx::query_scalar(schema.sql(
        "SELECT string_agg(version || '=' || encode(checksum, 'hex'), ',')
         FROM evenfold._sqlx_migrations WHERE success",
    ))
    .fetch_one(conn)
    .await?;
    compare(schema, applied, !theirs.is_empty()).map_err(|error| match error {
        SchemaError::Foreign { .. } => foreign(schema, theirs),
        other => other,
    })
}

pub(super) fn foreign(schema: &Schema, tables: Vec<String>) -> SchemaError {
    SchemaError::Foreign { schema: schema.clone(), tables }
}

/// The same with what is recorded: `version=checksum,…`.
pub(super) fn compare(schema: &Schema, applied: Option<String>, has_tables: bool) -> Result<(), SchemaError> {
    let foreign = || foreign(schema, Vec::new());
    let text = applied.unwrap_or_default();
    let mut applied = text
        .split(',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| entry.split_once('=').and_then(|(version, checksum)| Some((version.parse().ok()?, checksum))))
        .collect::<Option<HashMap<i64, &str>>>()
        .ok_or_else(foreign)?;
    let mut missing = 0;
    for (version, ours) in CHECKSUMS.iter() {
        match applied.remove(version) {
            Some(checksum) if checksum != ours => return Err(foreign()),
            Some(_) => {}
            None => missing += 1,
        }
    }
    match (applied.is_empty(), missing) {
        (true, 0) => Ok(()),
        (true, n) if n == FILES.len() && !has_tables => Err(SchemaError::NotMigrated(schema.clone())),
        (true, n) if n < FILES.len() => Err(SchemaError::Old { schema: schema.clone(), missing }),
        (false, 0) => Err(SchemaError::Newer(schema.clone())),
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
