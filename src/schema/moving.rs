//! Moving the tables of version 0.1 to the schema. That version made them wherever the `search_path` led, usually in
//! `public`, and recorded its migrations in a `_sqlx_migrations` that an application may have had as well.

use super::create::{ensure_schema, refused};
use crate::database::{FUNCTIONS, MOVING, Schema, SchemaError, migrations, migrator};
use sqlx::migrate::Migrate;
use sqlx::{AssertSqlSafe, PgConnection};

/// That version's migrations: version and checksum.
const MIGRATIONS: [(i64, &str); 7] = [
    (
        20_260_101_000_001,
        "7837c003fc501f785a95730b95e90b1360510de03d5d497a30f00d6927c3881382a1be04d37ee002a8259b66de7619dc",
    ),
    (
        20_260_101_000_002,
        "8be71521802e60b497b42d18ad46d375c822b7acb1143de3e1f4d515f3c26e300fc53975224844a093753ca735a0a3f6",
    ),
    (
        20_260_101_000_003,
        "85dd287a329062aa2bd532de69286cd57078e5ce11eedd4f43d1c855b2685d11668fa425ee01a1533b93654e597a3a15",
    ),
    (
        20_260_201_000_001,
        "e51c1179dd018750e54fb675ba66add89ca015b56afb365d92f8a8f3761bfbeb5f05fe35d245f5c4ad6e43ebc134d37a",
    ),
    (
        20_260_301_000_001,
        "4c9a7af0e59737783cf88dd7081fb3bc6f4f1c6e588e83fa10d846ea68ddb25e7f5ecc601ca9110fbbe43ebf61dbe7d8",
    ),
    (
        20_261_127_000_001,
        "9ca315dbb6322f9c3d1b65f67fbf6871eb6fc37216a0d44fc05c39a75ee2d17337b6530f72d7e2af5a64cfa413fa2da9",
    ),
    (
        20_261_127_000_002,
        "4df38bb18f602ab1e73d99d5189c46ea77354ef667c1dd61c313fb8e3ba5d2583b6520bd9079b58c5a914473837ed414",
    ),
];

/// Its tables, in the order in which they are locked; a sequence that none of them owns; and its functions, with the
/// names that they have now. The function of the migration that was replaced later is not there any more.
const TABLES: [&str; 10] = [
    "events",
    "log_origin",
    "projections",
    "checkpoints",
    "parked_events",
    "heartbeats",
    "topologies",
    "leases",
    "counters",
    "counters_rebuild",
];
/// How many migrations, after those of the functions, make what that version has.
const AS_IN_THAT_VERSION: usize = 3;

const SEQUENCE: &str = "checkpoint_revisions";
const RENAMED: [(&str, &str, &str); 3] =
    [("evenfold_hash", "hash", "text"), ("evenfold_place", "place", ""), ("evenfold_refuse", "refuse", "")];

/// The schema that has those tables: the one that is migrated, or one of the `search_path`. None where there is none.
///
/// # Errors
///
/// [`SchemaError::TooOld`] where that version has not run all of its migrations.
pub(super) async fn find(schema: &Schema, tx: &mut PgConnection) -> Result<Option<String>, SchemaError> {
    let candidates: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname::text FROM unnest($1 || current_schemas(false)) WITH ORDINALITY AS p (name, ord)
         JOIN pg_namespace n ON n.nspname = p.name
         WHERE EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = '_sqlx_migrations')
           AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'events')
           AND has_schema_privilege(n.oid, 'USAGE')
         GROUP BY n.nspname ORDER BY min(p.ord)",
    )
    .bind(schema.name())
    .fetch_all(&mut *tx)
    .await?;
    let (versions, checksums): (Vec<i64>, Vec<&str>) = MIGRATIONS.into_iter().unzip();
    for from in candidates {
        let statement = format!(
            "SELECT count(*) FROM {}._sqlx_migrations m
             JOIN unnest($1::bigint[], $2::text[]) AS o (version, checksum)
                 ON m.version = o.version AND encode(m.checksum, 'hex') = o.checksum
             WHERE m.success",
            quoted(&from)
        );
        let run: i64 =
            sqlx::query_scalar(AssertSqlSafe(statement)).bind(&versions).bind(&checksums).fetch_one(&mut *tx).await?;
        match MIGRATIONS.len() - usize::try_from(run).unwrap_or_default() {
            0 => return Ok(Some(from)),
            missing if run > 0 => return Err(SchemaError::TooOld { from, missing }),
            _ => {}
        }
    }
    Ok(None)
}

