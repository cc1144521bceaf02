//! What a program measures and shows of its projection is done on a copy of the log: nothing of the user's is touched.

use crate::example::{example, run_at};
use evenfold_testkit::cli::CliOutput;
use evenfold_testkit::{Evenfold, SOON, TestDb, wait_until};
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, PgConnection};
use std::fmt::Write;

fn run(db: &TestDb, args: &[&str]) -> CliOutput {
    run_at(db, "custom_projection", args, "")
}

/// A log of 3,000 orders of 100 aggregates, one of which can't be read, and some other events; half of it is applied.
async fn filled() -> TestDb {
    let db = TestDb::new().await;
    for half in 0..2 {
        let mut lines = String::new();
        for n in 0..1_500 {
            let (id, customer) = (n % 100, n % 7);
            let payload = format!(r#"{{"customer": "c{customer}", "cents": {n}, "currency": "EUR"}}"#);
            let payload = if n == 1_499 { "{}".to_owned() } else { payload };
            writeln!(lines, r#"{{"aggregate_type": "order", "aggregate_id": "{id}", "event_type": "order-placed", "payload": {payload}}}"#).unwrap();
            writeln!(
                lines,
                r#"{{"aggregate_type": "visit", "aggregate_id": "{id}", "event_type": "seen", "payload": {{}}}}"#
            )
            .unwrap();
        }
        run_at(&db, "custom_projection", &["append"], &lines).fine();
        if half == 0 {
            run(&db, &["pool", "--workers=2", "--until-caught-up", "--log=error"]).fine();
        }
    }
    db
}

/// All rows of the user's, with where they are and who wrote them, and evenfold's own but for the heartbeats.
async fn everything(conn: &mut PgConnection) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE relkind = 'r' AND nspname IN ('public', 'evenfold') ORDER BY 1",
    )
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    let mut all = String::new();
    for table in tables {
        let rows =
            format!("SELECT coalesce(md5(string_agg(format('%s %s %s', t.ctid, t.xmin, t), '; ')), '') FROM {table} t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&mut *conn).await.unwrap();
        writeln!(all, "{table}: {rows}").unwrap();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_and_a_change_of_partitions_are_shown_and_nothing_of_the_users_is_touched() {
    let db = filled().await;
    let mut conn = db.connect().await;
    let before = everything(&mut conn).await;
    assert!(before.contains("public.revenue") && before.contains("evenfold.checkpoints"), "{before}");

    let bench = run(&db, &["bench", "catch-up", "--runs=2", "--workers=3"]);
    let words = bench.fine().split_whitespace().collect::<Vec<_>>().join(" ");
    let about = "revenue: 6,000 of 6,000 events of the log, in a database of their own that is removed now. 2,984 are applied, \
                 16 parked, the rest is not wanted; medians of 2 runs.";
    assert!(words.starts_with(about), "{bench:?}");
    for (row, against) in [("one worker ", "COPY"), ("pool of 3 ", "one worker"), ("pool of 3: rows", "the log")] {
        assert!(bench.out.lines().any(|line| line.starts_with(row) && line.contains(against)), "{row}: {bench:?}");
    }
    assert!(bench.out.lines().all(|line| line.chars().count() <= 80), "{bench:?}");
    let part = run(&db, &["bench", "catch-up", "--runs=1", "--events=100", "--json"]);
    let figures: Vec<serde_json::Value> = part.fine().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((figures.len(), &figures[0]["yardstick"]), (3, &"COPY".into()), "{part:?}");
    assert!(figures[0]["ratio"].as_f64().unwrap() > 0.0, "{part:?}");

    let scale = run(&db, &["scale", "--path=1,3,2", "--stage-ms=300", "--rate=5000", "--currency=EUR"]);
    assert!(scale.fine().contains("partitions: 1 -> 3 -> 2"), "{scale:?}");
    assert!(scale.out.contains("One worker that applies them to empty tables applies as many."), "{scale:?}");
    assert!(scale.out.contains("revenue is as it was."), "{scale:?}");
    assert!(scale.out.lines().all(|line| line.chars().count() <= 80), "{scale:?}");
    assert!(scale.out.contains(" events replayed: "), "{scale:?}");
    assert_eq!(everything(&mut conn).await, before);
    assert!(scratches(&mut conn, &db).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_interrupted_leaves_no_database_behind() {
    let db = filled().await;
    let mut conn = db.connect().await;
    let mut command = example("custom_projection", &["scale", "--stage-ms=3600000", "--log=info"]);
    command.env("DATABASE_URL", &db.url);
    let mut running = Evenfold::start(command);
    wait_until("its database", SOON, async || !scratches(&mut conn, &db).await.is_empty()).await;
    let made = scratches(&mut conn, &db).await.remove(0);
    wait_until("its workers", SOON, async || running_in(&mut conn, &made).await > 0).await;
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait(), 1);
    assert!(running.log().contains("interrupted: the copy of the log is removed"), "{}", running.log());
    assert!(scratches(&mut conn, &db).await.is_empty());
}

/// The databases that hold a copy of this one's log.
async fn scratches(conn: &mut PgConnection, of: &TestDb) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT datname::text FROM pg_database WHERE datname LIKE 'evenfold\\_scratch\\_%'
         AND shobj_description(oid, 'pg_database') LIKE 'evenfold % of ' || $1 || ': nobody needs it %'",
    )
    .bind(&of.name)
    .fetch_all(conn)
    .await
    .unwrap()
}

async fn running_in(conn: &mut PgConnection, database: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'evenfold revenue %'",
    )
    .bind(database)
    .fetch_one(conn)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_can_not_be_folded_in_an_empty_database_is_a_sentence_and_no_wait_for_ever() {
    let db = filled().await;
    let mut conn = db.connect().await;
    let path = format!("ALTER DATABASE {} SET search_path = ''", db.name);
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut conn).await.unwrap();
    let why = "can't be folded in a database that has only what it creates itself: the tables of the projection revenue can't \
               be created";
    for command in [&["bench", "catch-up"][..], &["scale"]] {
        let refused = run(&db, command);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains(why) && refused.err.contains("no schema has been selected"), "{refused:?}");
        assert!(scratches(&mut conn, &db).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_events_or_the_right_to_create_a_database_there_is_a_sentence() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    run(&db, &["bench", "catch-up"]).complains(1, "the log has no event that could be applied: append some first");
    let role = format!("reader_{}", db.name);
    let grants = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA evenfold TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA evenfold TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA evenfold TO {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&mut conn).await.unwrap();
    let url = db.url.replacen("://", "://@", 1);
    let (_, rest) = url.rsplit_once('@').unwrap();
    let refused = run(&db, &["bench", "catch-up", "--database-url", &format!("postgres://{role}:x@{rest}")]);
    sqlx::raw_sql(AssertSqlSafe(format!("DROP OWNED BY {role}; DROP ROLE {role}"))).execute(&mut conn).await.unwrap();
    refused.complains(1, "run `ALTER ROLE … CREATEDB`");
}
