//! The tables of version 0.1, which were wherever the `search_path` led, are moved to the schema, and what is folded
//! goes on.

use crate::support::cli::run_at;
use crate::support::{
    LOCKED_OUT, Postgres, SOON, TestDb, append_one, assert_counters_agree, counter, drain, only_worker, scalar,
    wait_until,
};
use evenfold::database::Database;
use evenfold::schema::{self, Migrated, Schema, SchemaError, migrator};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::{Path, PathBuf};
use tokio::task::block_in_place;

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

/// The migrations of version 0.1, as they were.
fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/layout_0_1")
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap();
}

/// Makes that layout in the first schema of the connection's `search_path`, with a projection that has applied two of
/// four events and parked the third.
async fn earlier_layout(conn: &mut PgConnection) {
    Migrator::new(files()).await.unwrap().run(&mut *conn).await.unwrap();
    let insert = "INSERT INTO events (version, aggregate_type, aggregate_id, event_type, payload)";
    run(
        conn,
        &format!("{insert} VALUES (1, 't', 'a', 'e', '{{\"amount\": 3}}'), (2, 't', 'a', 'e', '{{\"amount\": 4}}')"),
    )
    .await;
    run(conn, &format!("{insert} VALUES (1, 't', 'bad', 'e', '{{\"amount\": \"x\"}}')")).await;
    run(
        conn,
        "INSERT INTO projections (name, definition)
             VALUES ('counters', 'aggregate types: all; event types: all; amount pointer: \"/amount\"');
         INSERT INTO topologies (projection, total) VALUES ('counters', 1);
         INSERT INTO checkpoints (projection, modulus, residue, seen, floor, next_xid)
             SELECT 'counters', 1, 0, pg_current_snapshot(), 3, pg_snapshot_xmax(pg_current_snapshot())::text::xid8;
         INSERT INTO parked_events (projection, position, aggregate_type, aggregate_id, version, hash, reason)
             SELECT 'counters', position, aggregate_type, aggregate_id, version, hash, 'not a number' FROM events
             WHERE aggregate_id = 'bad';
         INSERT INTO counters VALUES ('t', 'a', 2, 7, 2, 2);
         CREATE INDEX events_hash_4_idx ON events ((hash % 4), position)",
    )
    .await;
    // Not applied yet.
    run(conn, &format!("{insert} VALUES (3, 't', 'a', 'e', '{{\"amount\": 5}}')")).await;
}

/// All rows of all tables of a schema, by their columns that are not null: what came later is null in them.
async fn rows(conn: &mut PgConnection, schema: &str) -> Vec<String> {
    let mut all = Vec::new();
    for table in TABLES {
        let row = "jsonb_strip_nulls(to_jsonb(t))::text";
        let sql = format!("SELECT coalesce(string_agg({row}, '; ' ORDER BY {row}), '') FROM {schema}.{table} t");
        all.push(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *conn).await.unwrap());
    }
    all
}

async fn folds_on(conn: &mut PgConnection) {
    schema::check(&Schema::default(), conn).await.unwrap();
    append_one(conn, "a", 100).await;
    append_one(conn, "new", 1).await;
    let mut worker = only_worker(conn, 10).await;
    assert_eq!(drain(&mut worker, conn).await, 3, "what was not applied before, and nothing again");
    assert_eq!(counter(conn, "a").await, Some((112, 4)));
    assert_eq!(counter(conn, "new").await, Some((1, 1)));
    assert_counters_agree(conn).await;
    assert_eq!(scalar(conn, "SELECT max(position) FROM evenfold.events").await, 6, "the sequence goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_version_0_1_are_moved_with_their_rows_and_fold_on_from_the_same_checkpoints() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    earlier_layout(&mut conn).await;
    let before = rows(&mut conn, "public").await;
    run_at(&db, &["status"]).complains(1, "no evenfold tables in the schema evenfold yet: run `evenfold migrate`");
    let output = run_at(&db, &["migrate"]);
    assert!(output.fine().contains("were moved from the schema public to the schema evenfold"), "{output:#?}");
    assert!(run_at(&db, &["migrate"]).fine().contains("up to date"));
    assert_eq!(rows(&mut conn, "evenfold").await, before);
    let left = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)";
    assert_eq!(scalar(&mut conn, left).await, 0, "nothing of evenfold's is left where it was");
    assert_eq!(schema::indexes(&Schema::default(), &mut conn).await.unwrap().len(), 1);
    folds_on(&mut conn).await;
}

