//! A database that an application lives in already, with tables of the same names: evenfold never touches them, and
//! never takes them for its own.

use crate::support::cli::{feed, run_at};
use crate::support::{Evenfold, SOON, TestDb, append_one, counter, event, scalar, wait_until};
use evenfold::log::{self, Log};
use evenfold::schema::{self, Schema, SchemaError};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// An application's tables, functions and migrations under evenfold's names, with rows in them.
const APPLICATION: &str = "
    CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL);
    CREATE TABLE counters (name text PRIMARY KEY, hits int NOT NULL);
    CREATE TABLE checkpoints (event_id bigint REFERENCES events, at timestamptz NOT NULL);
    CREATE VIEW projections AS SELECT title FROM events;
    CREATE SEQUENCE checkpoint_revisions START 42;
    CREATE TABLE heartbeats (id int); CREATE TABLE leases (id int); CREATE TABLE topologies (id int);
    CREATE TABLE parked_events (id int); CREATE TABLE log_origin (id int); CREATE TABLE counters_rebuild (id int);
    CREATE FUNCTION hash(text) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint';
    CREATE FUNCTION append(json, boolean) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
        installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL, checksum bytea NOT NULL,
        execution_time bigint NOT NULL);
    INSERT INTO _sqlx_migrations VALUES (1, 'theirs', now(), true, '\\x00', 1);
    INSERT INTO events (title) SELECT 'concert ' || n FROM generate_series(1, 3) n;
    INSERT INTO counters VALUES ('visits', 5);
    INSERT INTO checkpoints VALUES (1, now());
    INSERT INTO heartbeats VALUES (1); INSERT INTO parked_events VALUES (1)";

/// Everything in the database that is not in evenfold's schema: each object, what it is, and each row where it is.
/// PostgreSQL's own rows about the tables are not in it, only about what they are.
async fn everything_else(conn: &mut PgConnection) -> String {
    let objects: String = sqlx::query_scalar(
        "SELECT string_agg(o, E'\\n' ORDER BY o) FROM (
             SELECT format('%s %s %s %s %s %s', c.oid, n.nspname, c.relname, c.relkind, c.relfilenode, c.relacl) AS o
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname NOT IN ('evenfold', 'pg_catalog', 'pg_toast', 'information_schema')
             UNION ALL
             SELECT format('%s %s(%s)', n.nspname, p.proname, pg_get_functiondef(p.oid))
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname NOT IN ('evenfold', 'pg_catalog', 'information_schema')
             UNION ALL
             SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
             WHERE connamespace = 'public'::regnamespace
             UNION ALL
             SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace WHERE nspname <> 'evenfold') x",
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let sequence: String =
        sqlx::query_scalar("SELECT s::text FROM (SELECT last_value, is_called FROM public.checkpoint_revisions) s")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
    let mut all = format!("{objects}\n{sequence}");
    for table in tables {
        let rows = format!(
            "SELECT coalesce(string_agg(format('%s %s %s', t.ctid, t.xmin, t), '; '), '') FROM public.{table} t"
        );
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut *conn).await.unwrap();
        all = format!("{all}\n{table}: {rows}");
    }
    all
}