/// Moves them, in the caller's transaction.
pub(super) async fn run(schema: &Schema, tx: &mut PgConnection, from: &str) -> Result<(), SchemaError> {
    lock(tx, from).await.map_err(|error| {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
            // lock_not_available
            Some(code) if code == "55P03" => SchemaError::InUse { from: from.to_owned(), to: schema.name().to_owned() },
            _ => SchemaError::Database(error),
        }
    })?;
    ensure_schema(schema, tx).await?;
    if from != schema.name() {
        grant_usage(schema, tx, from).await?;
        execute(tx, moved(schema, from)).await?;
    }
    execute(tx, renamed(schema)).await?;
    let migrator = migrator(schema);
    // The functions are made anew, and what came after that version is made.
    for migration in migrator.iter().take(FUNCTIONS).chain(migrator.iter().skip(FUNCTIONS + AS_IN_THAT_VERSION)) {
        sqlx::raw_sql(migration.sql.clone()).execute(&mut *tx).await?;
    }
    forget_migrations(schema, tx, from).await?;
    // Recorded, and not run.
    tx.ensure_migrations_table(&migrator.table_name).await.map_err(refused)?;
    migrator.run_direct(None, tx, true).await.map_err(refused)?;
    // As it is recorded now: where others have rows in the same table, it is not evenfold's alone.
    migrations(schema, tx).await
}

/// Waits for whoever uses the tables, not for ever: until the end nobody else can.
async fn lock(tx: &mut PgConnection, from: &str) -> Result<(), sqlx::Error> {
    let from = quoted(from);
    let tables: Vec<String> = TABLES.iter().map(|table| format!("{from}.{table}")).collect();
    execute(tx, format!("SET LOCAL lock_timeout = '{}ms'", MOVING.as_millis())).await?;
    execute(tx, format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "))).await
}

/// What goes with a table goes with it: its indexes, its constraints, its triggers, the sequence that it owns, its
/// grants.
fn moved(schema: &Schema, from: &str) -> String {
    let from = quoted(from);
    let tables = TABLES.iter().map(|table| format!("ALTER TABLE {from}.{table} SET SCHEMA {schema};"));
    let sequence = format!("ALTER SEQUENCE {from}.{SEQUENCE} SET SCHEMA {schema};");
    let functions = RENAMED
        .iter()
        .map(|(old, _, arguments)| format!("ALTER FUNCTION {from}.{old}({arguments}) SET SCHEMA {schema};"));
    tables.chain([sequence]).chain(functions).collect()
}

fn renamed(schema: &Schema) -> String {
    let rename = |(old, new, arguments): &(&str, &str, &str)| {
        format!("ALTER FUNCTION {schema}.{old}({arguments}) RENAME TO {new};")
    };
    RENAMED.iter().map(rename).collect()
}

/// Whoever may do something with a table may go on: that takes the use of its schema.
async fn grant_usage(schema: &Schema, tx: &mut PgConnection, from: &str) -> Result<(), sqlx::Error> {
    let grantees: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL aclexplode(c.relacl) AS a
         WHERE n.nspname = $1 AND c.relname = ANY ($2) AND a.grantee <> c.relowner",
    )
    .bind(from)
    .bind(TABLES.as_slice())
    .fetch_all(&mut *tx)
    .await?;
    for grantee in grantees {
        execute(tx, format!("GRANT USAGE ON SCHEMA {schema} TO {grantee}")).await?;
    }
    Ok(())
}

/// Takes the rows of that version out of its `_sqlx_migrations`, and the table away where it has no others. In the
/// schema itself it stays, for what is recorded next.
async fn forget_migrations(schema: &Schema, tx: &mut PgConnection, from: &str) -> Result<(), sqlx::Error> {
    let table = format!("{}._sqlx_migrations", quoted(from));
    sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE version = ANY ($1)")))
        .bind(MIGRATIONS.map(|(version, _)| version).as_slice())
        .execute(&mut *tx)
        .await?;
    if from != schema.name() {
        let left = format!("SELECT EXISTS (SELECT FROM {table})");
        if !sqlx::query_scalar(AssertSqlSafe(left)).fetch_one(&mut *tx).await? {
            execute(tx, format!("DROP TABLE {table}")).await?;
        }
    }
    Ok(())
}

async fn execute(tx: &mut PgConnection, statements: String) -> Result<(), sqlx::Error> {
    // Put together from our own text, and names with their quotes.
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(tx).await.map(drop)
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