/// An application and version 0.1 that have shared a table of migrations.
#[tokio::test(flavor = "multi_thread")]
async fn an_applications_rows_in_a_shared_table_of_migrations_stay() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    earlier_layout(&mut conn).await;
    run(
        &mut conn,
        "INSERT INTO _sqlx_migrations SELECT 7, 'theirs', now(), true, '\\x07', 1; CREATE TABLE orders (id int)",
    )
    .await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT version FROM public._sqlx_migrations").await, 7);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM public.orders").await, 0);
    folds_on(&mut conn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_found_by_the_search_path_and_also_where_they_are_in_the_very_schema() {
    for (from, in_place) in [("Es \"1\"", false), ("evenfold", true)] {
        let db = TestDb::empty().await;
        let mut conn = db.connect().await;
        let quoted = from.replace('"', "\"\"");
        run(&mut conn, &format!("CREATE SCHEMA \"{quoted}\"; SET search_path = \"{quoted}\"")).await;
        earlier_layout(&mut conn).await;
        run(&mut conn, "CREATE TABLE public.events (id int)").await;
        let refused = schema::check(&Schema::default(), &mut conn).await;
        assert_eq!(matches!(refused, Err(SchemaError::Foreign { .. })), in_place, "{refused:?}");
        let migrated = schema::migrate(&Schema::default(), &mut conn).await.unwrap();
        assert_eq!(migrated, Migrated::Moved { from: from.to_owned() });
        folds_on(&mut conn).await;
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM public.events").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_version_0_1_has_not_migrated_completely_are_refused_in_a_sentence() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    Migrator::new(files()).await.unwrap().run_to(20_260_301_000_001, &mut conn).await.unwrap();
    run_at(&db, &["migrate"])
        .complains(1, "(2 migration(s) behind the last one that can be moved): run `evenfold migrate` of version 0.1");
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold'").await, 0);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM public._sqlx_migrations").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_in_use_are_not_waited_for_without_end_and_nothing_has_changed() {
    let db = TestDb::empty().await;
    let (mut conn, mut other) = (db.connect().await, db.connect().await);
    earlier_layout(&mut conn).await;
    let before = rows(&mut conn, "public").await;
    let mut tx = other.begin().await.unwrap();
    run(&mut tx, "UPDATE checkpoints SET moved_at = now()").await;
    let mut migrating = db.connect().await;
    let move_it = tokio::spawn(async move { schema::migrate(&Schema::default(), &mut migrating).await });
    wait_until("the move to wait", SOON, async || scalar(&mut conn, LOCKED_OUT).await == 1).await;
    let refused = move_it.await.unwrap().unwrap_err();
    assert!(matches!(refused, SchemaError::InUse { .. }), "{refused:?}");
    let sentence =
        "the tables in the schema public are to be moved to the schema evenfold, and are in use: stop every worker";
    assert!(refused.to_string().contains(sentence), "{refused}");
    tx.rollback().await.unwrap();
    assert_eq!(rows(&mut conn, "public").await, before);
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold'").await, 0);
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    folds_on(&mut conn).await;
}

/// Roles that could do something with a table can do it where it is now.
#[tokio::test(flavor = "multi_thread")]
async fn grants_are_moved_with_the_tables() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    earlier_layout(&mut conn).await;
    let role = format!("Writer-{}", std::process::id());
    run(&mut conn, &format!("CREATE ROLE \"{role}\"; GRANT INSERT ON events TO \"{role}\"; GRANT USAGE ON SEQUENCE checkpoint_revisions TO \"{role}\"")).await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    run(
        &mut conn,
        &format!(
            "SET ROLE \"{role}\";
             INSERT INTO evenfold.events (version, aggregate_type, aggregate_id, event_type, payload)
             VALUES (1, 't', 'by the role', 'e', '1');
             RESET ROLE"
        ),
    )
    .await;
    let granted = format!("SELECT has_sequence_privilege('{role}', 'evenfold.checkpoint_revisions', 'USAGE')");
    let granted: Result<bool, _> = sqlx::query_scalar(AssertSqlSafe(granted)).fetch_one(&mut conn).await;
    run(&mut conn, &format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).await;
    assert!(granted.unwrap());
}

/// What `pg_dump` says of evenfold's schema in a database.
fn dumped(server: &Postgres, database: &str) -> String {
    let dump = server.tool("pg_dump", &["--schema-only", "--schema=evenfold", database]).stdout;
    let text = String::from_utf8(dump).unwrap();
    // A key of the dump's own.
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What `sqlx migrate run` runs: the files of the directory `migrations`, as `sqlx.toml` says.
async fn as_the_sqlx_tool() -> Migrator {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let settings: toml::Table = std::fs::read_to_string(root.join("sqlx.toml")).unwrap().parse().unwrap();
    let settings = settings["migrate"].as_table().unwrap();
    assert_eq!(settings.keys().collect::<Vec<_>>(), ["create-schemas", "table-name"], "what else would change");
    let mut migrator = Migrator::new(root.join("migrations")).await.unwrap();
    migrator.dangerous_set_table_name(settings["table-name"].as_str().unwrap().to_owned());
    for schema in settings["create-schemas"].as_array().unwrap() {
        migrator.create_schema(schema.as_str().unwrap().to_owned());
    }
    migrator
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_the_same_by_migrate_by_the_sqlx_tool_and_by_a_move() {
    let server = block_in_place(|| Postgres::start("UTF8", ""));
    let mut admin = Database::at(&server.url()).unwrap().connect_to_server().await.unwrap().0;
    let mut made = Vec::new();
    for (name, how) in [("fresh", 0), ("by_sqlx", 1), ("moved", 2)] {
        run(&mut admin, &format!("CREATE DATABASE {name}")).await;
        let database = Database::at(&server.url_of("postgres", name)).unwrap();
        let mut conn = database.connect_to_server().await.unwrap().0;
        match how {
            1 => as_the_sqlx_tool().await.run(&mut conn).await.unwrap(),
            2 => Migrator::new(files()).await.unwrap().run(&mut conn).await.unwrap(),
            _ => {}
        }
        schema::migrate(&Schema::default(), &mut conn).await.unwrap();
        // It may be run on what evenfold has made as well.
        as_the_sqlx_tool().await.run(&mut conn).await.unwrap();
        made.push(block_in_place(|| dumped(&server, name)));
    }
    assert!(made[0].contains("CREATE FUNCTION evenfold.append(") && made[0].contains("CREATE TABLE evenfold.events"));
    assert_eq!(made[1], made[0]);
    assert_eq!(made[2], made[0]);
}

#[tokio::test]
async fn the_migrations_in_the_library_are_the_files_of_the_directory() {
    let of = |migrator: &Migrator| {
        let each = migrator.iter().map(|m| (m.version, m.description.to_string(), m.checksum.to_vec()));
        (migrator.table_name.to_string(), each.collect::<Vec<_>>())
    };
    assert_eq!(of(&migrator(&Schema::default())), of(&as_the_sqlx_tool().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_from_their_files_are_the_same_as_those_of_the_binary() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let migrator = as_the_sqlx_tool().await;
    migrator.run(&mut conn).await.unwrap();
    schema::check(&Schema::default(), &mut conn).await.unwrap();
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    migrator.run(&mut conn).await.unwrap();
}
