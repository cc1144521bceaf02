//! What an event's row may be, whoever writes it, and that a statement which writes one has little to do.

use crate::support::{TestDb, append_one, scalar};
use evenfold::schema::{self, Schema, SchemaError};
use sqlx::{AssertSqlSafe, PgConnection};

/// The columns that a writer gives, and values that are fine.
const COLUMNS: [(&str, &str); 7] = [
    ("version", "1"),
    ("hash", "NULL"),
    ("aggregate_type", "'t'"),
    ("aggregate_id", "'a'"),
    ("event_type", "'e'"),
    ("payload", "'{}'"),
    ("metadata", "NULL"),
];

/// An INSERT with another value for one of the columns.
fn insert(other: &str, value: &str) -> String {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let values = COLUMNS.map(|(name, fine)| if name == other { value } else { fine }).join(", ");
    format!("INSERT INTO evenfold.events ({names}) VALUES ({values})")
}

async fn execute(conn: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}

/// Whatever the session is set to: also where operators of the same names come first, or triggers are passed over.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_may_be_is_refused_whoever_writes_it_and_by_its_name() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let shadow = "CREATE SCHEMA shadow;
        CREATE FUNCTION shadow.no(bigint, bigint) RETURNS bool LANGUAGE sql AS 'SELECT false';
        CREATE FUNCTION shadow.no(int, int) RETURNS bool LANGUAGE sql AS 'SELECT false';
        CREATE OPERATOR shadow.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = shadow.no);
        CREATE OPERATOR shadow.> (LEFTARG = int, RIGHTARG = int, FUNCTION = shadow.no);
        CREATE OPERATOR shadow.<= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = shadow.no);
        CREATE FUNCTION shadow.octet_length(text) RETURNS int LANGUAGE sql AS 'SELECT 1'";
    execute(&mut conn, shadow.to_owned()).await.unwrap();
    let long = |bytes: usize| format!("repeat('x', {bytes})");
    for settings in ["", "SET search_path = shadow, pg_catalog", "SET session_replication_role = replica"] {
        execute(&mut conn, settings.to_owned()).await.unwrap();
        for (column, value, constraint) in [
            ("version", "0".to_owned(), "events_version_check"),
            ("version", "-1".to_owned(), "events_version_check"),
            ("hash", "-1".to_owned(), "events_hash_check"),
            ("hash", "4294967296".to_owned(), "events_hash_check"),
            ("aggregate_type", long(256), "events_length_check"),
            ("aggregate_id", long(1025), "events_length_check"),
            ("event_type", long(256), "events_length_check"),
            ("payload", "pg_catalog.to_json(repeat('x', 1048575))".to_owned(), "events_payload_check"),
            ("metadata", "pg_catalog.to_json(repeat('x', 1048575))".to_owned(), "events_payload_check"),
        ] {
            let error = execute(&mut conn, insert(column, &value)).await.unwrap_err().into_database_error().unwrap();
            assert!(error.is_check_violation(), "{settings} {column} {value}: {error}");
            assert_eq!(error.constraint(), Some(constraint), "{settings} {column} {value}: {error}");
        }
    }
    for column in ["version", "aggregate_type", "aggregate_id", "event_type", "payload"] {
        let error = execute(&mut conn, insert(column, "NULL")).await.unwrap_err().into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("23502"), "{column}: {error}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_may_just_be_is_taken() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let long = |bytes: usize| format!("repeat('x', {bytes})");
    let taken = [
        ("version", "9223372036854775807".to_owned()),
        ("hash", "4294967295".to_owned()),
        ("hash", "0".to_owned()),
        ("aggregate_type", long(255)),
        ("aggregate_id", long(1024)),
        ("event_type", long(255)),
        ("payload", "to_json(repeat('x', 1048574))".to_owned()),
        ("metadata", "to_json(repeat('x', 1048574))".to_owned()),
    ];
    for (n, (column, value)) in taken.iter().enumerate() {
        let sql = insert(column, value).replace("'a'", &format!("'a{n}'"));
        execute(&mut conn, sql).await.unwrap();
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.events").await, 8);
}

/// PostgreSQL parses and plans each CHECK anew for each statement, which was half of a single append.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_constraint_that_each_statement_plans_anew() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let checks = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'evenfold.events'::regclass AND contype = 'c'";
    assert_eq!(scalar(&mut conn, checks).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_the_constraints_of_before_is_migrated_and_neither_rows_nor_indexes_are_rewritten() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let mut migrator = schema::migrator(&Schema::default());
    migrator.migrations.to_mut().retain(|migration| migration.description != "row");
    execute(&mut conn, "CREATE SCHEMA evenfold".to_owned()).await.unwrap();
    migrator.run_direct(None, &mut conn, false).await.unwrap();
    execute(&mut conn, insert("", "")).await.unwrap();
    let old = schema::check(&Schema::default(), &mut conn).await;
    assert!(matches!(old, Err(SchemaError::Old { missing: 1, .. })), "{old:?}");
    let file = "SELECT sum(pg_relation_filenode(oid)::bigint)::bigint FROM pg_class
        WHERE oid = 'evenfold.events'::regclass
           OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'evenfold.events'::regclass)";
    let before = scalar(&mut conn, file).await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    assert_eq!(scalar(&mut conn, file).await, before);
    drop(conn);
    let mut conn = db.database.connect().await.unwrap();
    append_one(&mut conn, "a", 1).await;
    assert_eq!(scalar(&mut conn, "SELECT max(version) FROM evenfold.events WHERE aggregate_id = 'a'").await, 2);
    let again = execute(&mut conn, insert("", "")).await.unwrap_err().into_database_error().unwrap();
    assert_eq!(again.constraint(), Some("events_version_key"));
}
