//! A projection is folded in one way only: whoever was given another definition is refused, and a rebuild that changes
//! it changes it for all, in one transaction.

use crate::support::cli::{CliOutput, feed, run_at};
use crate::support::{
    Evenfold, SOON, Stepped, TestDb, append_one, assert_counters_agree, counter, drain, only_worker, partition,
    pointer, scalar, wait_until,
};
use evenfold::checkpoint::RegisterError;
use evenfold::counter::AmountPointer;
use evenfold::counters::{Counters, Rebuild, mismatches};
use evenfold::event::{Aggregate, NewEvent};
use evenfold::log;
use evenfold::projection::parked::{RetryAll, RetryError, drop_first, retry};
use evenfold::projection::{RunError, Step, Worker, WorkerError, WorkerOptions};
use evenfold::schema::Schema;
use evenfold::shadow::{RebuildError, Rebuilt};
use serde_json::json;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

const OTHER: &str = "--amount-pointer=/data/amount";

fn other() -> AmountPointer {
    "/data/amount".parse().unwrap()
}

async fn append_two(conn: &mut PgConnection, id: &str, amount: serde_json::Value) {
    let payload = json!({"amount": amount, "data": {"amount": 100}});
    log::append(conn, &[NewEvent::new("t", id, "e", &payload).unwrap()]).await.unwrap();
}

fn rebuild(pointer: AmountPointer, batch_size: usize) -> Rebuild {
    Rebuild::new(Counters::new(pointer, 1_000), batch_size).unwrap()
}

async fn finish(rebuild: Rebuild, db: &TestDb) -> Result<Rebuilt, RebuildError> {
    rebuild.run(&db.database, &CancellationToken::new()).await
}

/// The commands that a message advises, without `evenfold`.
pub fn advised(text: &str) -> Vec<Vec<&str>> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|command| command.strip_prefix("evenfold ")).map(|c| c.split(' ').collect()).collect()
}

/// A log of aggregates with two amounts each, applied by the first, with one that is parked.
async fn applied(db: &TestDb) -> PgConnection {
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    for id in ["a", "b", "a"] {
        append_two(&mut conn, id, json!(1)).await;
    }
    append_two(&mut conn, "p", json!("x")).await;
    drain(&mut worker, &mut conn).await;
    conn
}