async fn with_an_application() -> TestDb {
    let db = TestDb::empty().await;
    sqlx::raw_sql(APPLICATION).execute(&mut db.connect().await).await.unwrap();
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applications_tables_of_the_same_names_are_identical_before_and_after_everything() {
    let db = with_an_application().await;
    let mut conn = db.connect().await;
    let before = everything_else(&mut conn).await;
    assert!(before.contains("visits") && before.contains("theirs"), "{before}");
    let event = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"amount":2}}"#;
    let bad = r#"{"aggregate_type":"t","aggregate_id":"bad","event_type":"e","payload":{"amount":"x"}}"#;
    let commands: [(&[&str], &str, &str); 17] = [
        (&["migrate"], "", "the tables are in the schema evenfold"),
        (&["append"], event, "appended 1 events"),
        (&["append"], bad, "appended 1 events"),
        (&["generate", "--events=50", "--aggregates=10", "--writers=2", "--batch-size=5", "--yes"], "", "appended 50"),
        (&["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log=warn"], "", ""),
        (&["pool", "--workers=3", "--takeover", "--until-caught-up", "--log=warn"], "", ""),
        (&["status"], "", "counters"),
        (&["counters", "a"], "", "2"),
        (&["parked", "list"], "", "bad"),
        (&["parked", "drop", "t", "bad"], "", "was"),
        (&["verify"], "", "counters agree"),
        (&["rebuild"], "", "are in use"),
        (&["index", "--total=4"], "", ""),
        (&["index", "--total=4", "--drop"], "", ""),
        (&["repair"], "", "nothing to repair"),
        (&["repair", "--start-over", "counters"], "", "is empty"),
        (&["uninstall", "--yes"], "", "the schema evenfold is removed"),
    ];
    for (args, input, printed) in commands {
        let ended = feed(&db, args, input);
        assert_eq!(ended.code, 0, "{args:?}: {ended:#?}");
        assert!(ended.out.contains(printed) || args[0] == "parked", "{args:?}: {ended:#?}");
        assert_eq!(everything_else(&mut conn).await, before, "{args:?}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold'").await, 0);
}

