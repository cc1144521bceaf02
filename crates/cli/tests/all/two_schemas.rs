//! Two logs in one database, each in a schema of its own, know nothing of each other.

use crate::support::cli::{CliOutput, feed, run_at};
use crate::support::{SOON, TestDb, event, pointer, scalar, wait_until, worker_of};
use evenfold::class::Class;
use evenfold::counters::{CounterRow, Counters, Rebuild, mismatches, one, top};
use evenfold::database::Database;
use evenfold::event::NewEvent;
use evenfold::log::{Appender, AppenderOptions, Log};
use evenfold::projection::{self, RunOptions};
use evenfold::schema::{self, Schema};
use evenfold::shadow::Rebuilt;
use sqlx::PgConnection;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The schema evenfold, and one whose name needs quotes.
async fn two(db: &TestDb) -> [Database; 2] {
    let two = [Schema::default(), Schema::named("user").unwrap()].map(|schema| db.database.in_schema(schema));
    for database in &two {
        schema::migrate(database.schema(), &mut database.connect_to_server().await.unwrap().0).await.unwrap();
    }
    two
}

async fn append(database: &Database, conn: &mut PgConnection, id: &str, amount: i64) {
    Log::in_schema(database.schema().clone()).append(conn, &[event(id, amount)]).await.unwrap();
}