fn assert_refused(output: &CliOutput) {
    assert_eq!(output.code, 1, "{output:#?}");
    for part in [
        r#"is defined by (aggregate types: all; event types: all; amount pointer: "/amount"), and (aggregate types: all; event types: all; amount pointer: "/data/amount") was given"#,
        "`evenfold rebuild --new-definition`",
        "`evenfold repair --start-over counters`",
    ] {
        assert!(output.err.contains(part), "{part}: {output:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_folds_or_compares_is_refused_with_another_definition_and_changes_nothing() {
    let db = TestDb::new().await;
    let mut conn = applied(&db).await;
    let everything = "SELECT md5((SELECT string_agg(c::text, ',' ORDER BY c) FROM evenfold.counters c)
        || (SELECT string_agg(p::text, ',' ORDER BY p) FROM evenfold.parked_events p)
        || (SELECT string_agg(p::text, ',' ORDER BY p) FROM evenfold.projections p))";
    let before: String = sqlx::query_scalar(everything).fetch_one(&mut conn).await.unwrap();
    for args in [
        &["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up"][..],
        &["rebuild"],
        &["parked", "retry", "t", "p"],
        &["parked", "retry", "t", "a"],
        &["parked", "retry", "--all"],
        &["parked", "drop", "t", "p"],
        &["verify"],
    ] {
        assert_refused(&run_at(&db, &[args, &[OTHER]].concat()));
    }
    let after: String = sqlx::query_scalar(everything).fetch_one(&mut conn).await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_out_that_a_refusal_names_leads_to_counters_that_agree() {
    for way in 0..2 {
        let db = TestDb::new().await;
        let mut conn = applied(&db).await;
        let worker = ["worker", "--partition-key=0", "--total-partitions=1", "--until-caught-up", OTHER];
        let refused = run_at(&db, &worker);
        assert_refused(&refused);
        let mut command = Evenfold::command(&advised(&refused.err)[way]);
        // The settings that were given, by the environment.
        command.env("DATABASE_URL", &db.url).env("EVENFOLD_AMOUNT_POINTER", "/data/amount");
        let output: CliOutput = Evenfold::finish(command, b"").into();
        assert_eq!(output.code, 0, "{output:#?}");
        append_two(&mut conn, "a", json!(1)).await;
        run_at(&db, &worker).fine();
        let agrees = run_at(&db, &["verify", OTHER]);
        assert!(agrees.fine().contains("all 3 counters agree"), "{agrees:#?}");
        assert_eq!(counter(&mut conn, "a").await, Some((300, 3)));
        assert_eq!(counter(&mut conn, "p").await, Some((100, 1)), "what was parked by the old pointer only is applied");
        assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_worker_with_the_old_definition_folds_not_one_more_event_and_ends_with_a_sentence() {
    let db = TestDb::new().await;
    let mut conn = applied(&db).await;
    let args = ["worker", "--partition-key=0", "--total-partitions=1", "--database-url", &db.url];
    let mut worker = Evenfold::spawn(&args);
    append_two(&mut conn, "b", json!(1)).await;
    wait_until("the worker", SOON, async || counter(&mut conn, "b").await == Some((2, 2))).await;
    run_at(&db, &["rebuild", "--new-definition", OTHER]).fine();
    append_two(&mut conn, "b", json!(1)).await;
    wait_until("its end", SOON, async || worker.ended().is_some()).await;
    assert_eq!(worker.wait(), 1);
    let sentence = r#"is defined by (aggregate types: all; event types: all; amount pointer: "/data/amount"), and (aggregate types: all; event types: all; amount pointer: "/amount")"#;
    assert!(worker.log().contains(sentence), "{}", worker.log());
    assert_eq!(counter(&mut conn, "b").await, Some((200, 2)), "the event after the switch is not folded the old way");
    assert!(mismatches(&Schema::default(), &mut conn, &other(), 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_refused_at_whatever_step_the_definition_changes() {
    // So many steps after its start: it has read its rows, applied a batch, found nothing, or knows nothing.
    for steps in 0..4 {
        let db = TestDb::new().await;
        let mut conn = db.connect().await;
        append_two(&mut conn, "a", json!(1)).await;
        let mut old = Stepped::start(&db, 0, 1, 1).await;
        for _ in 0..steps {
            old.step().await;
        }
        append_two(&mut conn, "a", json!(1)).await;
        let switched = finish(rebuild(other(), 10).with_new_definition(), &db).await.unwrap();
        assert_eq!(switched, Rebuilt::Switched);
        append_two(&mut conn, "a", json!(1)).await;
        let ended = old.failure().await;
        assert!(matches!(ended, WorkerError::Register(RegisterError::OtherDefinition { .. })), "{steps}: {ended}");
        assert_eq!(counter(&mut conn, "a").await, Some((200, 2)), "{steps}");
        let mut new = Worker::new(partition(0, 1), Counters::new(other(), 100), WorkerOptions::default());
        new.register(&mut conn).await.unwrap();
        assert_eq!(drain(&mut new, &mut conn).await, 1);
        assert_eq!(counter(&mut conn, "a").await, Some((300, 3)), "{steps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_the_old_definition_is_refused_after_the_switch() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 10).await;
    // Parked by either pointer.
    log::append(&mut conn, &[NewEvent::new("t", "p", "e", &json!({"amount": "x", "data": {"amount": "x"}})).unwrap()])
        .await
        .unwrap();
    drain(&mut worker, &mut conn).await;
    finish(rebuild(other(), 10).with_new_definition(), &db).await.unwrap();
    let (mut old, p) =
        (Counters::new(pointer(), 100), Aggregate { aggregate_type: "t".into(), aggregate_id: "p".into() });
    let refusals = [
        retry(&Schema::default(), &mut conn, &mut old, &p).await.map(|_| ()),
        drop_first(&Schema::default(), &mut conn, &mut old, &p).await.map(|_| ()),
        RetryAll::default().next(&Schema::default(), &mut conn, &mut old).await.map(|_| ()),
    ];
    for refused in refusals {
        assert!(matches!(refused, Err(RetryError::Refused(RegisterError::OtherDefinition { .. }))), "{refused:?}");
    }
    assert_eq!(scalar(&mut conn, "SELECT count(*) FROM evenfold.parked_events WHERE dropped_at IS NULL").await, 1);
}

/// A rebuild with this pointer that was stopped after some batches, and how many events it has applied.
async fn stopped(db: &TestDb, pointer: AmountPointer) -> u64 {
    let (first, stop) = (rebuild(pointer, 10).with_new_definition(), CancellationToken::new());
    let (progress, token, database) = (first.progress(), stop.clone(), db.database.clone());
    let running = tokio::spawn(async move { first.run(&database, &token).await });
    wait_until("some batches", SOON, async || progress.batches() >= 3).await;
    stop.cancel();
    assert_eq!(running.await.unwrap().unwrap(), Rebuilt::Stopped);
    assert!(progress.applied() < 2_000, "it was stopped on the way");
    progress.applied()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rebuild_begins_anew_under_another_definition_and_goes_on_under_its_own() {
    let db = TestDb::new().await;
    let mut conn = db.connect().await;
    let mut worker = only_worker(&mut conn, 1_000).await;
    for n in 0..20 {
        let events: Vec<_> = (0..100)
            .map(|k| NewEvent::new("t", format!("a{k}"), "e", &json!({"amount": n, "data": {"amount": 100}})).unwrap())
            .collect();
        log::append(&mut conn, &events).await.unwrap();
    }
    drain(&mut worker, &mut conn).await;
    let done = stopped(&db, pointer()).await;
    let refused = finish(rebuild(other(), 1_000), &db).await;
    assert!(
        matches!(refused, Err(RebuildError::Run(RunError::Register(RegisterError::OtherDefinition { .. })))),
        "{refused:?}"
    );
    // The refused one has not touched it.
    let own = rebuild(pointer(), 1_000);
    let progress = own.progress();
    assert_eq!(finish(own, &db).await.unwrap(), Rebuilt::Switched);
    assert_eq!(done + progress.applied(), 2_000);
    assert_counters_agree(&mut conn).await;

    stopped(&db, pointer()).await;
    let new = rebuild(other(), 1_000).with_new_definition();
    let progress = new.progress();
    assert_eq!(finish(new, &db).await.unwrap(), Rebuilt::Switched);
    assert_eq!(progress.applied(), 2_000, "from the start");
    assert!(mismatches(&Schema::default(), &mut conn, &other(), 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_rebuilds_at_once_the_second_is_refused_in_a_sentence() {
    let db = TestDb::new().await;
    let mut conn = applied(&db).await;
    let mut slow = db.connect().await;
    // Locks what the first needs to switch over.
    sqlx::raw_sql("BEGIN; SELECT FROM evenfold.projections WHERE name = 'counters' FOR UPDATE")
        .execute(&mut slow)
        .await
        .unwrap();
    let mut first = Evenfold::spawn(&["rebuild", "--database-url", &db.url]);
    let at_work = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    wait_until("the first", SOON, async || scalar(&mut conn, at_work).await == 1).await;
    let second = feed(&db, &["rebuild"], "");
    assert!(second.err.contains("another `evenfold rebuild` is at work on this database"), "{second:#?}");
    assert_eq!(second.code, 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut slow).await.unwrap();
    assert_eq!(first.wait(), 0, "{}", first.log());
    run_at(&db, &["rebuild"]).fine();
    assert_counters_agree(&mut conn).await;
    let mut worker = only_worker(&mut conn, 10).await;
    append_one(&mut conn, "a", 1).await;
    assert_ne!(worker.step(&mut conn).await.unwrap(), Step::Outrun);
}