/// What a session's `search_path` finds under evenfold's names: nothing, an application's tables, or temporary ones,
/// which come before all others.
const PATHS: [&str; 6] = [
    "SET search_path = ''",
    "SET search_path = public",
    "SET search_path = nowhere",
    "SET search_path = public, pg_catalog",
    "SET search_path = pg_temp, public",
    "SET search_path = evenfold",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_part_of_the_applications_transaction_under_any_search_path() {
    let db = with_an_application().await;
    let mut conn = db.connect().await;
    schema::migrate(&Schema::default(), &mut conn).await.unwrap();
    let before = scalar(&mut conn, "SELECT count(*) FROM public.counters").await;
    let mut own = PgConnection::connect(&db.url).await.unwrap();
    sqlx::raw_sql("CREATE TEMP TABLE events (id int); CREATE TEMP TABLE checkpoints (id int)")
        .execute(&mut own)
        .await
        .unwrap();
    for (n, path) in PATHS.into_iter().enumerate() {
        sqlx::raw_sql(path).execute(&mut own).await.unwrap();
        for commits in [false, true] {
            let mut tx = own.begin().await.unwrap();
            sqlx::query("INSERT INTO public.counters VALUES ($1, 1)").bind(path).execute(&mut *tx).await.unwrap();
            log::append(&mut tx, &[event("rust", 1)]).await.unwrap();
            log::append(&mut tx, &[event("rust", 1), event("rust", 1)]).await.unwrap();
            sqlx::raw_sql("SELECT evenfold.append('t', 'sql', 'added', '{\"amount\": 1}')")
                .execute(&mut *tx)
                .await
                .unwrap();
            if commits { tx.commit().await.unwrap() } else { tx.rollback().await.unwrap() }
        }
        let done = i64::try_from(n + 1).unwrap();
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM public.counters").await, before + done, "{path}");
        assert_eq!(
            scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'rust'").await,
            3 * done,
            "{path}"
        );
        assert_eq!(
            scalar(&mut conn, "SELECT count(*) FROM evenfold.events WHERE aggregate_id = 'sql'").await,
            done,
            "{path}"
        );
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM public.events").await, 3);
}

/// A user's projection finds its own tables by the path that its role has: evenfold sets none.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_evenfolds_has_the_search_path_of_its_role() {
    let db = with_an_application().await;
    schema::migrate(&Schema::default(), &mut db.connect().await).await.unwrap();
    let mut conn = db.database.connect().await.unwrap();
    let mut paths: Vec<String> = Vec::new();
    let role = PgConnection::connect(&db.url).await.unwrap();
    let mut altered = PgConnection::connect(&db.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("ALTER DATABASE {} SET search_path = shop, public", db.name)))
        .execute(&mut altered)
        .await
        .unwrap();
    for conn in [&mut conn, &mut db.database.connect().await.unwrap(), &mut { role }] {
        paths.push(sqlx::query_scalar("SHOW search_path").fetch_one(conn).await.unwrap());
    }
    assert_eq!(paths[0], paths[2], "that of a plain connection");
    assert_eq!(paths[1], "shop, public");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_evenfolds_tables_is_not_migrated_however_many_of_the_names_the_application_has() {
    let db = with_an_application().await;
    let mut conn = db.connect().await;
    let refused = schema::check(&Schema::default(), &mut conn).await;
    assert!(matches!(refused, Err(SchemaError::NotMigrated(_))), "{refused:?}");
    run_at(&db, &["status"]).complains(1, "no evenfold tables in the schema evenfold yet: run `evenfold migrate`");
}

/// What another session has made and not committed is waited for in the midst of the migration.
#[tokio::test(flavor = "multi_thread")]
async fn a_migrate_that_is_killed_half_way_has_changed_nothing() {
    for in_the_way in ["evenfold.counters", "evenfold._sqlx_migrations"] {
        let db = with_an_application().await;
        let mut conn = db.connect().await;
        sqlx::raw_sql("CREATE SCHEMA evenfold").execute(&mut conn).await.unwrap();
        let before = everything_else(&mut conn).await;
        let mut other = db.connect().await;
        let mut tx = other.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE TABLE {in_the_way} (id int)"))).execute(&mut *tx).await.unwrap();
        let mut migrate = Evenfold::spawn(&["migrate", "--database-url", &db.url]);
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'evenfold' AND wait_event_type = 'Lock'";
        wait_until("the migration to be half done", SOON, async || scalar(&mut conn, waiting).await == 1).await;
        migrate.signal(Signal::SIGKILL);
        migrate.wait();
        tx.rollback().await.unwrap();
        let gone = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'evenfold' AND query LIKE '%CREATE%'
            AND pid <> pg_backend_pid()";
        wait_until("its session to end", SOON, async || scalar(&mut conn, gone).await == 0).await;
        let made = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'evenfold'::regnamespace)
            + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'evenfold'::regnamespace)";
        assert_eq!(scalar(&mut conn, made).await, 0, "{in_the_way}");
        assert_eq!(everything_else(&mut conn).await, before);
        run_at(&db, &["migrate"]).fine();
        append_one(&mut conn, "a", 1).await;
        run_at(&db, &["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", "--log=warn"]).fine();
        assert_eq!(counter(&mut conn, "a").await, Some((1, 1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_for_a_schema_appends_to_that_one() {
    let db = TestDb::empty().await;
    let mut conn = db.connect().await;
    let orders = Schema::named("order").unwrap();
    schema::migrate(&orders, &mut conn).await.unwrap();
    Log::in_schema(orders).append(&mut conn, &[event("a", 1)]).await.unwrap();
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM \"order\".events").await, 1);
    assert!(log::append(&mut conn, &[event("a", 1)]).await.is_err(), "there is no schema evenfold");
}

/// As by default for a role that is called like the schema.
#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_where_statements_that_name_no_schema_would_find_evenfolds_tables() {
    let db = TestDb::empty().await;
    assert!(!run_at(&db, &["migrate"]).err.contains("search_path"));
    let path = format!("ALTER DATABASE {} SET search_path = evenfold, public", db.name);
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut db.connect().await).await.unwrap();
    let output = run_at(&db, &["migrate"]);
    assert_eq!((output.code, output.out.as_str()), (0, "the tables in the schema evenfold are up to date\n"));
    assert!(output.err.contains("the search_path of evenfold leads to the schema evenfold"), "{output:#?}");
}