async fn all(database: &Database, conn: &mut PgConnection) -> Vec<(String, i64)> {
    let rows = top(database.schema(), conn, None, 100).await.unwrap();
    rows.into_iter().map(|CounterRow { aggregate_id, value, .. }| (aggregate_id, value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schemas_of_one_database_fold_different_logs_side_by_side() {
    let db = TestDb::empty().await;
    let two = two(&db).await;
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for database in &two {
        let (database, stop) = (database.clone(), stop.clone());
        let worker = worker_of(Class::partition(0, 1).unwrap(), 10);
        running
            .push(tokio::spawn(async move { projection::run(&database, worker, &RunOptions::default(), stop).await }));
    }
    for n in 0..20 {
        for (database, amount) in two.iter().zip([1, 100]) {
            let mut conn = database.connect().await.unwrap();
            append(database, &mut conn, "same", amount).await;
            append(database, &mut conn, &format!("{}-{n}", database.schema().name()), amount).await;
        }
    }
    let appender = Appender::start(&two[1], AppenderOptions::default());
    appender.append(vec![event("grouped", 7)]).await.unwrap();
    appender.close().await;
    for (database, (amount, count)) in two.iter().zip([(1, 21), (100, 22)]) {
        let mut conn = database.connect().await.unwrap();
        wait_until("all counters", SOON, async || {
            let rows = all(database, &mut conn).await;
            rows.len() == count && rows.contains(&("same".to_owned(), 20 * amount))
        })
        .await;
        assert!(mismatches(database.schema(), &mut conn, &pointer(), 10).await.unwrap().is_empty());
        let others = all(database, &mut conn).await.into_iter().filter(|(id, _)| id.contains('-'));
        assert!(others.into_iter().all(|(id, _)| id.starts_with(database.schema().name())));
        assert_eq!(one(database.schema(), &mut conn, "grouped").await.unwrap().len(), usize::from(amount == 100));
    }
    stop.cancel();
    for task in running {
        task.await.unwrap().unwrap();
    }
}

/// Each has a lock of its own for what only one may do at a time.
#[tokio::test(flavor = "multi_thread")]
async fn both_can_be_rebuilt_and_indexed_at_the_same_time() {
    let db = TestDb::empty().await;
    let two = two(&db).await;
    for database in &two {
        let mut conn = database.connect().await.unwrap();
        append(database, &mut conn, "a", 1).await;
        let stop = CancellationToken::new();
        let options = RunOptions::default().until_caught_up(true);
        projection::run(database, worker_of(Class::partition(0, 1).unwrap(), 10), &options, stop).await.unwrap();
    }
    // As long as this session has it, nobody else rebuilds in the first schema.
    let mut conn = db.connect().await;
    let claimed = "SELECT pg_try_advisory_lock('evenfold.counters_rebuild'::regclass::oid::bigint)::int::bigint";
    assert_eq!(scalar(&mut conn, claimed).await, 1);
    let rebuilt = async |database: &Database| {
        Rebuild::new(Counters::new(pointer(), 10), 10)
            .unwrap()
            .run(database, &CancellationToken::new())
            .await
            .map_err(|error| error.to_string())
    };
    assert!(rebuilt(&two[0]).await.unwrap_err().contains("rebuil"), "the lock is the one that is held here");
    assert!(matches!(rebuilt(&two[1]).await, Ok(Rebuilt::Switched)));
    let (mut first, mut second) = (two[0].connect().await.unwrap(), two[1].connect().await.unwrap());
    let (a, b) = tokio::join!(
        schema::create_index(two[0].schema(), &mut first, 4),
        schema::create_index(two[1].schema(), &mut second, 4)
    );
    assert!(a.unwrap() && b.unwrap());
    for database in &two {
        let mut conn = database.connect().await.unwrap();
        assert_eq!(schema::indexes(database.schema(), &mut conn).await.unwrap().len(), 1);
        assert!(schema::drop_index(database.schema(), &mut conn, 4).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_to_one_wakes_nobody_who_listens_to_the_other() {
    let db = TestDb::empty().await;
    let two = two(&db).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&db.url).await.unwrap();
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener
        .listen_all(two.each_ref().map(|database| database.schema().channel()).iter().map(String::as_str))
        .await
        .unwrap();
    assert_eq!(two.each_ref().map(|database| database.schema().channel()), ["evenfold_events", "user_events"]);
    let mut conn = two[1].connect().await.unwrap();
    // By SQL: what the library appends is notified of only once in a while.
    sqlx::raw_sql("SELECT \"user\".append('t', 'a', 'e', '1')").execute(&mut conn).await.unwrap();
    append(&two[1], &mut conn, "b", 1).await;
    sqlx::raw_sql("SELECT pg_notify('evenfold_events', 'the end')").execute(&mut conn).await.unwrap();
    let mut channels = Vec::new();
    loop {
        let notification = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await.unwrap().unwrap();
        if notification.payload() == "the end" {
            break;
        }
        channels.push(notification.channel().to_owned());
    }
    assert!(!channels.is_empty() && channels.iter().all(|channel| channel == "user_events"), "{channels:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_in_the_schema_of_its_flag() {
    let db = TestDb::empty().await;
    let line = r#"{"aggregate_type":"t","aggregate_id":"a","event_type":"e","payload":{"amount":3}}"#;
    assert!(NewEvent::from_json(line).is_ok());
    let fine = |args: &[&str], input: &str| -> CliOutput {
        let ended = feed(&db, &[args, &["--schema=shop"]].concat(), input);
        assert_eq!(ended.code, 0, "{args:?}: {ended:#?}");
        ended
    };
    run_at(&db, &["status", "--schema=shop"]).complains(1, "run `evenfold migrate --schema shop`");
    fine(&["migrate"], "");
    fine(&["append"], line);
    fine(&["pool", "--workers=2", "--until-caught-up", "--log=warn"], "");
    assert!(fine(&["counters"], "").out.contains(" 3"));
    assert!(fine(&["verify"], "").out.contains("counters agree"));
    assert!(fine(&["status"], "").err.contains("schema shop"));
    fine(&["rebuild"], "");
    fine(&["index", "--total=4"], "");
    assert_eq!(scalar(&mut db.connect().await, "SELECT count(*) FROM shop.events").await, 1);
    assert_eq!(
        scalar(&mut db.connect().await, "SELECT count(*) FROM pg_namespace WHERE nspname = 'evenfold'").await,
        0
    );
    fine(&["uninstall", "--yes"], "");
    run_at(&db, &["status", "--schema=Shop"]).complains(2, "a schema for evenfold must have a name of 1 to 56");
}
